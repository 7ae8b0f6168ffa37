"""
A process with a chain that uses a database, for ``test_databases.py``.

``python -m tests.runner.chain_on_database DATABASE FUNCTION …``, where DATABASE is the
JSON of Django's setting, with more of them as ``OTHERS``. It says what happens a line
each, and is told what to do by lines: ``go`` lets a task pass that waits, ``wake`` ends
a cooldown, ``look`` looks at the database as a request would, ``stop`` stops the chain.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any

import django
from django.conf import settings
from django.db import connection, connections, transaction

from yourlabs import runner

try:
    import pymysql
except ImportError:
    pass
else:
    pymysql.install_as_MySQLdb()

gate = threading.Semaphore(0)
numbers = itertools.count(1)
kept: list[Any] = []


def say(*words: object) -> None:
    """Print a line at once, whichever thread it is."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def write() -> int:
    """Write one row, and return its number."""
    number = next(numbers)
    with connection.cursor() as cursor:
        cursor.execute("insert into rows_written values (%s)", [number])
    return number


quick = runner.task(success_cooldown=0.02, fail_cooldown=0.02)


@quick
def write_row() -> None:
    """Write a row a run."""
    say("wrote", write())


@quick
def write_twice() -> None:
    """Write a row, wait to be told, and write another with the same connection."""
    write()
    say("waiting")
    gate.acquire()
    say("wrote", write())


@quick
def look() -> None:
    """Say what a new run finds."""
    with connection.cursor() as cursor:
        cursor.execute(LOOK[connection.vendor])
        (found,) = cursor.fetchone()
    say("found", found, "autocommit", connection.get_autocommit())


@quick
def write_everywhere() -> None:
    """Write a row to each database."""
    for alias in connections:
        with connections[alias].cursor() as cursor:
            cursor.execute("insert into rows_written values (0)")
    say("wrote everywhere")


@runner.task(success_cooldown=3600, fail_cooldown=3600)
def cool_down() -> None:
    """Use the database, and rest."""
    write()
    say("cooling down")


LOOK = {
    "postgresql": "select current_setting('search_path') || ' ' || current_user || ' ' "
    "|| current_setting('TimeZone') || ' ' || current_setting('statement_timeout') || "
    "' locks ' || (select count(*) from pg_locks where locktype = 'advisory' and pid = "
    "pg_backend_pid()) || (select count(*) from pg_prepared_statements)",
    "mysql": "select concat_ws(' ', @@session.max_error_count, @@session.time_zone, "
    "@@session.sql_mode, ifnull(@left, 'unset'))",
}


def leave(mischief: Callable[[], Any]) -> Callable[[], Any]:
    """Return a task that writes a row and leaves something behind."""

    def task() -> None:
        mischief()
        say("left", mischief.__name__, write())

    task.__name__ = task.__qualname__ = f"leave_{mischief.__name__}"
    task = quick(task)
    globals()[task.__name__] = task
    return mischief


@leave
def atomic() -> None:
    """Enter a transaction and never leave it."""
    transaction.atomic().__enter__()


@leave
def generator() -> None:
    """Suspend a generator inside a transaction; the last one ends in this run."""

    def rows() -> Iterator[int]:
        with transaction.atomic():
            yield write()

    suspended = rows()
    next(suspended)
    kept[:] = [suspended]


@leave
def autocommit() -> None:
    """Switch the autocommit off."""
    transaction.set_autocommit(False)


@leave
def begin() -> None:
    """Begin a transaction that Django knows nothing of."""
    with connection.cursor() as cursor:
        cursor.execute("begin")


@leave
def unfinished() -> None:
    """Leave rows of a result unread, with the cursor open."""
    cursor = connection.cursor()
    cursor.execute("select 1 union select 2")
    kept[:] = [cursor]


@leave
def session() -> None:
    """Change the session: not broken, but changed."""
    with connection.cursor() as cursor:
        for statement in CHANGES[connection.vendor]:
            cursor.execute(statement)


@quick
def fail_in_session() -> None:
    """Change the session, and raise."""
    session()
    raise ValueError("inside a tenant")


CHANGES = {
    "postgresql": [
        "select pg_advisory_lock(42)",
        "set search_path to public, elsewhere",
        "set statement_timeout to '42s'",
        "set time zone 'Asia/Tokyo'",
        "prepare left_behind as select 1",
        "set role pg_write_all_data",
    ],
    "mysql": [
        "set session max_error_count = 42",
        "set session time_zone = '+09:00'",
        "set session sql_mode = ''",
        "set @left = 'behind'",
    ],
}


def main(database: str, functions: list[str]) -> None:
    """Run the chain until the standard input ends."""
    default = json.loads(database)
    others = default.pop("OTHERS", {})
    settings.configure(
        DATABASES={"default": default, **others},
        INSTALLED_APPS=["yourlabs.runner"],
        RUN_ROOT=tempfile.mkdtemp(),
        RUNNER={"EMAIL": False},
    )
    django.setup()

    def on_failure(sender: Any, failure: runner.Failure, **_: Any) -> None:
        say("failed", failure.task.name, failure.exception_type, failure.consecutive)

    runner.task_failed.connect(on_failure)
    thread = runner.start_chain([f"{__spec__.name}.{name}" for name in functions])
    for line in sys.stdin:
        if line == "go\n":
            gate.release()
        elif line == "wake\n":
            thread.wake()
        elif line == "look\n":
            look()
            connection.close()
        else:
            thread.ask_to_stop()
            gate.release()
            if hasattr(connection, "close_pool"):
                connection.close_pool()
            say("stopped", thread.stop(10))


if __name__ == "__main__":
    # The tasks are looked up by their dotted path: that module is the one that runs.
    from tests.runner import chain_on_database

    chain_on_database.main(sys.argv[1], sys.argv[2:])
