"""Tests of what a run takes from its project, and of what it keeps from leaving."""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core import mail
from django.core.cache import cache
from django.core.mail import send_mail
from django.db import connections, transaction
from django.http import HttpResponse
from django.template import engines
from django.test import override_settings
from django.urls import path

from tests.smoke import inside
from yourlabs.smoke import discovery, hosts, opening
from yourlabs.smoke.outcomes import Outcome, Result
from yourlabs.smoke.run import SmokeRun
from yourlabs.smoke.state import CouldNotRunError

pytestmark = pytest.mark.usefixtures("installed", "db")


def judge(view: Any) -> Result:
    """What a run says of one view that is open to everybody."""
    return inside.judge([path("page/", login_not_required(view), name="page")])["page"]


@pytest.mark.parametrize(
    ("changed", "host"),
    [
        ({"ALLOWED_HOSTS": []}, "localhost"),
        ({"ALLOWED_HOSTS": ["*"]}, "localhost"),
        ({"ALLOWED_HOSTS": ["*", ".example.com"]}, "example.com"),
        ({"ALLOWED_HOSTS": ["[::1]", "a.example.com"]}, "a.example.com"),
        ({"SITE_URL": "https://b.example.com/x"}, "b.example.com"),
        ({"SITE_URL": "", "BASE_URL": "http://c.example.com:80"}, "c.example.com:80"),
    ],
)
def test_host_is_one_that_the_project_answers_to(
    changed: dict[str, Any], host: str
) -> None:
    """Without sites the host is that of a setting, or an allowed one."""
    with override_settings(SITE_ID=1, **changed):
        assert host == hosts.choose_host()


def test_host_is_the_domain_of_a_site() -> None:
    """Where the host decides which site is shown, it is that of a site."""
    from django.contrib.sites.models import Site

    Site.objects.all().delete()
    with override_settings(ALLOWED_HOSTS=[]):
        before = hosts.choose_host()
        Site.objects.create(domain="d.example.com", name="D")

        assert ("localhost", "d.example.com") == (before, hosts.choose_host())


@pytest.mark.parametrize(
    ("changed", "languages"),
    [
        ({}, ["en", "fr"]),
        ({"USE_I18N": False}, ["en"]),
        ({"LANGUAGES": discovery.global_settings.LANGUAGES}, ["en"]),
        ({"LANGUAGE_CODE": "fr"}, ["fr", "en"]),
    ],
)
def test_languages_are_those_the_project_chose(
    changed: dict[str, Any], languages: list[str]
) -> None:
    """The project's language comes first; Django's list of all is no choice."""
    with override_settings(**changed):
        assert languages == discovery.languages()


def test_mail_and_cache_stay_in_the_run() -> None:
    """What a view mails and caches is not there after the run."""
    cache.set("key", "before")

    def view(request: Any) -> HttpResponse:
        send_mail("subject", "text", "a@example.com", ["b@example.com"])
        found = cache.get("key")
        cache.set("key", "during")
        return HttpResponse(status=200 if found != "before" else 500)

    found = judge(view)

    assert Outcome.OK is found.outcome
    assert "before" == cache.get("key")
    assert [] == mail.outbox


def prints_bytes(request: Any) -> None:
    """Print what is no text."""
    sys.stdout.buffer.write(b"x")
    print("x", file=sys.stdout, flush=True)


def asks_for_the_terminal(request: Any) -> None:
    """Look at where it prints."""
    assert sys.stdout.encoding
    assert not sys.stdout.isatty()


def is_at_home(request: Any) -> None:
    """Show what is for people inside only, by address and by host."""
    assert request.META["REMOTE_ADDR"] in settings.INTERNAL_IPS
    assert request.get_host() != "testserver"
    assert settings.ALLOWED_HOSTS[0] == "shop.example.com"


def is_outermost(request: Any) -> None:
    """Insist on the outermost transaction."""
    with transaction.atomic(durable=True):
        connections["default"].cursor().execute("SELECT 1")


def manages_transactions(request: Any) -> None:
    """Commit by hand, as Django lets one."""
    transaction.set_autocommit(False)
    transaction.commit()
    transaction.set_autocommit(True)


def prints_nothing_for_nothing(request: Any) -> None:
    """Print a variable that is not there in all the ways of a template."""
    text = "{% if not x %}{{ x|default:'a' }}{{ x|length }}{% endif %}{{ x }}"
    assert engines["django"].from_string(text).render({}, request) == "a0"


def uses_the_folder(request: Any) -> None:
    """Make a file where temporary files are."""
    place = Path(tempfile.gettempdir(), "name")
    place.write_text("x")
    assert place.read_text() == "x"


def sets_an_alarm(request: Any) -> None:
    """Set a timer of its own, and stop it."""
    signal.alarm(60)
    signal.alarm(0)


@pytest.mark.parametrize(
    "act",
    [
        *(prints_bytes, asks_for_the_terminal, is_at_home, is_outermost),
        *(manages_transactions, prints_nothing_for_nothing, uses_the_folder),
        sets_an_alarm,
    ],
)
def test_what_the_run_changes_is_no_failure(act: Any) -> None:
    """A view that would do in production does so here, whatever is different."""

    def view(request: Any) -> HttpResponse:
        act(request)
        return HttpResponse()

    with override_settings(
        INTERNAL_IPS=["127.0.0.1"], ALLOWED_HOSTS=["shop.example.com"]
    ):
        assert "" == judge(view).reason


def test_cache_without_its_library_is_left_alone() -> None:
    """A cache that cannot be used breaks only the views that use it."""
    caches = {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        "other": {"BACKEND": "not.there.Cache"},
    }

    with override_settings(CACHES=caches):
        assert Outcome.OK is judge(lambda request: HttpResponse()).outcome


@pytest.mark.parametrize("way", ["delay", "by name", "signature"])
def test_tasks_are_not_sent(way: str) -> None:
    """A Celery task that a view sends goes nowhere, and Celery works afterwards."""
    celery = pytest.importorskip("celery")
    app = celery.Celery("smoke", broker="memory://", set_as_current=False)
    app.conf.task_always_eager = True
    ran: list[str] = []

    @app.task(name="append")
    def task(text: str) -> None:
        ran.append(text)

    ways = {
        "delay": lambda: task.delay("sent"),
        "by name": lambda: app.send_task("append", ["sent"]),
        "signature": lambda: task.s("sent").apply_async(),
    }

    found = judge(lambda request: HttpResponse(ways[way]().status))
    task.delay("afterwards")

    assert Outcome.OK is found.outcome
    assert ["afterwards"] == ran
    with app.connection_or_acquire() as connection:
        queue = connection.SimpleQueue("celery")
        assert 0 == queue.qsize()


def test_database_without_transactions_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where nothing could be undone nothing is requested."""
    features = connections["default"].features

    # The rows of the test are undone by the same feature, so it comes back at once.
    with monkeypatch.context() as patch:
        patch.setattr(features, "supports_transactions", False)
        with pytest.raises(CouldNotRunError, match="has no transactions"):
            SmokeRun().run()


def test_templates_are_read_once_a_run() -> None:
    """A project in debug mode does not read each template for each request."""
    engine: Any = engines["django"]
    before = engine.engine.template_loaders
    names: list[str] = []

    @login_not_required
    def page(request: Any) -> HttpResponse:
        names.extend(type(one).__module__ for one in engine.engine.template_loaders)
        return HttpResponse()

    inside.judge([path("page/", page, name="page")])

    assert {"django.template.loaders.cached"} == set(names)
    assert before is engine.engine.template_loaders


def test_database_that_is_too_large_to_copy_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A note says that the run works on an SQLite file itself, when it is too large."""
    file = tmp_path / "large.sqlite3"
    with file.open("wb") as target:
        target.truncate(2 * 1024**3)
    monkeypatch.setitem(connections["default"].settings_dict, "NAME", str(file))
    notes: list[str] = []

    opening.open_databases(notes)
    assert [] == notes
    with file.open("ab") as target:
        target.truncate(2 * 1024**3 + 1)
    opening.open_databases(notes)

    assert "The file of the database 'default' is larger than 2 GiB" in notes[0]
