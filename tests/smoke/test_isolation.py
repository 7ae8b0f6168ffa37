"""Tests of what a run in somebody else's process takes, and that it gives it back."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.hashers import get_hasher
from django.contrib.sessions.backends.file import SessionStore as FileSession
from django.core import mail
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.files.base import ContentFile
from django.core.files.storage import (
    FileSystemStorage,
    InMemoryStorage,
    default_storage,
)
from django.core.mail.backends.base import BaseEmailBackend
from django.core.signals import setting_changed
from django.db import DatabaseError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import ModelSignal
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path

from tests.smoke import inside
from yourlabs.smoke.isolation.guard import GUARD
from yourlabs.smoke.outcomes import Outcome, Result
from yourlabs.smoke.reports import as_json, as_junit, as_text

pytestmark = pytest.mark.usefixtures("installed", "db")
CLASSES = (
    *(FileSystemStorage, BaseCache, LocMemCache, BaseEmailBackend, ModelSignal),
    *(BaseDatabaseWrapper, type(connection), threading.Thread),
    *(psycopg.Connection, psycopg.Cursor, psycopg.ServerCursor),
)


def judge(view: Any, **options: Any) -> Result:
    """What a run says of one view that is open to everybody."""
    urls = [path("page/", login_not_required(view), name="page")]
    return inside.judge(urls, **options)["page"]


@pytest.fixture
def quiet() -> Iterator[None]:
    """Wait until no thread of an earlier test is guarded any more."""
    yield
    for thread in threading.enumerate():
        if thread.name == "smoke":
            thread.join(20)


def state() -> list[Any]:
    """What a run could leave changed in a process."""
    return [
        *(dict(vars(owner)) for owner in CLASSES),
        *(vars(connection).get(name) for name in ("commit", "close", "rollback")),
        *(tempfile.tempdir, sys.dont_write_bytecode, sys.meta_path[:], os.mkfifo),
        *(get_hasher().algorithm, dict(vars(caches["default"]))["_cache"]),
        *(mail.outbox[:], GUARD.checks, connection.execute_wrappers[:]),
        *(connection.connection, connection.in_atomic_block, connection.run_on_commit),
    ]


def test_process_is_as_it_was() -> None:
    """No method, setting, connection, hasher, cache or hook stays."""
    caches["default"].set("key", "before")
    before = state()

    def view(request: Any) -> HttpResponse:
        mail.send_mail("subject", "text", "a@example.com", ["b@example.com"])
        caches["default"].set("key", "during")
        transaction.on_commit(lambda: None)
        return HttpResponse()

    found = judge(view)

    assert Outcome.OK is found.outcome
    assert {"mails"} == set(GUARD.sent)
    assert before == state()
    assert "before" == caches["default"].get("key")


def test_receivers_hear_of_changed_settings_both_ways() -> None:
    """What depends on a setting is told when it changes and when it is back."""
    heard: list[tuple[str, bool]] = []

    def hear(setting: str, enter: bool, **kwargs: Any) -> None:
        if setting == "ALLOWED_HOSTS":
            heard.append((setting, enter))

    setting_changed.connect(hear)
    judge(lambda request: HttpResponse())

    assert [("ALLOWED_HOSTS", True), ("ALLOWED_HOSTS", False)] == heard


def test_thread_that_a_view_left_behind_stays_guarded(
    tmp_path: Path, quiet: None
) -> None:
    """It may nothing for as long as it lives, while everybody else may."""
    go_on, seen = threading.Event(), []
    server = socket.create_server(("127.0.0.1", 0))
    where = server.getsockname()

    def work() -> None:
        go_on.wait(30)
        deep = threading.Thread(target=reach_out)
        deep.start()
        deep.join()

    def reach_out() -> None:
        for name, act in {
            "file": lambda: (tmp_path / "late").write_text("x"),
            "network": lambda: socket.create_connection(where).close(),
            "mail": lambda: mail.send_mail("s", "t", "a@b.example", ["c@d.example"]),
            "cache": lambda: caches["default"].set("late", "x"),
            "rows": lambda: get_user_model().objects.create_user("late@a.example", "x"),
        }.items():
            try:
                act()
            except (OSError, DatabaseError):
                seen.append(name)
        # Django leaves databases in memory open, of which Python tells one day.
        if connection.connection is not None:
            connection.connection.close()

    threads: list[threading.Thread] = []

    def view(request: Any) -> HttpResponse:
        threads.append(threading.Thread(target=work))
        threads[-1].start()
        return HttpResponse()

    judge(view)
    (tmp_path / "mine").write_text("x")
    socket.create_connection(where).close()
    mail.send_mail("subject", "text", "a@example.com", ["b@example.com"])
    go_on.set()
    for thread in threads:
        thread.join(30)

    assert sorted(["file", "network", "rows"] * len(threads)) == sorted(seen)
    assert not (tmp_path / "late").exists()
    assert 1 == len(mail.outbox)
    assert caches["default"].get("late") is None
    assert not get_user_model().objects.filter(email="late@a.example").exists()
    server.close()


def test_patches_go_when_the_last_thread_has_ended(quiet: None) -> None:
    """What guards the threads of views goes with them."""
    before, go_on = dict(vars(FileSystemStorage)), threading.Event()
    threads: list[threading.Thread] = []

    def view(request: Any) -> HttpResponse:
        threads.append(threading.Thread(target=go_on.wait, args=(30,)))
        threads[-1].start()
        return HttpResponse()

    judge(view)
    during = dict(vars(FileSystemStorage))
    go_on.set()
    for thread in [*threads, *threading.enumerate()]:
        if thread in threads or thread.name == "smoke":
            thread.join(30)

    assert before != during
    assert before == dict(vars(FileSystemStorage))
    assert {} == GUARD.checks


def test_transaction_of_the_test_survives() -> None:
    """A view that ends the transaction of a suite's test is refused."""
    get_user_model().objects.create_user("kept@example.com", "secret")

    def view(request: Any) -> HttpResponse:
        name = connection.savepoint_ids[0] if connection.savepoint_ids else "x"
        ways = (
            lambda: connection.connection.commit(),
            lambda: connection.connection.rollback(),
            lambda: connection.cursor().execute(f"ROLLBACK TO SAVEPOINT {name}"),
            lambda: connection.cursor().execute("COMMIT"),
        )
        for way in ways:
            with contextlib.suppress(Exception), transaction.atomic():
                way()
        return HttpResponse()

    judge(view)

    assert get_user_model().objects.filter(email="kept@example.com").exists()
    assert connection.in_atomic_block


def test_sessions_in_files_are_those_of_the_run(tmp_path: Path) -> None:
    """People are logged in where sessions are files, and none of these stays."""

    def view(request: Any) -> HttpResponse:
        request.session["seen"] = 1
        return HttpResponse(status=200 if request.user.is_authenticated else 500)

    changed = {
        "SESSION_ENGINE": "django.contrib.sessions.backends.file",
        "SESSION_FILE_PATH": str(tmp_path),
    }
    with override_settings(**changed):
        found = inside.judge([path("page/", view, name="page")])["page"]

    assert Outcome.OK is found.outcome
    assert [] == list(tmp_path.iterdir())
    assert "_storage_path" not in vars(FileSession)


def test_coroutines_after_the_run_are_free(tmp_path: Path) -> None:
    """The thread that they share is not the one that views have used."""

    def view(request: Any) -> HttpResponse:
        asyncio.run(caches["default"].aset("key", "during"))
        return HttpResponse()

    found = judge(view)
    asyncio.run(sync_to_async((tmp_path / "file").write_text)("x"))

    assert Outcome.OK is found.outcome
    assert "x" == (tmp_path / "file").read_text()
    assert {} == GUARD.checks


@pytest.mark.parametrize(
    ("allowed", "outcome"),
    [
        ({}, Outcome.SKIPPED),
        ({"allow_hosts": ["127.0.0.1"]}, Outcome.OK),
        ({"allow_hosts": ["127.0.*:{port}"]}, Outcome.OK),
        ({"allow_hosts": ["localhost:{port}"]}, Outcome.SKIPPED),
        ({"allow_paths": ["*"]}, Outcome.SKIPPED),
    ],
)
def test_hosts_can_be_allowed(allowed: dict[str, Any], outcome: Outcome) -> None:
    """A host that the setting names is connected to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        smoke = {
            key: [text.format(port=port) for text in texts]
            for key, texts in allowed.items()
        }

        def view(request: Any) -> HttpResponse:
            socket.create_connection(("127.0.0.1", port)).close()
            return HttpResponse()

        with override_settings(SMOKE=smoke):
            assert outcome is judge(view).outcome


def test_names_can_be_allowed() -> None:
    """The addresses of a name that the setting has are connected to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def view(request: Any) -> HttpResponse:
            socket.create_connection(("localhost", port)).close()
            return HttpResponse()

        with override_settings(SMOKE={"allow_hosts": [f"localhost:{port}"]}):
            assert Outcome.OK is judge(view).outcome


def test_paths_and_programs_can_be_allowed(tmp_path: Path) -> None:
    """A file is written and a program is started when the setting has them."""
    import subprocess

    def view(request: Any) -> HttpResponse:
        (tmp_path / "new").write_text("x")
        return HttpResponse(subprocess.check_output(["echo", "x"]))

    allowed = {"allow_paths": [f"{tmp_path}/*"], "allow_programs": ["echo"]}
    with override_settings(SMOKE=allowed):
        assert Outcome.OK is judge(view).outcome
    assert (tmp_path / "new").exists()


def test_reports_tell_what_was_refused() -> None:
    """Text, JSON and JUnit have it, and the text ends with what would allow it."""

    def view(request: Any) -> HttpResponse:
        socket.create_connection(("api.example.com", 443))
        return HttpResponse()

    def survivor(request: Any) -> HttpResponse:
        with contextlib.suppress(OSError):
            socket.create_connection(("other.example.com", 443))
        return HttpResponse()

    urls = [
        path(f"{name}/", login_not_required(one), name=name)
        for name, one in {"page": view, "survivor": survivor}.items()
    ]
    found = list(inside.judge(urls).values())
    text = as_text(found, [])

    assert "it needs api.example.com:443" == found[1].reason
    assert Outcome.OK is found[2].outcome
    assert text.endswith('To allow it: SMOKE["allow_hosts"] = ["api.example.com:443"]')
    assert "/survivor/: it needs other.example.com:443" in text
    assert '"needs other.example.com:443"' in as_json(found, [])
    assert '"allow_hosts"' in as_json(found, [])
    assert "it needs api.example.com:443" in as_junit(found, 1.0)
    assert "/survivor/ was refused: it needs other.example.com:443" in as_junit(
        found, 1.0
    )


def lost(request: Any) -> HttpResponse:
    """Go on without what was refused, and fail for lack of it."""
    answer = None
    with contextlib.suppress(OSError):
        answer = socket.create_connection(("api.example.com", 443))
    return HttpResponse(answer.recv(1))  # type: ignore[union-attr]


def wrong(request: Any) -> HttpResponse:
    """Be refused something, and fail for another reason."""
    with contextlib.suppress(OSError):
        socket.create_connection(("api.example.com", 443))
    return HttpResponse(undefined)  # type: ignore[name-defined]  # noqa: F821


def wrapped(request: Any) -> HttpResponse:
    """Raise an error of one's own for what was refused."""
    try:
        socket.create_connection(("api.example.com", 443))
    except OSError as error:
        raise ImportError("No plugins.") from error
    return HttpResponse()


@pytest.mark.parametrize(
    ("view", "outcome"),
    [(lost, Outcome.SKIPPED), (wrong, Outcome.FAILED), (wrapped, Outcome.SKIPPED)],
)
def test_failure_is_told_from_what_was_refused(view: Any, outcome: Outcome) -> None:
    """A view is blamed for an error of its code, not for what it was refused."""
    assert outcome is judge(view).outcome


def test_background_threads_are_no_fault_of_a_page() -> None:
    """What a thread is refused that was there before fails nobody's page."""
    go_on, done = threading.Event(), threading.Event()

    def report() -> None:
        go_on.wait(30)
        with contextlib.suppress(OSError):
            socket.create_connection(("errors.example.com", 443))
        done.set()

    def view(request: Any) -> HttpResponse:
        go_on.set()
        done.wait(30)
        return HttpResponse(status=500)

    thread = threading.Thread(target=report)
    thread.start()
    found = judge(view)
    thread.join()

    assert Outcome.FAILED is found.outcome
    assert [] == found.refusals


def test_storage_is_read_through(tmp_path: Path, settings: Any) -> None:
    """A view reads the files of a storage as it left them; they are not touched."""
    settings.MEDIA_ROOT = str(tmp_path)
    (tmp_path / "a.txt").write_text("real")
    seen: list[Any] = []

    def view(request: Any) -> HttpResponse:
        seen.append(default_storage.save("a.txt", ContentFile("other")))
        seen.append(default_storage.listdir(""))
        default_storage.delete("a.txt")
        seen.append(default_storage.exists("a.txt"))
        Path(default_storage.path("direct.txt")).write_text("direct")
        seen.append(default_storage.size("direct.txt"))
        return HttpResponse()

    judge(view)

    name, (folders, files), *rest = seen[:4]
    assert name.startswith("a_")
    assert ([], {"a.txt", name}) == (folders, set(files))
    assert [False, 6] == rest
    assert ["a.txt"] == [entry.name for entry in tmp_path.iterdir()]
    assert "real" == (tmp_path / "a.txt").read_text()


def test_storage_of_a_suite_is_as_it_was() -> None:
    """What a view does to a storage in memory is not there for the next test."""
    storage = InMemoryStorage()
    storage.save("a.txt", ContentFile("real"))

    def view(request: Any) -> HttpResponse:
        with storage.open("a.txt", "a") as file:
            file.write(" and more")
        text = storage.open("a.txt").read()
        storage.delete("a.txt")
        storage.save("b.txt", ContentFile("other"))
        is_right = text == b"real and more" and not storage.exists("a.txt")
        return HttpResponse(status=200 if is_right else 500)

    found = judge(view)

    assert Outcome.OK is found.outcome
    assert ([], ["a.txt"]) == storage.listdir("")
    assert "real" == storage.open("a.txt", "r").read()


def test_byte_code_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A view that imports a module late is refused nothing, and leaves nothing."""
    (tmp_path / "imported_late.py").write_text("x = 1")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)

    def view(request: Any) -> HttpResponse:
        return HttpResponse(importlib.import_module("imported_late").x)

    found = judge(view)

    assert (Outcome.OK, []) == (found.outcome, found.refusals)
    assert ["imported_late.py"] == [entry.name for entry in tmp_path.iterdir()]
