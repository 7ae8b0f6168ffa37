"""Tests of the admin pages of remembered failures."""

from __future__ import annotations

from pathlib import Path

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
