"""Tests of the admin pages of remembered failures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.test import Client, override_settings
from django.utils import timezone

from tests.smoke import helpers

READ = """
import time
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
print("started", "still being requested" in page)
end = time.monotonic() + 90
while "still being requested" in page and time.monotonic() < end:
    time.sleep(0.2)
    page = client.get(base).content.decode()
print("again", "1 patterns: 0 ok, 1 failed" in page, FailUrl.objects.get(pk=pk).count)
print("told once", "1 patterns" in client.get(base).content.decode())
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
        "started True",
        "again True 2",
        "told once False",
    ], done.stderr


BASE = "/admin/yourlabs_smoke/failurl/"


def failure(role: str = "user", number: int = 0) -> Any:
    """A failure that is not written yet."""
    from yourlabs.smoke.models import FailUrl

    now = timezone.now()
    return FailUrl(
        pattern=f"page/{number}/",
        role=role,
        response="what somebody saw",
        first_seen=now,
        last_seen=now,
    )


def member(*permissions: str, **flags: bool) -> Client:
    """The browser of somebody of the staff who has some permissions."""
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Permission

    name = f"{uuid.uuid4().hex}@example.com"
    user = get_user_model().objects.create_user(name, "secret", is_staff=True, **flags)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def run_again(client: Client, *numbers: Any, **more: str) -> str:
    """The page that follows when some failures are chosen to be run again."""
    data = {"action": "run_again", "_selected_action": list(numbers), **more}
    return client.post(BASE, data, follow=True).content.decode()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The routes of each run that was started, which none is in truth."""
    from yourlabs.smoke import again

    found: list[list[str]] = []
    monkeypatch.setattr(again, "start", lambda routes: found.append(routes) or "none")
    return found


@pytest.mark.usefixtures("rows")
def test_too_many_failures_are_not_run_again(started: list[list[str]]) -> None:
    """More failures than one run may take are refused."""
    from django.contrib.auth import get_user_model

    from yourlabs.smoke.admin import MAX_AGAIN
    from yourlabs.smoke.models import FailUrl

    FailUrl.objects.bulk_create(failure(number=n) for n in range(MAX_AGAIN + 1))
    client = Client()
    client.force_login(get_user_model().objects.get(is_superuser=True))
    one = FailUrl.objects.values_list("pk", flat=True)[0]

    page = run_again(client, one, select_across="1")

    assert "At most 50 failures can be run again at once." in page
    assert [] == started


@pytest.mark.usefixtures("installed", "db")
def test_to_run_again_needs_the_permission_to_change(started: list[list[str]]) -> None:
    """Who may only look cannot start a run; who may change failures can."""
    row = failure()
    row.save()
    reader, writer = (member("view_failurl", name) for name in ("x", "change_failurl"))

    pages = run_again(reader, row.pk), run_again(writer, row.pk)

    assert [["page/0/"]] == started
    assert ['value="run_again"' in page for page in pages] == [False, True]


@pytest.mark.usefixtures("installed", "db")
def test_production_is_refused_as_the_command_is(
    started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the command asks for ``--production``, nobody starts it by a click."""
    row = failure()
    row.save()
    monkeypatch.setattr("yourlabs.smoke.guard.is_test_database", lambda alias: False)

    with override_settings(DEBUG=False):
        page = run_again(member("view_failurl", "change_failurl"), row.pk)

    assert "this looks like production" in page
    assert [] == started


@pytest.mark.usefixtures("installed", "db")
@pytest.mark.parametrize("role", ["superuser", "listed", "staff", "user", "anonymous"])
def test_what_a_superuser_saw_is_for_superusers(role: str) -> None:
    """The page that a superuser was shown is not shown to others."""
    row = failure(role)
    row.save()
    page = f"{BASE}{row.pk}/change/"

    chief = member(is_superuser=True).get(page).content.decode()
    other = member("view_failurl").get(page).content.decode()

    assert "what somebody saw" in chief
    assert ("what somebody saw" in other) is (role not in ("superuser", "listed"))


@pytest.mark.usefixtures("installed", "db")
def test_run_that_goes_on_is_not_started_twice(started: list[list[str]]) -> None:
    """While a run of somebody has not ended, they start no other one."""
    from yourlabs.smoke import again

    row = failure()
    row.save()
    client = member("view_failurl", "change_failurl")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(again, "result_of", lambda path: None)
        run_again(client, row.pk)
        page = run_again(client, row.pk)
    run_again(client, row.pk)

    assert "still being requested" in page
    assert 2 == len(started)


def test_process_that_cannot_be_started_is_told(
    installed: None, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no process can be started, the page says why."""
    from yourlabs.smoke import again

    def refuse(routes: list[str]) -> str:
        raise OSError("No Python.")

    row = failure()
    row.save()
    monkeypatch.setattr(again, "start", refuse)

    page = run_again(member("view_failurl", "change_failurl"), row.pk)

    assert "could not be run again: No Python." in page


def test_result_is_read_once(tmp_path: Path) -> None:
    """A run that has not ended has no result, and one that never will is lost."""
    from yourlabs.smoke import again

    waiting, old, done = (tmp_path / name for name in ("waiting", "old", "done"))
    waiting.write_text("")
    old.write_text("")
    os.utime(old, (0, 0))
    done.write_text('{"code": 1, "text": "1 failed"}')

    assert again.result_of(str(waiting)) is None
    assert (2, "What the run said is lost.") == again.result_of(str(old))
    assert (1, "1 failed") == again.result_of(str(done))
    assert (2, "What the run said is lost.") == again.result_of(str(done))
    assert [waiting] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "executable", ["/usr/bin/uwsgi", "/usr/sbin/apache2", "", None, sys.executable]
)
def test_python_is_found_in_any_server(
    executable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the program of the process is a server, its Python is found as well."""
    from yourlabs.smoke import again

    monkeypatch.setattr(sys, "executable", executable)

    show = "import sys, django; print(sys.version_info[:2], sys.prefix)"
    found = subprocess.check_output([again.python(), "-c", show], text=True)

    assert f"{sys.version_info[:2]} {sys.prefix}\n" == found


def test_python_that_is_nowhere_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no Python is found, that is an error of the system."""
    from yourlabs.smoke import again

    for name in ("prefix", "exec_prefix", "base_prefix"):
        monkeypatch.setattr(sys, name, str(tmp_path))
    monkeypatch.setattr(sys, "executable", "/usr/bin/uwsgi")

    with pytest.raises(OSError, match="There is no Python below"):
        again.python()


def test_what_breaks_the_command_is_its_result(tmp_path: Path) -> None:
    """A process whose command cannot run leaves that as its result."""
    target = tmp_path / "result"
    target.write_text("")

    helpers.run("-m", "yourlabs.smoke.again", str(target), "x/", SMOKE_URLS="not.there")

    code, text = json.loads(target.read_text()).values()
    assert 2 == code
    assert "not.there" in text
