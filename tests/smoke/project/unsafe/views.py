"""Views that change things although they are only asked to show them."""

from __future__ import annotations

import threading
from typing import Any

from django.contrib.auth import get_user_model, login, logout
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.signals import user_logged_in
from django.core.mail import send_mail
from django.db import connection, transaction
from django.db.models.signals import post_save
from django.http import HttpResponse
from django.utils import timezone, translation

from tests.smoke.project.unsafe.models import Visit


def write(request: Any) -> HttpResponse:
    """Write."""
    Visit.objects.create(text="write")
    return HttpResponse()


def delete(request: Any) -> HttpResponse:
    """Delete everybody."""
    get_user_model().objects.all().delete()
    return HttpResponse()


@login_not_required
def enter(request: Any) -> HttpResponse:
    """Log somebody in, which writes ``last_login`` and a session."""
    person = get_user_model().objects.first()
    login(request, person, "django.contrib.auth.backends.ModelBackend")
    request.session["seen"] = 1
    return HttpResponse()


def leave(request: Any) -> HttpResponse:
    """Log out."""
    logout(request)
    return HttpResponse()


def commit(request: Any) -> HttpResponse:
    """Commit behind everybody's back."""
    Visit.objects.create(text="commit")
    transaction.commit()
    return HttpResponse()


def raw_commit(request: Any) -> HttpResponse:
    """Commit with SQL."""
    Visit.objects.create(text="raw commit")
    with connection.cursor() as cursor:
        cursor.execute("COMMIT")
    return HttpResponse()


def driver_commit(request: Any) -> HttpResponse:
    """Commit with the driver."""
    Visit.objects.create(text="driver commit")
    connection.connection.commit()
    return HttpResponse()


def close(request: Any) -> HttpResponse:
    """Close the connection."""
    Visit.objects.create(text="close")
    connection.close()
    Visit.objects.create(text="closed")
    return HttpResponse()


def driver_close(request: Any) -> HttpResponse:
    """Close the connection behind Django's back."""
    connection.connection.close()
    return HttpResponse()


def autocommit(request: Any) -> HttpResponse:
    """Turn transactions on and off."""
    transaction.set_autocommit(False)
    Visit.objects.create(text="autocommit")
    transaction.commit()
    transaction.set_autocommit(True)
    return HttpResponse()


def durable(request: Any) -> HttpResponse:
    """Insist on the outermost transaction."""
    with transaction.atomic(durable=True):
        Visit.objects.create(text="durable")
    return HttpResponse()


def left_open(request: Any) -> HttpResponse:
    """Leave a transaction open."""
    transaction.atomic().__enter__()
    Visit.objects.create(text="left open")
    return HttpResponse()


def broken(request: Any) -> HttpResponse:
    """Break the transaction and go on."""
    with transaction.atomic():
        Visit.objects.create(text="broken")
        transaction.set_rollback(True)
    return HttpResponse()


def signal(request: Any) -> HttpResponse:
    """Raise in a receiver, after a write."""

    def receiver(**kwargs: Any) -> None:
        raise RuntimeError("receiver")

    post_save.connect(receiver, sender=Visit, weak=False)
    try:
        Visit.objects.create(text="signal")
    finally:
        post_save.disconnect(receiver, sender=Visit)
    return HttpResponse()


def mail(request: Any) -> HttpResponse:
    """Send mail."""
    send_mail("subject", "text", "a@example.com", ["b@example.com"])
    return HttpResponse()


def speak(request: Any) -> HttpResponse:
    """Change the language and the time zone of the thread."""
    translation.activate("fr")
    timezone.activate("Asia/Tokyo")
    return HttpResponse()


def thread(request: Any) -> HttpResponse:
    """Write in a thread of its own."""

    def work() -> None:
        try:
            Visit.objects.create(text="thread")
        except Exception:
            return
        finally:
            connection.close()

    other = threading.Thread(target=work)
    other.start()
    other.join()
    return HttpResponse()


def after(request: Any) -> HttpResponse:
    """Answer, after all the others."""
    return HttpResponse(Visit.objects.count())


def refuse(**kwargs: Any) -> None:
    """Raise whenever somebody logs in."""
    raise RuntimeError("Nobody may log in.")


user_logged_in.connect(refuse)
