"""Tests of the admin pages of remembered failures."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone

from tests.smoke import helpers

READ = """
import django
django.setup()
from django.conf import settings
from django.test import Client
from django.contrib.auth import get_user_model
from yourlabs.smoke.models import FailUrl

settings.ALLOWED_HOSTS = ["testserver"]
client = Client()
person = get_user_model().objects.get(is_superuser=True)
client.force_login(person, "django.contrib.auth.backends.ModelBackend")
base = "/admin/yourlabs_smoke/failurl/"
pk = FailUrl.objects.get(pattern="missing/").pk
page = client.get(base).content.decode()
print("listed", "answered 404 to every role" in page)
found = client.get(base + "?q=missing").content, client.get(base + "?q=nope").content
print("found", *(b"to every role" in page for page in found))
detail = client.get(f"{base}{pk}/change/")
print("detail", detail.status_code, b'name="_save"' in detail.content)
print("add", client.get(base + "add/").status_code)
data = {"action": "run_again", "_selected_action": [pk]}
page = client.post(base, data, follow=True).content.decode()
print("again", "1 patterns: 0 ok, 1 failed" in page, FailUrl.objects.get(pk=pk).count)
"""


def test_failures_can_be_read_searched_and_run_again(database: Path) -> None:
    """The pages list, search and show failures, and only run them again."""
    helpers.smoke(database, "--only", "shop:missing")

    done = helpers.run("-c", READ, SMOKE_DB=str(database))

    assert done.stdout.splitlines() == [
        "listed True",
        "found True False",
        "detail 200 False",
        "add 302",
        "again True 2",
    ], done.stderr


@pytest.mark.usefixtures("rows")
def test_too_many_failures_are_not_run_again() -> None:
    """More failures than fit into the time of a request are refused."""
    from django.contrib.auth import get_user_model

    from yourlabs.smoke.admin import MAX_AGAIN
    from yourlabs.smoke.models import FailUrl

    now = timezone.now()
    FailUrl.objects.bulk_create(
        FailUrl(pattern=f"page/{number}/", role="user", first_seen=now, last_seen=now)
        for number in range(MAX_AGAIN + 1)
    )
    client = Client()
    client.force_login(get_user_model().objects.get(is_superuser=True))

    page = client.post(
        "/admin/yourlabs_smoke/failurl/",
        {
            "action": "run_again",
            "select_across": "1",
            "_selected_action": [FailUrl.objects.values_list("pk", flat=True)[0]],
        },
        follow=True,
    )

    assert "At most 50 failures can be run again at once." in page.content.decode()


@pytest.mark.usefixtures("installed")
def test_running_again_does_not_take_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that takes longer than a request may is given up, and says so."""
    from yourlabs.smoke import admin

    monkeypatch.setattr(admin, "TIMEOUT", 0.001)

    code, text = admin.run_in_process(["page/"])

    assert 2 == code
    assert "could not be run again" in text
    assert "timed out" in text
