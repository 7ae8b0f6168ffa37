"""One run leaves nothing behind, whatever the task does and raises."""

from __future__ import annotations

import asyncio
import configparser
import contextvars
import decimal
import gc
import logging
import logging.config
import sys
import threading
import time
import weakref
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import partial, wraps
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.cache import caches
from django.utils import timezone as zones
from django.utils import translation
from django.utils.functional import SimpleLazyObject

from tests.runner.failing import FAILING
from tests.runner.fakes import Keeping, log, quick, received
from yourlabs.runner import signals
from yourlabs.runner.chain.execution import Execution
from yourlabs.runner.failures.downtime import Downtime, Hang, Latest
from yourlabs.runner.log import logger
from yourlabs.runner.ownership.record import HOSTED, Identity, OwnerRecord, RunMark


@pytest.fixture(autouse=True)
def no_mail(settings: Any) -> None:
    """Nobody is told by mail."""
    settings.RUNNER = {"EMAIL": False}


def runner_of(function: Any, **options: Any) -> Execution:
    return Execution(quick(function, **options), "chain", "key")


class Precious:
    """Something that must not be kept."""


class Carrying(Exception):
    """An exception with something on it."""

    def __init__(self, carried: object) -> None:
        super().__init__("carrying")
        self.carried = carried


# Success.


def test_success() -> None:
    """A run that returns is a success, and its cooldown begins with its end."""
    runner = runner_of(lambda: None, success_cooldown=60)
    before = time.monotonic()

    deadline = runner.run()

    assert before + 60 <= deadline <= time.monotonic() + 60
    assert (runner.runs, runner.failures, runner.more) == (1, 0, False)
    assert runner.cooldown == timedelta(seconds=60)
    assert runner.status().consecutive == 0


def test_cooldown_of_days() -> None:
    """The days of a cooldown count."""
    runner = runner_of(lambda: None, success_cooldown=timedelta(days=1, minutes=1))

    deadline = runner.run()

    assert 86_459 < deadline - time.monotonic() <= 86_460


def test_fail_cooldown_of_days() -> None:
    """The days of a cooldown after a failure count."""
    runner = runner_of(FAILING["class"], fail_cooldown=timedelta(days=1, minutes=1))

    deadline = runner.run()

    assert 86_459 < deadline - time.monotonic() <= 86_460


@pytest.mark.parametrize("result", [None, False, 0, 1, "True", [True], object()])
def test_result(result: object) -> None:
    """Only True means that there is more to do, not what is merely true."""
    runner = runner_of(lambda: result, success_cooldown=60)

    runner.run()

    assert not runner.more


def test_more() -> None:
    """A task that returns True has no cooldown."""
    runner = runner_of(lambda: True, success_cooldown=60)

    deadline = runner.run()

    assert runner.more
    assert deadline <= time.monotonic()


# Callables.


def test_async() -> None:
    """A coroutine function is awaited; what it calls is called in the same thread."""
    seen = []

    async def function() -> bool:
        await asyncio.sleep(0)
        seen.append(await sync_to_async(threading.get_ident)())
        return True

    runner = runner_of(function)
    thread = threading.Thread(target=runner.run)
    thread.start()
    thread.join(20)

    assert seen == [thread.ident]
    assert runner.more


def test_async_callables() -> None:
    """Partials, methods, objects and wrappers of coroutine functions are awaited."""
    seen = []

    async def function(word: str = "plain") -> None:
        await asyncio.sleep(0)
        seen.append(word)

    class Callme:
        async def __call__(self) -> None:
            await function("object")

        async def method(self) -> None:
            await function("method")

    @wraps(function)
    def wrapper() -> Any:
        return function("wrapper")

    for callable_ in (
        function,
        partial(function, "partial"),
        Callme(),
        wrapper,
        lambda: function("lambda"),
    ):
        assert runner_of(callable_).run()
    runner = Execution(quick(partial(Callme().method)), "chain", "key")
    runner.run()

    assert seen == ["plain", "partial", "object", "wrapper", "lambda", "method"]


def test_lazy_result() -> None:
    """What a task returns is not looked at: a lazy object stays one."""
    looked: list[bool] = []

    def function() -> Any:
        return SimpleLazyObject(lambda: looked.append(True))

    runner = runner_of(function)
    runner.run()

    assert looked == []
    assert runner.failures == 0


# Failures.


@pytest.mark.parametrize("kind", FAILING)
def test_failure(kind: str) -> None:
    """Whatever is raised is one failure, logged and told, with its cooldown."""
    runner = runner_of(FAILING[kind], fail_cooldown=60)

    with log() as kept, received("task_failed", "task_succeeded") as calls:
        deadline = runner.run()

    assert deadline > time.monotonic() + 50
    assert (runner.runs, runner.failures, runner.more) == (1, 1, False)
    assert kept.actions() == ["task_failed"]
    [(signal, sender, payload)] = calls
    assert signal == "task_failed"
    assert sender is runner.task
    assert len(payload["failure"].message) <= 10_000
    payload["failure"].message.encode()
    payload["failure"].traceback.encode()


def test_traceback_begins_in_the_task() -> None:
    """What is logged and told are the frames of the task, not those of the runner."""

    def outer() -> None:
        inner()

    def inner() -> None:
        raise ValueError("deep")

    with log() as kept, received("task_failed") as calls:
        runner_of(outer).run()

    text = calls[0][2]["failure"].traceback
    assert "in outer" in text
    assert "in inner" in text
    assert text.rstrip().endswith("ValueError: deep")
    assert "yourlabs/runner" not in text
    assert kept.records[0].exc_text == text.rstrip("\n")
    assert kept.texts() == ["[quick] Execution failed"]


def test_failures_are_counted() -> None:
    """Failures in a row are counted until the first success, which is a recovery."""
    outcomes = [ValueError("first"), ValueError("first"), KeyError("other"), None]

    def function() -> None:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome

    runner = runner_of(function)
    before = datetime.now(timezone.utc)
    with received("task_failed", "task_recovered") as calls:
        for _ in range(4):
            runner.run()
            if outcomes:
                assert runner.status().consecutive == 4 - len(outcomes)

    after = datetime.now(timezone.utc)
    failures = [payload["failure"] for _, _, payload in calls[:3]]
    assert [failure.consecutive for failure in failures] == [1, 2, 3]
    assert {failure.down_since for failure in failures} == {failures[0].down_since}
    assert failures[0].downtime == timedelta(0) or failures[0].downtime < timedelta(
        seconds=1
    )
    assert failures[0].downtime <= failures[1].downtime <= failures[2].downtime
    assert failures[0].fingerprint == failures[1].fingerprint
    assert failures[0].fingerprint != failures[2].fingerprint
    recovery = calls[3][2]["recovery"]
    assert recovery.task is runner.task
    assert recovery.chain == "chain"
    assert recovery.failures == 3
    assert recovery.down_since == failures[0].down_since
    assert before <= recovery.down_since <= recovery.recovered_at <= after
    assert timedelta(0) <= recovery.downtime <= after - before + timedelta(seconds=1)
    assert [(item.exception_type, item.count) for item in recovery.exceptions] == [
        ("builtins.ValueError", 2),
        ("builtins.KeyError", 1),
    ]
    assert runner.status().consecutive == 0
    assert runner.status().down_since is None
    assert runner.status().failures == 3


def test_failure_payload() -> None:
    """A failure carries plain facts in UTC, and the live exception beside them."""
    seen: list[Any] = []
    runner = runner_of(FAILING["class"])

    def receiver(sender: Any, *, failure: Any, exception: BaseException) -> None:
        seen.extend([failure, type(exception)])

    with signals.task_failed.connected_to(receiver):
        before = datetime.now(timezone.utc)
        runner.run()
        after = datetime.now(timezone.utc)

    failure, exception_type = seen
    assert exception_type is ValueError
    assert failure.task is runner.task
    assert failure.chain == "chain"
    assert before <= failure.started_at <= failure.failed_at <= after
    assert failure.started_at.tzinfo is timezone.utc
    assert timedelta(0) <= failure.duration <= after - before + timedelta(seconds=1)
    assert failure.exception_type == "builtins.ValueError"
    assert failure.message == ""
    assert failure.traceback.startswith("Traceback (most recent call last)")
    assert failure.fingerprint


def test_run_payload() -> None:
    """The beginning and the end of a run are told with instants in UTC."""
    runner = runner_of(lambda: None)

    with received("task_started", "task_succeeded") as calls:
        before = datetime.now(timezone.utc)
        runner.run()
        after = datetime.now(timezone.utc)

    begun, ended = [payload["run"] for _, _, payload in calls]
    assert [signal for signal, _, _ in calls] == ["task_started", "task_succeeded"]
    assert [sender for _, sender, _ in calls] == [runner.task, runner.task]
    assert (begun.ended_at, begun.duration) == (None, None)
    assert before <= begun.started_at == ended.started_at <= ended.ended_at <= after
    assert ended.ended_at.tzinfo is timezone.utc
    assert timedelta(0) <= ended.duration <= after - before + timedelta(seconds=1)
    assert (ended.task, ended.chain) == (runner.task, "chain")


@pytest.mark.parametrize("fails", [True, False])
def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    """Where nobody listens, nothing is made for them."""
    made: list[Any] = []
    for name in ("Run", "Failure", "Recovery"):
        monkeypatch.setattr(
            f"yourlabs.runner.chain.execution.{name}", lambda *a, **k: made.append(a)
        )
    for name in ("task_started", "task_succeeded", "task_failed", "task_recovered"):
        monkeypatch.setattr(getattr(signals, name), "receivers", {})
    outcomes = [ValueError("no"), None] if fails else [None]

    def function() -> None:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome

    runner = runner_of(function)
    while outcomes:
        runner.run()

    assert made == []
    assert runner.status().consecutive == 0


def test_failure_while_the_interpreter_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no refusal of the interpreter is told to the end."""
    monkeypatch.setattr("sys.is_finalizing", lambda: True)

    def broken() -> None:
        raise NotImplementedError

    runner = runner_of(broken)
    runner.run()

    assert runner.failures == 1


def test_shutdown_of_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that the end of the interpreter cuts is no failure of the task."""
    monkeypatch.setattr("sys.is_finalizing", lambda: True)
    runner = runner_of(FAILING["shutdown"])

    with log() as kept:
        runner.run()

    assert runner.failures == 0
    assert kept.actions() == []


def test_interrupted() -> None:
    """A run that its process did not survive is booked as a failure of it."""
    owner = OwnerRecord(
        Identity(4_711, 5, "boot", 1, "web1", HOSTED),
        seq=1,
        since=1_000.0,
        functions=("a",),
        run=RunMark("a", time.time() - 30),
    )
    runner = runner_of(lambda: None, fail_cooldown=60)

    with log() as kept, received("task_failed", "task_recovered") as calls:
        waits = [runner.interrupt(owner) - time.monotonic() for _ in range(3)]
        runner.run()

    assert [round(wait) for wait in waits] == [60, 120, 240]
    failure = calls[0][2]["failure"]
    assert failure.exception_type == "yourlabs.runner.chain.interrupted.Interrupted"
    assert failure.message.startswith(
        "Its process ended while the task was running.\n"
        "It was process 4711 on web1 (a web worker). The run had begun at "
    )
    assert 29 <= failure.duration.total_seconds() <= 60
    assert failure.failed_at - failure.started_at >= timedelta(seconds=29)
    assert kept.actions()[:3] == ["task_failed"] * 3
    assert calls[-1][0] == "task_recovered"
    assert calls[-1][2]["recovery"].failures == 3


def test_interrupted_before_its_owner() -> None:
    """An owner that took the chain over, and no more, was not killed in the run."""
    identity = Identity(4_711, 5, "boot", 1, "web1", HOSTED)
    run = RunMark("a", time.time() - 30)
    owner = OwnerRecord(identity, 1, time.time() - 20, ("a",), run=run)
    runner = runner_of(lambda: None, fail_cooldown=60)

    with log(), received("task_failed") as calls:
        runner.interrupt(owner)

    failure = calls[0][2]["failure"]
    assert "It was an owner before process 4711 on web1 (a web worker)." in (
        failure.message
    )


def test_interrupted_then_failed() -> None:
    """An ordinary failure ends the row of crashes, so that the wait is the usual."""
    owner = OwnerRecord(Identity(1, 5, "", 1, "h", HOSTED), 1, time.time(), ("a",))
    runner = runner_of(FAILING["class"], fail_cooldown=60)
    runner.interrupt(owner)
    runner.interrupt(owner)

    runner.run()

    assert runner.interrupt(owner) - time.monotonic() <= 60
    assert runner.status().consecutive == 4


def test_next_owner() -> None:
    """Who goes on with a downtime counts on from it, and ends what hung in it."""
    since = time.time() - 100
    known = Downtime().failed(Latest("E", "no", "", "2:a", since), lasted=0)
    known = known.stalled(Hang(since, 1.0, 2.0, "File …"))
    runner = runner_of(FAILING["class"])
    runner.resume(known)

    assert not runner.downtime.hangs
    with received("task_failed") as calls:
        runner.run()

    failure = calls[0][2]["failure"]
    assert failure.consecutive == 2
    assert failure.down_since.timestamp() == pytest.approx(since)
    assert 99 < failure.downtime.total_seconds() < 160


def test_stall() -> None:
    """A run is counted as stalled while it lasts, and no longer."""
    found: list[Any] = []

    def function() -> None:
        found.append(runner.stalled(runner.started, "File …"))
        found.append(runner.stalled(runner.started - 1, "File …"))

    runner = runner_of(function, max_duration=0.001)
    runner.run()
    stall, other = found
    hang = runner.downtime.hang

    assert other is None
    assert runner.stalled(runner.started, "File …") is None
    assert (stall.task, stall.chain, stall.stack) == (runner.task, "chain", "File …")
    assert (runner.downtime.hangs, runner.downtime.stalls) == (False, 1)
    assert hang is not None
    assert hang.took is not None
    assert 0 < hang.running_for <= hang.took < 60


# Nothing is kept.


def precious_local(made: list[Any]) -> Any:
    def function() -> None:
        local = Precious()
        made.append(weakref.ref(local))
        raise ValueError("with a local")

    return function


def precious_attribute(made: list[Any]) -> Any:
    def function() -> None:
        carried = Precious()
        made.append(weakref.ref(carried))
        raise Carrying(carried)

    return function


def precious_cause(made: list[Any]) -> Any:
    def function() -> None:
        try:
            precious_attribute(made)()
        except Carrying as exc:
            raise ValueError("outer") from exc

    return function


def precious_async(made: list[Any]) -> Any:
    async def function() -> None:
        local = Precious()
        made.append(weakref.ref(local))
        await asyncio.sleep(0)
        raise Carrying(local)

    return function


def precious_cycle(made: list[Any]) -> Any:
    def function() -> None:
        local: Any = Precious()
        made.append(weakref.ref(local))
        exc = Carrying(local)
        local.exc = exc
        raise exc

    return function


@pytest.mark.parametrize(
    "function",
    [
        precious_local,
        precious_attribute,
        precious_cause,
        precious_async,
        precious_cycle,
    ],
)
def test_nothing_is_kept(function: Any) -> None:
    """Neither frames nor the exception live on, though log handlers keep records."""
    made: list[Any] = []
    runner = runner_of(function(made))

    with log() as kept:
        runner.run()
        gc.collect()

    assert kept.actions() == ["task_failed"]
    assert [reference() for reference in made] == [None]


def test_frames_are_let_go_of_at_once() -> None:
    """What a failed task held is free before the next run, without the collector."""
    made: list[Any] = []
    gc.disable()
    try:
        runner_of(precious_local(made)).run()

        assert [reference() for reference in made] == [None]
    finally:
        gc.enable()


def test_nothing_is_kept_for_receivers() -> None:
    """A receiver that raises, and a handler that keeps that, hold no frame either."""
    made: list[Any] = []

    def receiver(sender: Any, **payload: Any) -> None:
        local = Precious()
        made.append(weakref.ref(local))
        raise ValueError("the receiver")

    with log() as kept, signals.task_failed.connected_to(receiver):
        runner_of(precious_attribute(made)).run()
        gc.collect()

    assert kept.actions() == ["task_failed", "receiver_failed"]
    assert [reference() for reference in made] == [None, None]


def test_result_is_not_kept() -> None:
    """What a task returns is let go of."""
    made: list[Any] = []

    def function() -> Precious:
        result = Precious()
        made.append(weakref.ref(result))
        return result

    runner_of(function).run()

    assert made[0]() is None


def test_memory() -> None:
    """20,000 failures with different messages do not make the process grow."""
    numbers = iter(range(1_000_000))

    def function() -> None:
        raise ValueError(f"failure {next(numbers)} at {time.time()}")

    runner = runner_of(function)
    logger = logging.getLogger("runner")
    logger.addHandler(handler := logging.NullHandler())
    # The handler of pytest keeps every record.
    logger.propagate = False
    try:
        for _ in range(1_000):
            runner.run()
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(20_000):
            runner.run()
        gc.collect()
        grown = sys.getallocatedblocks() - before
    finally:
        logger.propagate = True
        logger.removeHandler(handler)

    assert runner.failures == 21_000
    assert grown < 1_000


# Nothing leaks into the next run.

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="")


def test_context() -> None:
    """Language, zone, context variables and decimals begin anew in each run."""
    seen: list[Any] = []

    def function() -> None:
        seen.append(
            (
                translation.get_language(),
                zones.get_current_timezone_name(),
                variable.get(),
                decimal.getcontext().prec,
            )
        )
        translation.activate("fr")
        zones.activate("Pacific/Auckland")
        variable.set("set")
        decimal.getcontext().prec = 5

    runner = runner_of(function)
    runner.run()
    runner.run()

    assert seen[0] == seen[1]
    assert seen[0][2] == ""
    assert translation.get_language() != "fr"
    assert decimal.getcontext().prec != 5


def test_context_of_async() -> None:
    """The same holds for coroutine functions."""
    seen: list[Any] = []

    async def function() -> None:
        seen.append((translation.get_language(), variable.get()))
        translation.activate("fr")
        variable.set("set")

    runner = runner_of(function)
    runner.run()
    runner.run()

    assert seen[0] == seen[1]


class Closing:
    """A cache that tells when it is closed."""

    closed: list[str] = []

    def __init__(self, location: str, params: Any) -> None:
        self.name = location

    def close(self, **_: Any) -> None:
        self.closed.append(self.name)
        if self.name == "broken":
            raise OSError("cannot be closed")


@pytest.fixture
def closed(settings: Any) -> list[str]:
    """The caches that were closed."""
    backend = f"{__name__}.Closing"
    settings.CACHES = {
        name: {"BACKEND": backend, "LOCATION": name} for name in ("default", "broken")
    }
    Closing.closed = []
    return Closing.closed


@pytest.mark.parametrize("fails", [False, True])
def test_caches(closed: list[str], fails: bool) -> None:
    """The caches that a run used are closed after it, whether it failed or not."""

    def function() -> None:
        caches["default"]
        if fails:
            raise ValueError("after use")

    runner_of(function).run()

    assert closed == ["default"]


def test_caches_of_async(closed: list[str]) -> None:
    """The caches that a coroutine used are closed as well."""

    async def function() -> None:
        caches["default"]

    runner_of(function).run()

    assert closed == ["default"]


def test_broken_cache(closed: list[str]) -> None:
    """A cache that cannot be closed is logged and harms nobody."""
    runner = runner_of(lambda: caches["broken"] and None)

    with log() as kept:
        runner.run()

    assert runner.failures == 0
    assert "A cache could not be closed." in kept.texts()


# Log handlers.


class Broken(Keeping):
    """A log handler that raises what it is told to."""

    def __init__(self, raised: BaseException) -> None:
        super().__init__()
        self.raised = raised

    def emit(self, record: logging.LogRecord) -> None:
        raise self.raised


@pytest.mark.parametrize("function", [FAILING["class"], lambda: None])
@pytest.mark.parametrize("raised", [ValueError("full"), SystemExit(3)])
def test_broken_handler(function: Any, raised: BaseException) -> None:
    """A log handler that raises harms neither the run nor its cooldown."""
    runner = runner_of(function, success_cooldown=60, fail_cooldown=60)
    logger = logging.getLogger("runner")
    with log():
        logger.addHandler(handler := Broken(raised))
        try:
            deadline = runner.run()
        finally:
            logger.removeHandler(handler)

    assert deadline > time.monotonic() + 50
    assert runner.runs == 1


# Logging.


def configured_by_file() -> None:
    sections = {
        "loggers": {"keys": "root"},
        "handlers": {"keys": ""},
        "formatters": {"keys": ""},
        "logger_root": {"level": "WARNING", "handlers": ""},
    }
    parser = configparser.RawConfigParser()
    parser.read_dict(sections)
    logging.config.fileConfig(parser)


@pytest.mark.parametrize(
    "reconfigure",
    [
        configured_by_file,
        lambda: logging.config.dictConfig({"version": 1}),
        lambda: logging.disable(),
        lambda: setattr(logging.getLogger("runner"), "disabled", True),
    ],
    ids=["fileConfig", "dictConfig", "disable", "disabled"],
)
def test_switched_off(reconfigure: Callable[[], None]) -> None:
    """A task that configures logging anew does not silence what comes after it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    others = [
        one
        for one in logging.root.manager.loggerDict.values()
        if isinstance(one, logging.Logger) and not one.disabled
    ]
    try:
        with log() as kept:
            runner_of(reconfigure).run()
            logger.error("after it")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.disable(logging.NOTSET)
        for one in others:
            one.disabled = False

    assert kept.texts()[-1:] == ["after it"]


def test_switched_off_on_purpose() -> None:
    """A logger that was off before the run is off after it."""
    logger.logger.disabled = True
    try:
        with log() as kept:
            runner_of(lambda: setattr(logger.logger, "disabled", False)).run()
            logger.error("after it")
    finally:
        logger.logger.disabled = False

    assert kept.texts() == []
