"""Whatever a task leaves behind on a connection, the next run finds a sound one."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import SimpleTestCase

from tests.runner.fakes import Keeping, log, make, quick, started, until
from yourlabs.runner import signals
from yourlabs.runner.chain import db, status

ALIAS = "work"
HOUR = 3_600.0


@pytest.fixture(autouse=True)
def database(
    settings: Any,
    tmp_path: Path,
    django_db_blocker: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """A database in a file, that every thread may use."""
    settings.RUNNER = {"EMAIL": False}
    values = {**connections.settings["default"], "NAME": str(tmp_path / "db.sqlite3")}
    monkeypatch.setitem(connections.settings, ALIAS, {**values, "CONN_MAX_AGE": None})
    with django_db_blocker.unblock():
        execute("create table lines (text varchar(20))")
        connections[ALIAS].close()
        yield
        connections[ALIAS].close()
        del connections[ALIAS]


def execute(sql: str) -> list[Any]:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if sql.startswith("select") else []


def write(text: str) -> None:
    execute(f"insert into lines values ('{text}')")


def lines() -> list[str]:
    return [text for (text,) in execute("select text from lines")]


class Runs:
    """A chain of one task that does a different thing in each run."""

    def __init__(self, *actions: Callable[[], Any]) -> None:
        self.actions = list(actions)
        self.raws: list[Any] = []

    def __call__(self) -> bool:
        self.actions.pop(0)()
        self.raws.append(connections[ALIAS].connection)
        return bool(self.actions)


def run(*actions: Callable[[], Any]) -> tuple[Runs, Keeping, Any]:
    """Run the actions, one a run; return what was seen, logged, and the status."""
    runs = Runs(*actions)
    thread = make(quick(runs, success_cooldown=HOUR, fail_cooldown=0))
    with log() as kept, started(thread):
        until(lambda: not runs.actions and thread.status().next_run)
        snapshot = thread.status()
    gc.collect()
    return runs, kept, snapshot


def nothing() -> None:
    """Do nothing."""


@pytest.mark.parametrize("age", [None, 60, 0])
def test_connection_of_its_own(age: int | None) -> None:
    """Each run has a connection of its own, however long Django may keep one."""
    connections.settings[ALIAS]["CONN_MAX_AGE"] = age

    runs, kept, snapshot = run(lambda: write("one"), lambda: write("two"))

    assert runs.raws[0] is not runs.raws[1]
    assert lines() == ["one", "two"]
    assert snapshot.failures == 0
    assert "connection_dropped" not in kept.actions()


def test_nothing_rests_in_a_cooldown() -> None:
    """While a chain cools down, it has no connection that could be ended."""
    wrappers: list[BaseDatabaseWrapper] = []
    raws: list[Any] = []

    def function() -> None:
        write("one")
        wrappers.append(connections[ALIAS])
        raws.append(connections[ALIAS].connection)

    thread = make(quick(function, success_cooldown=HOUR))
    with started(thread):
        until(lambda: thread.status().next_run)

        assert wrappers[0].connection is None
        with pytest.raises(Exception, match="closed"):
            raws[0].execute("select 1")


@pytest.mark.parametrize("fails", [False, True])
def test_left_on_the_wrapper(fails: bool) -> None:
    """What a run notes on Django's object, as tenants are, is not there in the next."""
    seen: list[Any] = []

    def enter_tenant() -> None:
        connections[ALIAS].tenant = "acme"  # type: ignore[attr-defined]
        connections[ALIAS].execute_wrappers.append(lambda go, *rest: go(*rest))
        if fails:
            raise ValueError("inside the tenant")

    def look() -> None:
        wrapper = connections[ALIAS]
        seen.append((getattr(wrapper, "tenant", None), wrapper.execute_wrappers))

    actions = [enter_tenant, look]

    def function() -> None:
        actions.pop(0)()

    with started(make(quick(function, success_cooldown=0))) as thread:
        until(lambda: thread.status().runs >= 2)

    assert seen[0] == (None, [])


def test_in_a_transaction_of_a_test() -> None:
    """A run in the thread of a `TestCase` leaves the transaction of the test alone."""
    (execution,) = make(quick(lambda: write("kept"))).tasks
    atomic = transaction.atomic(using=ALIAS)
    atomic._from_testcase = True  # type: ignore[attr-defined]

    with atomic:
        before = connections[ALIAS]
        execution.run()

        assert connections[ALIAS] is before
        assert lines() == ["kept"]
        transaction.set_rollback(True, using=ALIAS)
    assert lines() == []


def test_in_a_test_without_databases() -> None:
    """What a `SimpleTestCase` has put on a connection, it finds there again."""

    class Simple(SimpleTestCase):
        pass

    (execution,) = make(quick(lambda: None)).tasks
    Simple._add_databases_failures()
    before = connections[ALIAS]
    execution.run()

    assert connections[ALIAS] is before
    Simple._remove_databases_failures()


def test_connection_that_threads_share() -> None:
    """A connection that a test shares between threads is left to the test."""
    wrapper = connections[ALIAS]
    wrapper.inc_thread_sharing()
    try:
        (execution,) = make(quick(lambda: write("one"))).tasks
        execution.run()

        assert connections[ALIAS] is wrapper
        assert wrapper.connection is not None
    finally:
        wrapper.dec_thread_sharing()


def test_database_in_memory() -> None:
    """A database in memory is there in the next run, unless a run broke it."""
    connections.settings[ALIAS]["NAME"] = ":memory:"
    del connections[ALIAS]
    found: list[str] = []

    _, kept, snapshot = run(
        lambda: execute("create table lines (text varchar(20))"),
        lambda: write("kept"),
        lambda: found.extend(lines()),
        lambda: transaction.atomic(using=ALIAS).__enter__(),
    )

    assert snapshot.failures == 0
    assert found == ["kept"]
    assert kept.actions().count("connection_dropped") == 1


def test_wrong_databases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that uses no database does not mind that DATABASES is wrong."""
    monkeypatch.setitem(connections.settings, "wrong", {"ENGINE": "no.such.engine"})
    monkeypatch.setattr(db, "connections", Broken())

    _, _, snapshot = run(nothing, nothing)

    assert snapshot.runs == 2
    assert snapshot.failures == 0


class Broken:
    """What `connections` is where the setting cannot be read."""

    def __getattr__(self, name: str) -> Any:
        raise ImproperlyConfigured("You must define a 'default' database.")

    def __iter__(self) -> Iterator[str]:
        raise ImproperlyConfigured("You must define a 'default' database.")


def test_closed_with_the_thread() -> None:
    """When the chain ends, its thread leaves no connection open."""
    wrappers: list[BaseDatabaseWrapper] = []

    def keep() -> None:
        write("one")
        wrappers.append(connections[ALIAS])

    runs, _, _ = run(keep)

    assert runs.raws[0] is not None
    assert wrappers[0].connection is None


def left_atomic() -> None:
    transaction.atomic(using=ALIAS).__enter__()
    write("lost")


def left_nested() -> None:
    transaction.atomic(using=ALIAS).__enter__()
    transaction.atomic(using=ALIAS).__enter__()
    write("lost")


def left_broken() -> None:
    transaction.atomic(using=ALIAS).__enter__()
    transaction.set_rollback(True, using=ALIAS)


def left_by_hand() -> None:
    execute("begin")
    write("lost")


suspended: list[Any] = []


def left_suspended() -> None:
    def generate() -> Iterator[None]:
        with transaction.atomic(using=ALIAS):
            write("lost")
            yield

    generator = generate()
    next(generator)
    suspended.append(generator)


def left_closed() -> None:
    transaction.atomic(using=ALIAS).__enter__()
    write("lost")
    connections[ALIAS].close()


@pytest.fixture(autouse=True)
def no_generators() -> Iterator[None]:
    """Generators that a task keeps end with the test."""
    yield
    while suspended:
        suspended.pop().close()


@pytest.mark.parametrize(
    "leave",
    [left_atomic, left_nested, left_broken, left_by_hand, left_suspended, left_closed],
)
@pytest.mark.parametrize("age", [None, 0])
def test_left_in_a_transaction(leave: Callable[[], None], age: int | None) -> None:
    """A transaction that a run leaves open is given up, said, and gone."""
    connections.settings[ALIAS]["CONN_MAX_AGE"] = age
    seen: list[bool] = []

    def look() -> None:
        seen.append(connections[ALIAS].in_atomic_block)
        write("kept")

    _, kept, snapshot = run(leave, look, lambda: write("kept too"))

    assert snapshot.failures == 0
    assert seen == [False]
    assert lines() == ["kept", "kept too"]
    assert kept.actions().count("connection_dropped") == 1


@pytest.mark.parametrize("leave", [left_atomic, left_suspended])
def test_left_by_a_failure(leave: Callable[[], None]) -> None:
    """The same holds when the run fails."""

    def fail() -> None:
        leave()
        actions.pop()
        raise ValueError("after leaving")

    actions = [1]
    runs = Runs(fail, lambda: write("kept"))

    def function() -> bool:
        return runs()

    task = quick(function, fail_cooldown=0, success_cooldown=HOUR)
    with started(make(task)) as thread:
        until(lambda: thread.status().next_run)
        assert thread.status().failures == 1

    assert lines() == ["kept"]


def test_generator_that_ends_later() -> None:
    """A generator that ends after its transaction was given up harms no later run."""
    _, _, snapshot = run(
        left_suspended, lambda: suspended.pop().close(), lambda: write("kept")
    )

    assert snapshot.failures == 0
    assert lines() == ["kept"]


@pytest.mark.parametrize("age", [None, 0])
def test_left_without_autocommit(age: int | None) -> None:
    """Autocommit that a run switches off is on in the next."""
    connections.settings[ALIAS]["CONN_MAX_AGE"] = age
    seen: list[bool] = []

    def switch() -> None:
        connections[ALIAS].set_autocommit(False)

    _, _, snapshot = run(
        switch,
        lambda: seen.append(connections[ALIAS].get_autocommit()),
        lambda: write("kept"),
    )

    assert snapshot.failures == 0
    assert seen == [True]
    assert lines() == ["kept"]


class Unclosable:
    """A raw connection that raises whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise OSError("the server is gone")


def test_close_that_fails() -> None:
    """A connection that cannot even be closed is dropped."""
    connections.settings[ALIAS]["CONN_MAX_AGE"] = 0

    def break_it() -> None:
        write("one")
        connections[ALIAS].connection.close()
        connections[ALIAS].connection = Unclosable()

    _, kept, snapshot = run(break_it, lambda: write("two"))

    assert lines() == ["one", "two"]
    assert snapshot.failures == 0
    assert "connection_dropped" in kept.actions()


def test_close_that_fails_at_the_end() -> None:
    """A connection that cannot be closed does not keep the thread from ending."""

    def break_it() -> None:
        write("one")
        raw = connections[ALIAS].connection
        connections[ALIAS].close = broken  # type: ignore[method-assign]
        raws.append(raw)

    def broken() -> None:
        raise OSError("the server is gone")

    raws: list[Any] = []
    run(break_it)

    with pytest.raises(Exception, match="closed"):
        raws[0].execute("select 1")


def test_queries_are_forgotten(settings: Any) -> None:
    """With DEBUG the queries of one run are not kept for the next."""
    settings.DEBUG = True
    seen: list[int] = []

    def look() -> None:
        seen.append(len(connections[ALIAS].queries_log))
        for _ in range(5):
            write("x")

    run(look, look, look)

    assert seen == [0, 0, 0]


def test_async() -> None:
    """What a coroutine does with the database is done on the chain's connection."""
    seen: list[Any] = []
    done = threading.Event()

    def use() -> None:
        write(f"run {len(seen)}")
        seen.append((threading.get_ident(), connections[ALIAS].connection))

    async def function() -> bool:
        await sync_to_async(use)()
        if len(seen) == 2:
            done.set()
        return len(seen) < 2

    thread = make(quick(function, success_cooldown=HOUR))
    with started(thread):
        until(lambda: thread.status().state == status.COOLING_DOWN)
        ident = thread.ident

    assert [who for who, _ in seen] == [ident, ident]
    assert lines() == ["run 0", "run 1"]
    with pytest.raises(Exception, match="closed"):
        seen[0][1].execute("select 1")


@pytest.mark.parametrize(
    ("vendor", "raw", "expected"),
    [
        ("postgresql", {"info": type("I", (), {"transaction_status": 0})}, False),
        ("postgresql", {"info": type("I", (), {"transaction_status": 2})}, True),
        ("mysql", {"server_status": 2}, False),
        ("mysql", {"server_status": 3}, True),
        ("mysql", {}, False),
        ("oracle", {}, False),
    ],
)
def test_other_databases(vendor: str, raw: dict[str, Any], expected: bool) -> None:
    """The driver of each database is asked whether it is inside a transaction."""
    wrapper = type("Wrapper", (), {"vendor": vendor, "connection": None})()
    assert not db._is_in_transaction(wrapper)

    wrapper.connection = type("Raw", (), raw)()

    assert db._is_in_transaction(wrapper) is expected


@pytest.mark.parametrize("fails", [False, True])
def test_connection_of_a_receiver(fails: bool) -> None:
    """What a receiver used does not rest in the cooldown either."""
    wrappers: list[Any] = []

    def receive(sender: Any, **_: Any) -> None:
        write("told")
        wrappers.append(connections[ALIAS])

    def function() -> None:
        if fails:
            raise ValueError("to be told")

    signal = signals.task_failed if fails else signals.task_succeeded
    with signal.connected_to(receive):
        options = {"success_cooldown": HOUR, "fail_cooldown": HOUR}
        thread = make(quick(function, **options))
        with started(thread):
            until(lambda: wrappers and wrappers[0].connection is None)
            assert thread.status().state == status.COOLING_DOWN

    assert lines() == ["told"]


def test_connection_of_a_log_handler() -> None:
    """What a log handler used between two runs does not rest in the cooldown."""
    wrappers: list[Any] = []

    class Writing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if getattr(record, "action", "") == "cooling_down":
                write("told")
                wrappers.append(connections[ALIAS])

    thread = make(quick(nothing, success_cooldown=HOUR))
    with log() as kept:
        handler = Writing()
        logger = logging.getLogger("runner")
        logger.addHandler(handler)
        try:
            with started(thread):
                until(lambda: wrappers and wrappers[0].connection is None)
        finally:
            logger.removeHandler(handler)

    assert "cooling_down" in kept.actions()
    assert lines() == ["told"]
