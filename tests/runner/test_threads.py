"""The loop of a chain: order, cooldowns, what ends them, and who owns it."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from tests.runner.failing import FAILING
from tests.runner.fakes import (
    PATIENCE,
    Counted,
    MemoryLock,
    MemoryState,
    NoKeeper,
    Sleeper,
    TickingClock,
    happens,
    log,
    make,
    quick,
    received,
    running,
    started,
    until,
)
from yourlabs.runner import signals
from yourlabs.runner.chain import status
from yourlabs.runner.chain.checkpoint import Plan
from yourlabs.runner.chain.execution import TaskRunner
from yourlabs.runner.chain.task import Task
from yourlabs.runner.chain.thread import RunnerThread
from yourlabs.runner.ownership.record import (
    COMMAND,
    HOSTED,
    Identity,
    OwnerRecord,
    RunMark,
)

HOUR = 3_600.0


@pytest.fixture(autouse=True)
def no_mail(settings: Any) -> None:
    """Nobody is told by mail."""
    settings.RUNNER = {"EMAIL": False}


def cooling(thread: RunnerThread) -> bool:
    return thread.status().state == status.COOLING_DOWN


def standing_by(thread: RunnerThread) -> bool:
    return thread.status().state == status.STANDBY


# The loop.


def test_order() -> None:
    """The tasks run in order, again and again."""
    calls: list[str] = []
    done = threading.Event()

    def first() -> None:
        calls.append("first")

    def second() -> None:
        calls.append("second")

    def third() -> None:
        calls.append("third")
        if len(calls) >= 9:
            done.set()

    with running(quick(first), quick(second), quick(third)):
        assert happens(done)

    assert calls[:9] == ["first", "second", "third"] * 3


def test_failure_does_not_end_the_pass() -> None:
    """After a failed task comes the next one."""
    healthy = Counted(enough=3)

    with running(quick(FAILING["exception"]), quick(healthy)) as thread:
        assert happens(healthy.reached)

    assert thread.status().tasks[0].failures >= 3
    assert thread.status().tasks[1].failures == 0


def test_everything_that_can_be_raised() -> None:
    """A chain of all exceptions and a healthy task completes three passes."""
    healthy = Counted(enough=3)
    failing = [quick(function, name=name) for name, function in FAILING.items()]

    with running(*failing, quick(healthy)) as thread:
        assert happens(healthy.reached)

    snapshot = thread.status()
    assert [task.name for task in snapshot.tasks if task.failures < 3] == ["quick"]
    assert all(task.failures == task.runs for task in snapshot.tasks[:-1])


def test_function_that_comes_twice() -> None:
    """It is down once, however often it comes in the chain."""
    enough = Counted(enough=3)
    failing = quick(FAILING["exception"], name="failing")

    with (
        received("task_failed") as calls,
        running(failing, quick(enough), failing) as thread,
    ):
        assert happens(enough.reached)

    failures = [payload["failure"] for _, _, payload in calls]
    counts = [one.consecutive for one in failures]
    assert counts == list(range(1, len(counts) + 1))
    assert len({one.down_since for one in failures}) == 1
    assert thread.status().failures == len(counts)
    assert [one.name for one in thread.status().tasks] == ["failing", "quick"]


def test_yield_that_nobody_wants_any_more() -> None:
    """A command whose candidate gave up meanwhile goes on."""
    work = Counted()
    thread = make(quick(work, success_cooldown=HOUR), kind=COMMAND)
    lock = thread.lock
    assert isinstance(lock, MemoryLock)

    def give_up(sender: Any) -> None:
        lock.wanted = False

    with started(thread):
        until(lambda: cooling(thread))
        with signals.chain_stopped.connected_to(give_up):
            lock.wanted = True
            thread.ask_to_yield()
            until(lambda: not lock.wanted)
            until(lambda: cooling(thread))

        assert lock.is_held()
        assert thread.is_alive()


def test_yield_with_once() -> None:
    """Who gave way in the middle of it runs nothing a second time."""
    calls: list[str] = []
    thread: RunnerThread

    def first() -> None:
        calls.append("first")
        assert isinstance(thread.lock, MemoryLock)
        thread.lock.wanted = True
        thread.ask_to_yield()

    def give_up(sender: Any) -> None:
        assert isinstance(thread.lock, MemoryLock)
        thread.lock.wanted = False

    thread = make(quick(first), quick(first), kind=COMMAND, once=True)
    with signals.chain_stopped.connected_to(give_up):
        thread.start()
        thread.join(PATIENCE)

    assert not thread.is_alive()
    assert calls == ["first"]


def test_yield_where_the_pidfile_is_unusable_by_then() -> None:
    """It ends as if somebody had taken it."""
    work = Counted()
    thread = make(quick(work, success_cooldown=HOUR), kind=COMMAND)
    lock = thread.lock
    assert isinstance(lock, MemoryLock)

    def break_it(sender: Any) -> None:
        lock.wanted, lock.error = False, OSError("it is a symbolic link")

    with started(thread), signals.chain_stopped.connected_to(break_it):
        until(lambda: cooling(thread))
        lock.wanted = True
        thread.ask_to_yield()
        thread.join(PATIENCE)

        assert not thread.is_alive()


def test_started_by_two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one leaves it to the first; later it is an error, as of any thread."""
    work = Counted()
    thread = make(quick(work, success_cooldown=HOUR))
    usual = threading.Thread.start

    def start(one: threading.Thread) -> None:
        thread.start()
        usual(one)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        thread.start()
    try:
        until(lambda: cooling(thread))
        with pytest.raises(RuntimeError, match="only be started once"):
            thread.start()
    finally:
        assert thread.stop(PATIENCE)

    assert work.calls == 1


@pytest.mark.parametrize("breaks", [True, False])
def test_once_without_its_pidfile(breaks: bool) -> None:
    """Who is to run each function once does not begin anew, and has failed."""
    second = Counted()
    thread: RunnerThread

    def lose() -> None:
        assert isinstance(thread.lock, MemoryLock)
        thread.lock.is_lost = thread._doubted = True
        if breaks:
            thread._ensure_held = missing  # type: ignore[method-assign]

    def missing() -> None:
        msg = "what the machinery needs is missing"
        raise OSError(msg)

    thread = make(quick(lose), quick(second), kind=COMMAND, once=True)
    thread.start()
    thread.join(PATIENCE)

    assert not thread.is_alive()
    assert thread.failed
    assert second.calls == 0


def test_more() -> None:
    """A task that returns True runs again at once, before the next."""
    calls: list[str] = []
    done = threading.Event()

    def queue() -> bool:
        calls.append("queue")
        return len(calls) < 5

    def after() -> None:
        calls.append("after")
        done.set()

    with running(
        quick(queue, success_cooldown=0), quick(after, success_cooldown=HOUR)
    ) as thread:
        assert happens(done)
        until(lambda: cooling(thread))

    assert calls == ["queue"] * 5 + ["after"]


def test_more_skips_the_cooldown() -> None:
    """A cooldown begins with the first run that returns anything but True."""
    function = Counted(enough=10, result=True)

    with running(quick(function, success_cooldown=HOUR)) as thread:
        assert happens(function.reached)
        function.result = None
        until(lambda: cooling(thread))


def test_once() -> None:
    """With `once` every task runs once, without cooldowns, and the thread ends."""
    first, second = Counted(result=True), Counted()

    thread = make(
        quick(first, success_cooldown=HOUR),
        quick(FAILING["exception"], fail_cooldown=HOUR),
        quick(second, success_cooldown=HOUR),
        once=True,
        kind=COMMAND,
    )
    thread.start()
    thread.join(PATIENCE)

    assert not thread.is_alive()
    assert (first.calls, second.calls) == (1, 1)
    assert thread.failed


# Cooldowns.


@pytest.mark.parametrize("function", [lambda: None, FAILING["exception"]])
def test_cooldown(function: Callable[[], Any]) -> None:
    """A cooldown of a day and a minute is one of 86,460 seconds."""
    cooldown = timedelta(days=1, minutes=1)
    task = quick(function, success_cooldown=cooldown, fail_cooldown=cooldown)

    before = datetime.now(timezone.utc)
    with log() as kept, running(task) as thread:
        until(lambda: cooling(thread))
        snapshot = thread.status()

    after = datetime.now(timezone.utc)
    assert snapshot.next_run is not None
    assert before + cooldown <= snapshot.next_run
    assert snapshot.next_run <= after + cooldown + timedelta(seconds=1)
    assert "[quick] Sleeping 86460 seconds" in kept.texts()
    assert snapshot.runs == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "1"), (0.6, "0.6"), (2_592_000, "2592000"), (1_234_567.5, "1234567.5")],
)
def test_cooldown_log(seconds: float, text: str) -> None:
    """The log says how long a chain sleeps, to the second."""
    with log() as kept, running(quick(lambda: None, success_cooldown=seconds)) as found:
        until(lambda: cooling(found))

    assert f"[quick] Sleeping {text} seconds" in kept.texts()


def test_cooldown_is_served() -> None:
    """A cooldown is not shorter than it was asked for."""
    moments: list[float] = []
    done = threading.Event()

    def function() -> None:
        moments.append(time.monotonic())
        if len(moments) == 3:
            done.set()

    with running(quick(function, success_cooldown=0.05)):
        assert happens(done)

    pauses = [later - moment for moment, later in itertools.pairwise(moments)]
    assert min(pauses) >= 0.05


def test_longest_cooldown() -> None:
    """A cooldown as long as there can be is served, and can be looked at."""
    with running(quick(lambda: None, success_cooldown=timedelta.max)) as thread:
        until(lambda: cooling(thread))

        next_run = thread.status().next_run

    assert next_run is not None
    assert next_run.year == 9999


def test_clock_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Setting the clock does not end a cooldown."""
    function = Counted()
    read = time.time
    with running(quick(function, success_cooldown=HOUR)) as thread:
        until(lambda: cooling(thread))
        monkeypatch.setattr(time, "time", lambda: read() + 10 * HOUR)
        thread.ring()
        until(lambda: thread._bell.locked())

        assert cooling(thread)
        assert function.calls == 1


def test_wake() -> None:
    """Woken up, a chain goes on at once with its next task."""
    first, second = Counted(), Counted()

    with running(
        quick(first, success_cooldown=HOUR), quick(second, success_cooldown=HOUR)
    ) as thread:
        until(lambda: cooling(thread))
        thread.wake()
        assert happens(second.reached)
        until(lambda: cooling(thread))

    assert (first.calls, second.calls) == (1, 1)


def test_wake_while_running() -> None:
    """Woken up while a task runs, the cooldown after it is skipped."""
    first, second = threading.Event(), Counted()
    go = threading.Event()

    def function() -> None:
        first.set()
        assert happens(go)

    with running(quick(function, success_cooldown=HOUR), quick(second)) as thread:
        assert happens(first)
        thread.wake()
        go.set()

        assert happens(second.reached)


def test_wake_before_no_cooldown() -> None:
    """A wake that has nothing to end ends no later cooldown."""
    woken = Counted()
    thread: RunnerThread

    def first() -> None:
        thread.wake()

    thread = make(quick(first, success_cooldown=0), quick(woken, success_cooldown=HOUR))
    with started(thread):
        until(lambda: cooling(thread))

        assert woken.calls == 1
        assert not thread._wake_asked


def test_wake_from_many_threads() -> None:
    """Each time a chain is woken it runs, whoever does it and however often."""
    function = Counted(enough=50)

    with running(quick(function, success_cooldown=HOUR)) as thread:

        def keep_waking() -> None:
            while not function.reached.is_set():
                thread.wake()
                time.sleep(0.0005)

        threads = [threading.Thread(target=keep_waking) for _ in range(4)]
        for waker in threads:
            waker.start()
        assert happens(function.reached)
        for waker in threads:
            waker.join(PATIENCE)


def test_stop_in_a_cooldown() -> None:
    """A stop ends a cooldown at once."""
    with running(quick(lambda: None, success_cooldown=HOUR)) as thread:
        until(lambda: cooling(thread))

        assert thread.stop(PATIENCE) is True

    assert not thread.is_alive()
    assert thread.status().state == status.STOPPED
    assert thread.status().runs == 1


def test_stop_while_running() -> None:
    """A stop waits for the task that runs, and no further one runs."""
    begun, go, second = threading.Event(), threading.Event(), Counted()

    def function() -> None:
        begun.set()
        assert happens(go)

    with running(quick(function), quick(second)) as thread:
        assert happens(begun)
        assert thread.stop(0) is False
        assert thread.stop(0.01) is False
        go.set()
        assert thread.stop() is True

    assert second.calls == 0
    assert thread.status().tasks[0].runs == 1


def test_stop_from_inside() -> None:
    """A task may stop its own chain: it ends after that task."""
    answers = []

    def function() -> None:
        answers.append(thread.stop())

    thread = make(quick(function, success_cooldown=HOUR), quick(lambda: None))
    with started(thread):
        thread.join(PATIENCE)

        assert not thread.is_alive()

    assert answers == [False]
    assert thread.status().tasks[1].runs == 0


def test_stop_before_start() -> None:
    """A thread that was stopped before it was started runs nothing."""
    function = Counted()
    thread = make(quick(function))

    assert thread.stop() is True
    thread.start()
    thread.join(PATIENCE)

    assert function.calls == 0
    assert thread.stop() is True


@pytest.mark.parametrize("action", ["wake", "ask_to_stop", "stop", "status"])
def test_signal_handler(action: str) -> None:
    """A chain may be woken, stopped and looked at from a signal handler."""
    second = Counted()
    with running(
        quick(lambda: None, success_cooldown=HOUR), quick(second, success_cooldown=HOUR)
    ) as thread:
        until(lambda: cooling(thread))
        previous = signal.signal(
            signal.SIGUSR1, lambda number, frame: getattr(thread, action)()
        )
        try:
            # Within calls of the very same methods, too.
            for _ in range(5):
                thread.status()
                signal.raise_signal(signal.SIGUSR1)
        finally:
            signal.signal(signal.SIGUSR1, previous)
        if action == "wake":
            assert happens(second.reached)
        elif action != "status":
            thread.join(PATIENCE)
            assert not thread.is_alive()


def test_start_twice() -> None:
    """A thread starts once, and asking again does not disturb it."""
    with running(quick(lambda: None, success_cooldown=HOUR)) as thread:
        until(lambda: cooling(thread))

        with pytest.raises(RuntimeError, match="started once"):
            thread.start()

        assert cooling(thread)


def test_thread() -> None:
    """The thread has the chain's name and keeps no process alive."""
    thread = make(quick(lambda: None), name="mailing")

    assert isinstance(thread, threading.Thread)
    assert thread.name == "mailing"
    assert thread.daemon
    assert thread.kind == HOSTED
    assert not thread.fresh
    assert make(quick(lambda: None), kind=COMMAND).fresh


# Status.


def test_status_of_each_state() -> None:
    """A snapshot says what a chain does, from before its start to after its end."""
    begun, go, prepared = threading.Event(), threading.Event(), threading.Event()
    lock = MemoryLock()
    lock.is_free = False

    def function() -> None:
        begun.set()
        assert happens(go)
        raise ValueError("no")

    thread = make(
        quick(function, fail_cooldown=HOUR),
        lock=lock,
        ready=lambda: 0.0 if prepared.is_set() else 60.0,
    )
    found = [thread.status()]
    with started(thread):
        found.append(thread.status())
        prepared.set()
        thread.wake()
        until(lambda: standing_by(thread))
        found.append(thread.status())
        lock.is_free = True
        thread.look_after()
        assert happens(begun)
        found.append(thread.status())
        running = thread.running()
        assert running is not None
        thread.set_stalled(running, running.started)
        found.append(thread.status())
        go.set()
        until(lambda: cooling(thread))
        found.append(thread.status())
    found.append(thread.status())

    assert [snapshot.state for snapshot in found] == [
        "stopped",
        "starting",
        "standby",
        "running",
        "stalled",
        "cooling down",
        "stopped",
    ]
    tasks = ["quick", "quick"]
    assert [s.current_task for s in found] == [None, None, None, *tasks, None, None]
    assert [s.runs for s in found] == [0, 0, 0, 0, 0, 1, 1]
    assert [s.failures for s in found] == [0, 0, 0, 0, 0, 1, 1]
    assert [s.next_run is None for s in found] == [True] * 5 + [False, True]
    assert [s.last_run is None for s in found] == [True] * 3 + [False] * 4
    assert [s.down_since is None for s in found] == [True] * 5 + [False, False]
    assert found[2].reason.startswith("It is run by an unknown process")
    assert found[5].tasks[0].consecutive == 1
    assert found[5].last_run is not None
    assert found[5].last_run.tzinfo is timezone.utc
    assert found[5].name == "chain"
    assert found[0].reason == found[3].reason == found[6].reason == ""


def test_status_of_a_recovery() -> None:
    """A chain is down for as long as one of its tasks is."""
    outcomes = [ValueError("no"), ValueError("no"), None]

    def function() -> None:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome

    options: dict[str, Any] = {"success_cooldown": HOUR, "fail_cooldown": HOUR}
    found = []
    with running(quick(function, **options)) as thread:
        for number in range(1, 4):
            until(lambda number=number: thread.status().runs == number)  # type: ignore[misc]
            until(lambda: cooling(thread))
            found.append(thread.status())
            if number < 3:
                thread.wake()

    assert [s.tasks[0].consecutive for s in found] == [1, 2, 0]
    assert found[0].down_since == found[1].down_since is not None
    assert found[2].down_since is None
    assert (found[2].runs, found[2].failures) == (3, 2)


# Signals.


def test_chain_signals() -> None:
    """A chain tells when it begins and ends to run here, around its runs."""
    states: list[Any] = []
    function = Counted()
    thread = make(quick(function, success_cooldown=HOUR))

    def starting(sender: Any) -> None:
        sender.state.put("mine", 5)
        states.append(function.calls)

    def stopping(sender: Any) -> None:
        states.append(sender.state.get("mine"))

    with (
        signals.chain_started.connected_to(starting),
        signals.chain_stopped.connected_to(stopping),
        received(
            "chain_started", "chain_stopped", "task_started", "task_succeeded"
        ) as calls,
        started(thread),
    ):
        until(lambda: cooling(thread))

    names = [name for name, _, _ in calls]
    assert names == ["chain_started", "task_started", "task_succeeded", "chain_stopped"]
    assert calls[0][1] is calls[3][1] is thread
    assert states == [0, 5]


def test_signals_of_a_chain_that_raise() -> None:
    """Receivers that raise stop nothing."""
    function = Counted(enough=3)

    def broken(sender: Any, **payload: Any) -> None:
        raise SystemExit(1)

    with (
        log() as kept,
        signals.chain_started.connected_to(broken),
        signals.chain_stopped.connected_to(broken),
        signals.task_started.connected_to(broken),
        signals.task_succeeded.connected_to(broken),
        running(quick(function)),
    ):
        assert happens(function.reached)

    assert kept.actions().count("receiver_failed") >= 5
    assert "chain_broken" not in kept.actions()


def test_receiver_that_stops_the_chain() -> None:
    """A receiver may stop the chain that it hears of."""

    def stop(sender: Any, **payload: Any) -> None:
        thread.stop()

    thread = make(quick(lambda: None, success_cooldown=HOUR))
    with signals.task_succeeded.connected_to(stop), started(thread):
        thread.join(PATIENCE)

        assert not thread.is_alive()


# Ownership.


def test_standby() -> None:
    """A chain that another process owns waits, and runs when it can be had."""
    lock, function = MemoryLock(), Counted()
    lock.is_free = False

    with running(quick(function, success_cooldown=HOUR), lock=lock) as thread:
        until(lambda: standing_by(thread))
        thread.look_after()
        assert function.calls == 0
        lock.is_free = True
        thread.look_after()

        assert happens(function.reached)


def test_stop_in_standby() -> None:
    """A chain that stands by stops at once."""
    lock = MemoryLock()
    lock.is_free = False

    with running(quick(lambda: None), lock=lock) as thread:
        until(lambda: standing_by(thread))

        assert thread.stop(PATIENCE)


def test_yield() -> None:
    """A hosted chain that is asked to yields after its run, and comes back."""
    lock, function = MemoryLock(), Counted()
    lock.is_free = True

    with (
        received("chain_started", "chain_stopped") as calls,
        running(quick(function, success_cooldown=HOUR), lock=lock) as thread,
    ):
        until(lambda: cooling(thread))
        thread.look_after()
        assert cooling(thread)
        lock.wanted = True
        thread.look_after()
        until(lambda: standing_by(thread))
        lock.wanted = False
        thread.look_after()
        until(lambda: len(calls) == 3)

    assert [name for name, _, _ in calls] == ["chain_started", "chain_stopped"] * 2


def test_yield_of_a_command() -> None:
    """A chain in a process of its own ends when it is asked to yield."""
    lock = MemoryLock()

    with running(
        quick(lambda: None, success_cooldown=HOUR), lock=lock, kind=COMMAND
    ) as thread:
        until(lambda: cooling(thread))
        lock.wanted = True
        thread.look_after()
        thread.join(PATIENCE)

        assert not thread.is_alive()


def test_lost() -> None:
    """A chain whose pidfile was replaced stops running it, says so, writes nothing."""
    lock, function = MemoryLock(), Counted(enough=2)
    closed: list[bool] = []

    class State(MemoryState):
        def close(self, *, write: bool = True) -> None:
            closed.append(write)

    task = quick(function, success_cooldown=HOUR)
    with log() as kept, running(task, lock=lock, state=State()) as thread:
        until(lambda: cooling(thread))
        lock.is_lost = True
        thread.look_after()
        until(lambda: closed)
        thread.wake()
        assert happens(function.reached)

    assert kept.actions().count("ownership_lost") == 1
    assert closed[0] is False


def test_doubt() -> None:
    """A moment's doubt of the pidfile does not end a cooldown."""
    lock, function = MemoryLock(), Counted()

    with running(quick(function, success_cooldown=HOUR), lock=lock) as thread:
        until(lambda: cooling(thread))
        lock.is_lost = True
        thread._doubted = True
        lock.is_lost = False
        thread.ring()
        until(lambda: not thread._doubted)

        assert cooling(thread)
        assert function.calls == 1


def test_lost_in_the_last_moment_of_a_cooldown() -> None:
    """A pidfile that is lost after the last look at it, and before the run, is seen."""

    class Lock(MemoryLock):
        def is_held(self) -> bool:
            held = super().is_held()
            if cooling(thread) and not self.is_lost:
                # Not in the first cooldown, perhaps: a late one is not slept out twice.
                calls.append(function.calls)
                self.is_lost, self.is_free, thread._doubted = True, False, True
                thread.ring()
            return held

    calls: list[int] = []
    function = Counted()
    thread = make(quick(function, success_cooldown=0.05), lock=Lock())
    with log() as kept, started(thread):
        until(lambda: "ownership_lost" in kept.actions())

        assert calls == [function.calls]


def keeper_of(*, crowded: bool) -> NoKeeper:
    """Return a keeper of many chains, or of few."""
    keeper = NoKeeper()
    keeper.is_crowded = crowded
    return keeper


@pytest.mark.parametrize(("crowded", "early"), [(False, 3e-4), (True, 8e-5)])
def test_early(crowded: bool, early: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """It wakes up before its time, and less so among many."""

    class Waker:
        def acquire(self, timeout: float) -> None:
            waits.append(timeout)
            thread.wake()

        def release(self) -> None:
            """Wake nobody."""

    waits: list[float] = []
    thread = make(quick(Counted()), keeper=keeper_of(crowded=crowded))
    thread._bell = Waker()  # type: ignore[assignment]
    clock = SimpleNamespace(monotonic=lambda: 1000.0, time=lambda: 0.0)
    monkeypatch.setattr("yourlabs.runner.chain.thread.time", clock)
    thread._cool_down(0, 1000.4)

    assert waits == [pytest.approx(0.4 - early, abs=1e-6)]


@pytest.mark.parametrize(
    ("crowded", "expected"), [(False, [0.0997, 2.8e-4]), (True, [0.09992, 5.7e-5])]
)
def test_last_moment(
    crowded: bool, expected: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No cooldown is cut short, and none sleeps for less than the kernel can."""

    clock, lock = TickingClock(), MemoryLock()
    assert lock.acquire()
    thread = make(quick(Counted()), lock=lock, keeper=keeper_of(crowded=crowded))
    thread._bell = sleeper = Sleeper(clock, 2e-5)  # type: ignore[assignment]
    monkeypatch.setattr("yourlabs.runner.chain.thread.time", clock)
    thread._cool_down(0, 1000.1)

    assert clock.now >= 1000.1
    assert sleeper.waits == [pytest.approx(wait, abs=2e-5) for wait in expected]


@pytest.mark.parametrize(
    ("cooldown", "looks", "wakes_soon"),
    [(0.1, 4, True), (0.4, 5, True), (0.6, 0, False)],
)
def test_look_after_itself(
    cooldown: float, looks: int, wakes_soon: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chain that rests for moments asks each second whether it is wanted."""

    class Lock(MemoryLock):
        def is_wanted(self) -> bool:
            asked.append(clock.now)
            return super().is_wanted()

    def sleep(deadline: float, early: float) -> None:
        slept.append(thread.wakes_soon)
        clock.now = deadline

    asked: list[float] = []
    slept: list[bool] = []
    clock = SimpleNamespace(now=1000.0, time=lambda: 0.0)
    clock.monotonic = lambda: clock.now
    thread = make(quick(Counted()), lock=Lock())
    monkeypatch.setattr(thread, "_sleep", sleep)
    monkeypatch.setattr("yourlabs.runner.chain.thread.time", clock)
    while clock.now < 1004.0 - 1e-6:
        thread._cool_down(0, clock.now + cooldown)

    # The next look would come too late after the cooldown.
    assert len(asked) == pytest.approx(looks, abs=looks and 1)
    assert all(b - a <= 1.0 for a, b in pairwise(asked))
    assert set(slept) == {wakes_soon}
    assert not thread.wakes_soon


@pytest.mark.parametrize(("early", "often"), [(5e-5, 1.0), (-1e-5, 2.0)])
def test_looks_in_a_crowd(
    early: float, often: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a crowd it looks around before the time of a run; when late, half as often."""

    class Lock(MemoryLock):
        def is_wanted(self) -> bool:
            asked.append(clock.now)
            return super().is_wanted()

        def is_held(self) -> bool:
            seen.append(clock.now)
            return super().is_held()

    asked: list[float] = []
    seen: list[float] = []
    clock, lock = TickingClock(), Lock()
    assert lock.acquire()
    thread = make(quick(Counted()), lock=lock, keeper=keeper_of(crowded=True))
    thread._bell = Sleeper(clock, 8e-5 - early)  # type: ignore[assignment]
    monkeypatch.setattr("yourlabs.runner.chain.thread.time", clock)
    while clock.now < 1010:
        thread._ensure_held(late=True)
        thread._cool_down(0, clock.now + 0.1)

    for moments in (asked, seen):
        gaps = [b - a for a, b in pairwise(moments)]
        assert gaps == [pytest.approx(often, abs=0.12)] * len(gaps)
        assert len(gaps) >= 3


def test_wanted_in_a_short_cooldown() -> None:
    """A chain that rests for moments lets go when it is wanted."""
    lock = MemoryLock()
    with running(quick(Counted(), success_cooldown=0.01), lock=lock) as thread:
        until(lambda: thread.status().runs > 2)
        thread._looked_at = 0.0
        lock.wanted = True
        until(lambda: standing_by(thread))

        assert not lock.is_held()


def test_wanted_for_a_moment() -> None:
    """A candidate that gives up while the chain is about to let go cuts no cooldown."""

    class Lock(MemoryLock):
        def is_wanted(self) -> bool:
            asked.append(cooling(thread))
            # Seen where the sleep ends, and gone where the loop does.
            return asked == [True]

    asked: list[bool] = []
    function = Counted()
    thread = make(quick(function, success_cooldown=HOUR), lock=Lock())
    with started(thread):
        until(lambda: cooling(thread))
        thread.ask_to_yield()
        until(lambda: len(asked) == 2)
        until(lambda: cooling(thread))

    assert asked == [True, False]
    assert function.calls == 1


def test_lost_in_a_run() -> None:
    """Nothing is written over the state of who may be the owner by now."""

    def function() -> None:
        lock.is_lost, lock.is_free, thread._doubted = True, False, True

    lock, state = MemoryLock(), MemoryState()
    thread = make(quick(function, success_cooldown=HOUR), lock=lock, state=state)
    with log() as kept, started(thread):
        until(lambda: "ownership_lost" in kept.actions())

    assert state.get("schedule") is None


def test_lost_for_a_moment() -> None:
    """A pidfile that was found to be lost is lost: the chain begins anew with it."""

    class Lock(MemoryLock):
        def is_held(self) -> bool:
            held = super().is_held()
            if self.is_lost:
                self.is_lost = False
            return held

    lock, function = Lock(), Counted()
    with (
        log() as kept,
        running(quick(function, success_cooldown=HOUR), lock=lock) as thread,
    ):
        until(lambda: cooling(thread))
        lock.is_lost = thread._doubted = True
        thread.ring()
        until(lambda: "ownership_lost" in kept.actions())
        until(lambda: lock.attempts == 2)
        until(lambda: cooling(thread))


def test_breakdown_in_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """What breaks down in a run is not seen to run for ever."""

    def broken(*_: Any, **__: Any) -> float:
        raise OverflowError("no more")

    monkeypatch.setattr(TaskRunner, "run", broken)
    thread = make(quick(Counted()))
    with log(), started(thread):
        until(lambda: thread.status().reason)
        until(lambda: thread.status().current_task is None)


def test_breakdown_in_a_short_cooldown() -> None:
    """A chain that breaks down in a cooldown is looked after from then on."""

    class Lock(MemoryLock):
        def is_held(self) -> bool:
            if cooling(thread):
                self.error = OSError(5, "Input/output error")
                raise self.error
            return super().is_held()

    lock = Lock()
    thread = make(quick(Counted(), success_cooldown=0.01), lock=lock)
    with log(), started(thread):
        until(lambda: "Input/output" in thread.status().reason)

        assert not thread.wakes_soon


def test_run_marks() -> None:
    """Each run is marked before it begins; the mark goes when the chain rests."""
    lock = MemoryLock()
    tasks = quick(lambda: None), quick(lambda: None, success_cooldown=HOUR)
    # In a host it may rest for a moment between the two.
    with running(*tasks, lock=lock, kind=COMMAND) as thread:
        until(lambda: cooling(thread) and lock.marks and lock.marks[-1] is None)

    assert lock.marks == [0, 1, None]


def test_broken_machinery() -> None:
    """What keeps a chain from running is told once, and it recovers alone."""
    lock, function = MemoryLock(), Counted()
    lock.error = OSError(30, "Read-only file system")

    with log() as kept, running(quick(function), lock=lock) as thread:
        until(lambda: thread.status().reason)
        for _ in range(3):
            thread.wake()
            until(lambda: not thread._wake_asked)
        assert "Read-only file system" in thread.status().reason
        assert thread.status().state == status.STANDBY
        lock.error = None
        thread.wake()
        assert happens(function.reached)
        assert thread.status().reason == ""

    assert kept.actions().count("chain_broken") == 1


def test_broken_machinery_in_standby() -> None:
    """A chain that stands by tells what keeps it from trying, and goes on trying."""
    lock, function = MemoryLock(), Counted()
    lock.is_free = False

    with log() as kept, running(quick(function), lock=lock) as thread:
        until(lambda: standing_by(thread))
        lock.error = OSError(30, "Read-only file system")
        thread.look_after()
        thread.look_after()
        assert kept.actions().count("chain_broken") == 1
        lock.error, lock.is_free = None, True
        thread.look_after()
        assert happens(function.reached)


def test_stop_of_a_broken_chain() -> None:
    """A chain that cannot run stops at once."""
    lock = MemoryLock()
    lock.error = RuntimeError("broken")

    with log() as kept, running(quick(lambda: None), lock=lock) as thread:
        until(lambda: thread.status().reason)
        assert thread.stop(PATIENCE)

    [record] = [r for r in kept.records if getattr(r, "action", "") == "chain_broken"]
    assert record.exc_info


def test_other_functions() -> None:
    """A chain that stands by behind other functions of its name says so."""
    lock = MemoryLock()
    lock.is_free = False
    record = owner("tests.other")
    lock.owner = lambda: record  # type: ignore[method-assign]

    with log() as kept, running(quick(lambda: None), lock=lock) as thread:
        until(lambda: standing_by(thread))
        thread.look_after()

        assert "tests.other" in thread.status().reason
        assert "name=" in thread.status().reason

    assert "chain_broken" in kept.actions()


# What the next owner honours.


def owner(path: str, *, since: float | None = None) -> OwnerRecord:
    """The record of an owner, of another process; it died in a run if `since`."""
    return OwnerRecord(
        Identity(4_711, 5, "boot", 1, "web1", HOSTED),
        seq=1,
        since=1_000.0,
        functions=(path,),
        run=None if since is None else RunMark(path, since),
    )


def first_task() -> None:
    """Do nothing."""


def second_task() -> None:
    """Do nothing."""


def two(**options: Any) -> list[Any]:
    options = {"success_cooldown": timedelta(hours=12), **options}
    return [
        quick(first_task, **options, name="one"),
        quick(second_task, **options, name="two"),
    ]


def rest(thread: RunnerThread) -> None:
    """Let `thread` run until it rests."""
    with started(thread):
        until(lambda: cooling(thread))
        until(lambda: thread._plan)


def scheduled(thread: RunnerThread) -> float:
    """Return when the next run of `thread` is due."""
    assert thread._plan is not None
    return time.time() + thread._plan.deadline - time.monotonic()


def left(thread: RunnerThread) -> float:
    """How many seconds of its cooldown are left, once it rests."""
    until(lambda: cooling(thread) and thread._plan)
    next_run = thread.status().next_run
    assert next_run is not None
    return (next_run - datetime.now(timezone.utc)).total_seconds()


def test_cooldown_survives() -> None:
    """A cooldown of 12 hours is served by the next owner, and not begun anew."""
    state = MemoryState()
    rest(make(*two(), state=state))
    state.get("schedule")["due"] -= 2 * HOUR

    with started(make(*two(), state=state)) as thread:
        remaining = left(thread)
        assert thread.status().runs == 0
        thread.wake()
        until(lambda: thread.status().runs == 1)
        snapshot = thread.status()

    # What is written is rounded to milliseconds.
    assert 10 * HOUR - 60 <= remaining <= 10 * HOUR + 0.001
    assert [task.runs for task in snapshot.tasks] == [0, 1]


def test_cooldown_that_is_over() -> None:
    """A cooldown that ended while nobody owned the chain is not repeated."""
    state = MemoryState()
    rest(make(*two(), state=state))
    state.get("schedule")["due"] -= 13 * HOUR

    with started(make(*two(), state=state)) as thread:
        until(lambda: thread.status().runs == 1)
        snapshot = thread.status()

    assert [task.runs for task in snapshot.tasks] == [0, 1]


def test_cooldown_that_was_shortened() -> None:
    """A cooldown that was made shorter in the meantime is served as it is now."""
    state = MemoryState()
    rest(make(*two(), state=state))
    tasks = two(success_cooldown=60, fail_cooldown=30)

    with started(make(*tasks, state=state)) as thread:
        assert 30 < left(thread) <= 60


def test_clock_that_was_set_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that was set in a cooldown makes it no shorter for the next owner."""
    state = MemoryState()
    with started(make(*two(), state=state)) as thread:
        until(lambda: cooling(thread))
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 13 * HOUR)
        next_run = thread.status().next_run
        assert next_run is not None
        assert next_run.timestamp() - time.time() == pytest.approx(12 * HOUR, abs=60)

    with started(make(*two(), state=state)) as thread:
        until(lambda: cooling(thread))
        assert thread.status().runs == 0


def test_clock_that_was_set_back_among_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written by a clock that was ahead is written anew."""
    state = MemoryState()
    thread = make(quick(Counted()), state=state)
    logbook = thread._logbook
    logbook.write(Plan(0, time.monotonic() + 0.4, "tests.quick"))
    assert not logbook.is_due(time.monotonic() + 0.8)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - HOUR)

    assert logbook.is_due(time.monotonic() + 0.8)


def test_cooldown_of_a_task_before_one_that_is_new() -> None:
    """A task that a deploy puts in between does not take over the cooldown."""
    state = MemoryState()
    tasks = two()
    rest(make(*tasks, state=state))
    new = replace(quick(Counted(), success_cooldown=1, name="new"), path="tests.new")
    for _ in range(3):
        thread = make(tasks[0], new, tasks[1], state=state)
        rest(thread)
        assert thread.status().runs == 0

    assert state.get("schedule")["after"] == tasks[0].path
    assert state.get("schedule")["due"] > time.time() + 11 * HOUR


def test_clock_that_was_set_back() -> None:
    """A clock that was set back makes no cooldown longer, nor a run early."""
    state = MemoryState()
    rest(make(*two(), state=state))
    state.get("schedule")["due"] += 1_000 * HOUR

    with started(make(*two(), state=state)) as thread:
        assert 12 * HOUR - 60 <= left(thread) <= 12 * HOUR
        assert thread.status().runs == 0


def test_cooldown_is_passed_on() -> None:
    """A cooldown survives any number of owners."""
    state = MemoryState()
    rest(make(*two(), state=state))
    for _ in range(3):
        thread = make(*two(), state=state)
        rest(thread)
        assert thread.status().runs == 0

    with started(make(*two(), state=state)) as thread:
        assert 12 * HOUR - 60 <= left(thread) <= 12 * HOUR


class Bell:
    """A bell at which nobody's time runs out."""

    def __init__(self) -> None:
        self.waited_for = threading.Event()
        self._bell = threading.Lock()
        self._bell.acquire()
        self.release = self._bell.release

    def acquire(self, timeout: float) -> bool:
        """Wait for the bell, however soon the waiting is to end."""
        self.waited_for.set()
        return self._bell.acquire(timeout=PATIENCE)


@pytest.mark.parametrize(
    ("crowded", "tasks", "cooldown", "is_written"),
    [
        (False, 1, 0.4, False),
        (False, 2, 0.4, False),
        (False, 1, 9.0, True),
        (True, 1, 9.0, False),
        (True, 2, 9.0, True),
        (True, 1, HOUR, True),
    ],
)
def test_when_a_cooldown_is_written(
    crowded: bool, tasks: int, cooldown: float, is_written: bool
) -> None:
    """A short one is written when the chain stops in it: seldom, and as exactly."""
    state, bell = MemoryState(), Bell()
    chain = two(success_cooldown=cooldown)[:tasks]
    thread = make(*chain, state=state, keeper=keeper_of(crowded=crowded))
    thread._bell = bell  # type: ignore[assignment]
    thread._logbook._next = time.monotonic() + HOUR
    with started(thread):
        assert happens(bell.waited_for)
        written = state.get("schedule")
        due = scheduled(thread)

    assert (written is not None) is is_written
    schedule = state.get("schedule")
    assert schedule["next"] == chain[-1].path
    # Two clocks are read for it, maybe with a pause in between.
    assert schedule["due"] == pytest.approx(due, abs=0.1)


def test_schedule_goes_with_what_is_written_now_and_then() -> None:
    """A failure is not written without the cooldown that follows."""
    state, bell = MemoryState(), Bell()
    task = quick(FAILING["class"], fail_cooldown=9)
    thread = make(task, state=state, keeper=keeper_of(crowded=True))
    thread._bell = bell  # type: ignore[assignment]
    with started(thread):
        assert happens(bell.waited_for)

        assert state.get("incidents")
        due = state.get("schedule")["due"]

    assert due == pytest.approx(scheduled(thread), abs=0.1)


def test_short_cooldown_in_a_long_one() -> None:
    """What is written is never a longer wait than the one that is served."""
    state, bell = MemoryState(), Bell()
    outcomes = [None, ValueError("after it was woken")]

    def function() -> None:
        if outcome := outcomes.pop(0):
            raise outcome

    task = quick(function, success_cooldown=HOUR, fail_cooldown=0.4)
    thread = make(task, state=state)
    thread._bell = bell  # type: ignore[assignment]
    with started(thread):
        assert happens(bell.waited_for)
        assert state.get("schedule")["due"] > time.time() + HOUR / 2
        bell.waited_for.clear()
        thread.wake()
        assert happens(bell.waited_for)

        assert state.get("schedule")["due"] < time.time() + 1


def test_run_that_is_due_again() -> None:
    """A cooldown that was cut is not passed on when the next run is due at once."""
    state = MemoryState()
    passed_on: list[float] = []

    def function() -> bool:
        thread = threading.current_thread()
        assert isinstance(thread, RunnerThread)
        if not thread.tasks[1].runs:
            return False
        passed_on.append(state.get("schedule")["due"])
        if thread.tasks[0].runs == 2:
            thread.ask_to_stop()
        return True

    first, second = quick(function, name="one"), two()[1]
    thread = make(first, second, state=state)
    with started(thread):
        until(lambda: cooling(thread))
        assert state.get("schedule")["due"] > time.time() + 11 * HOUR
        thread.wake()
        thread.join(PATIENCE)

    # What was known after the first run again, for the case of a kill.
    assert passed_on[1] <= time.time() + 0.001
    schedule = state.get("schedule")
    assert schedule["next"] == thread.tasks[0].key
    assert schedule["due"] <= time.time() + 0.001


def test_woken_and_stopped() -> None:
    """A chain that was woken in its run, and stopped, is due for the next owner."""
    state = MemoryState()

    def function() -> None:
        thread.wake()
        thread.ask_to_stop()

    thread = make(quick(function, success_cooldown=HOUR), state=state)
    with started(thread):
        thread.join(PATIENCE)

    assert state.get("schedule")["due"] <= time.time() + 0.001


def test_woken_when_the_pidfile_cannot_be_written() -> None:
    """A chain that breaks down before its run goes on with that run."""
    state, function = MemoryState(), Counted(enough=2)

    class Lock(MemoryLock):
        def begin(self, index: int) -> None:
            if self.marks and not errors:
                errors.append(OSError(5, "Input/output error"))
                raise errors[0]
            super().begin(index)

    errors: list[OSError] = []
    thread = make(quick(function, success_cooldown=HOUR), state=state, lock=Lock())
    with log(), started(thread):
        until(lambda: cooling(thread))
        thread.wake()
        until(lambda: errors)
        # So that it tries again at once: a wait before that, and not a cooldown.
        thread.wake()
        until(lambda: function.calls == 2)


def test_cut_by_the_end_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that the end of the process cut is the next one of the next owner."""
    state = MemoryState()

    def function() -> None:
        thread.ask_to_stop()
        monkeypatch.setattr(threading, "_SHUTTING_DOWN", True, raising=False)
        raise RuntimeError("cannot schedule new futures after shutdown")

    first, second = quick(Counted(), name="one"), quick(function, name="two")
    thread = make(first, second, state=state)
    with started(thread):
        thread.join(PATIENCE)

    assert state.get("schedule")["next"] == thread.tasks[1].key
    assert not state.get("incidents")


def test_command_that_is_stopped_before_its_first_run() -> None:
    """It passes on the cooldown that it did not serve."""
    state = MemoryState()
    rest(make(*two(), state=state))
    before = state.get("schedule")

    def stop(chain: RunnerThread) -> None:
        chain.ask_to_stop()

    with signals.chain_started.connected_to(stop):
        thread = make(*two(), state=state, kind=COMMAND)
        with started(thread):
            thread.join(PATIENCE)

    assert thread.status().runs == 0
    assert state.get("schedule") == before


def test_reordered_chain() -> None:
    """A chain that was reordered goes on with the task that was next."""
    state = MemoryState()
    rest(make(*two(), state=state))
    tasks = two()[::-1]

    with started(make(*tasks, state=state)) as thread:
        assert left(thread) > 11 * HOUR
        thread.wake()
        until(lambda: thread.status().runs == 1)

        assert [task.runs for task in thread.status().tasks] == [1, 0]

    with started(make(*tasks, state=state)) as thread:
        assert left(thread) > 11 * HOUR


def test_person_starts_it() -> None:
    """A chain that a person starts begins at once, with its first task."""
    state = MemoryState()
    rest(make(*two(), state=state))

    with started(make(*two(), state=state, kind=COMMAND)) as thread:
        until(lambda: thread.status().runs == 1)

        assert [task.runs for task in thread.status().tasks] == [1, 0]


def test_downtime_survives() -> None:
    """A downtime goes on with the next owner, and is recovered from once."""
    state = MemoryState()
    task = quick(FAILING["class"], fail_cooldown=HOUR)
    rest(make(task, state=state))
    thread = make(task, state=state, kind=COMMAND)
    rest(thread)
    down_since = thread.status().down_since
    assert thread.status().tasks[0].consecutive == 2

    # The same function, in order again.
    healthy = quick(lambda: None, success_cooldown=HOUR)
    healed = type(task)(healthy.func, task.path, task.name, {}, healthy.resolve)
    with received("task_recovered") as calls:
        rest(make(healed, state=state, kind=COMMAND))
        rest(make(healed, state=state, kind=COMMAND))

    [(_, _, payload)] = calls
    assert payload["recovery"].failures == 2
    assert payload["recovery"].down_since == down_since


def test_stopped_after_a_failure() -> None:
    """What failed last is known to the next owner, however short the cooldown is."""
    state = MemoryState()
    failed = threading.Event()

    def function() -> None:
        failed.set()
        thread.ask_to_stop()
        raise ValueError("the last")

    thread = make(quick(function, name="one"), state=state)
    with started(thread):
        assert happens(failed)

    [incident] = state.get("incidents").values()
    assert incident["failures"] == 1


def interrupted_lock(path: str) -> MemoryLock:
    lock = MemoryLock()
    lock.interrupted = owner(path, since=time.time() - 5)
    return lock


def test_interrupted() -> None:
    """A run that its process did not survive is a failure, and is cooled down from."""
    state = MemoryState()
    tasks = two(fail_cooldown=60)
    lock = interrupted_lock(tasks[0].path)

    with (
        received("task_failed") as calls,
        started(make(*tasks, state=state, lock=lock)) as thread,
    ):
        remaining = left(thread)
        snapshot = thread.status()
        thread.wake()
        until(lambda: thread.status().tasks[1].runs == 1)

    [(_, sender, payload)] = calls
    assert sender is tasks[0]
    assert payload["failure"].consecutive == 1
    assert 30 < remaining <= 60
    assert snapshot.tasks[0].failures == 1
    assert lock.interrupted is None


def test_status_in_a_forked_child() -> None:
    """The copy of a chain in a child runs nothing, and says so."""
    with running(quick(Counted(), success_cooldown=HOUR)) as thread:
        until(lambda: cooling(thread))
        read, write = os.pipe()
        child = os.fork()
        if child == 0:  # pragma: no cover - leaves by _exit
            snapshot = thread.status()
            os.write(write, f"{snapshot.state}|{snapshot.reason}".encode())
            os.write(write, f"|{snapshot.next_run}|{snapshot.current_task}".encode())
            os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        state, reason, next_run, current = os.read(read, 1000).decode().split("|")
        os.close(read)

    assert (state, next_run, current) == (status.STOPPED, "None", "None")
    assert "forked" in reason


def test_state_of_a_lost_chain() -> None:
    """From the moment that the loss is known, nothing is put into it."""

    class Closing(MemoryState):
        def close(self, *, write: bool = True) -> None:
            order.append(f"close {write}")

    def stopped(sender: Any) -> None:
        order.append("stopped")

    order: list[str] = []
    lock = MemoryLock()
    thread = make(quick(Counted(), success_cooldown=HOUR), lock=lock, state=Closing())
    with signals.chain_stopped.connected_to(stopped), log(), started(thread):
        until(lambda: cooling(thread))
        lock.is_lost = lock.wanted = True
        thread.look_after()
        until(lambda: order)

    assert order[:2] == ["close False", "stopped"]


def test_functions_of_one_factory() -> None:
    """They share a path, and neither downtimes nor cooldowns."""
    state = MemoryState()

    def failing(message: str) -> Task:
        def function() -> None:
            raise ValueError(message)

        return quick(function, name=message, fail_cooldown=3600)

    first, second = failing("first"), failing("second")
    assert first.path == second.path
    with running(first, second, state=state) as thread:
        until(lambda: cooling(thread))
        thread.wake()
        until(lambda: thread.tasks[1].failures and cooling(thread))

    with running(first, second, state=state) as thread:
        until(lambda: cooling(thread))
        downs = [runner.incident for runner in thread.tasks]

    assert [[one.message for one in down.distinct()] for down in downs if down] == [
        ["first"],
        ["second"],
    ]


def test_interrupted_where_a_function_comes_twice() -> None:
    """It goes on after the one that was interrupted, not after the first of them."""
    calls: list[str] = []
    first = quick(lambda: calls.append("first"), name="one", fail_cooldown=0.01)
    second = quick(lambda: calls.append("second"), name="two", success_cooldown=HOUR)
    third = replace(second, func=lambda: calls.append("third"), path="tests.third")
    lock = MemoryLock()
    record = owner(first.path, since=time.time() - 5)
    assert record.run is not None
    lock.interrupted = replace(record, run=replace(record.run, index=2))
    with started(make(first, second, first, third, lock=lock)) as thread:
        until(lambda: cooling(thread) and calls)

    assert calls == ["third"]


def test_interruption_that_is_not_booked_yet() -> None:
    """It is known until it is in the state."""

    class State(MemoryState):
        def save(self) -> None:
            known.append(lock.interrupted is not None)

    known: list[bool] = []
    tasks = two(fail_cooldown=60)
    lock = interrupted_lock(tasks[0].path)
    with started(make(*tasks, state=State(), lock=lock)) as thread:
        left(thread)

    assert known[0]
    assert lock.interrupted is None


def test_interrupted_among_many() -> None:
    """What follows an interruption is written, however short it is."""
    state, bell = MemoryState(), Bell()
    task = quick(Counted(), fail_cooldown=2)
    lock = interrupted_lock(task.path)
    thread = make(task, state=state, lock=lock, keeper=keeper_of(crowded=True))
    thread._bell = bell  # type: ignore[assignment]
    with started(thread):
        assert happens(bell.waited_for)
        due = state.get("schedule")["due"]

    # It is written once when it is booked, a moment before the chain rests.
    assert due == pytest.approx(scheduled(thread), abs=0.1)


def test_interrupted_again_and_again() -> None:
    """The wait grows with each process that the task takes with it, up to an hour."""
    state = MemoryState()
    waits = []
    for _ in range(8):
        tasks = two(fail_cooldown=60)
        thread = make(*tasks, state=state, lock=interrupted_lock(tasks[0].path))
        with started(thread):
            waits.append(left(thread))

    expected = [60, 120, 240, 480, 960, 1_920, 3_600, 3_600]
    for wait, seconds in zip(waits, expected, strict=True):
        assert seconds - 30 < wait <= seconds


def test_interrupted_then_started_by_a_person() -> None:
    """A person's start runs at once, unless the task crashed twice in a row."""
    state = MemoryState()
    found = []
    for _ in range(3):
        tasks = two(fail_cooldown=60)
        lock = interrupted_lock(tasks[0].path)
        thread = make(*tasks, state=state, lock=lock, kind=COMMAND)
        with started(thread):
            until(lambda thread=thread: cooling(thread) and thread._plan)  # type: ignore[misc]
            found.append([task.runs for task in thread.status().tasks])
        state.put("schedule", None)
        # As if it had crashed again, and not run.
        incidents = state.get("incidents")
        if incidents:
            continue
        state.put(
            "incidents",
            {
                tasks[0].path: {
                    "down_since": time.time(),
                    "failures": 1,
                    "interrupted": 1,
                    "exceptions": [],
                }
            },
        )

    # The run that was interrupted counts; in the first case it was run again.
    assert found == [[2, 0], [1, 0], [1, 0]]


def test_interrupted_then_once() -> None:
    """With `once` every task runs once, whatever was interrupted before."""
    tasks = two(fail_cooldown=60)
    thread = make(*tasks, lock=interrupted_lock(tasks[1].path), kind=COMMAND, once=True)
    thread.start()
    thread.join(PATIENCE)

    assert [task.runs for task in thread.status().tasks] == [1, 2]
    assert not thread.failed


def test_ready() -> None:
    """A chain waits for its process to be set up, and then begins by itself."""
    waits = [0.001, 0.001, 0.0]
    function = Counted()

    with running(
        quick(function, success_cooldown=HOUR), ready=lambda: waits.pop(0)
    ) as thread:
        until(lambda: cooling(thread))

    assert waits == []
    assert function.calls == 1


def test_stop_while_getting_ready() -> None:
    """A chain whose process is never set up stops at once."""
    function = Counted()

    with running(quick(function), ready=lambda: HOUR) as thread:
        assert thread.stop(PATIENCE)

    assert function.calls == 0


def test_interrupted_success() -> None:
    """A run that ends well after a crash is a recovery."""
    tasks = two(fail_cooldown=60)
    lock = interrupted_lock(tasks[0].path)
    with (
        received("task_recovered") as calls,
        started(make(*tasks, lock=lock, kind=COMMAND)) as thread,
    ):
        until(lambda: cooling(thread))

    assert calls[0][2]["recovery"].failures == 1
    assert calls[0][2]["recovery"].exceptions[0].exception_type == (
        "yourlabs.runner.chain.execution.Interrupted"
    )


# Fork.


def test_forked_child() -> None:
    """A forked child of an owner runs nothing: its copy of the chain has stopped."""
    function = Counted()
    with running(quick(function, success_cooldown=HOUR)) as thread:
        until(lambda: cooling(thread))
        read, write = os.pipe()
        child = os.fork()
        if child == 0:  # pragma: no cover - leaves by _exit
            alive = thread.is_alive()
            stopped = thread.stop(1)
            os.write(write, f"{alive} {stopped} {function.calls}".encode())
            os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        answer = os.read(read, 100).decode()
        os.close(read)

        assert answer == "False True 1"
        assert cooling(thread)


def test_started_in_a_child() -> None:
    """A thread that was made before a fork starts in the child."""
    function = Counted()
    thread = make(quick(function, success_cooldown=HOUR))
    read, write = os.pipe()

    child = os.fork()
    if child == 0:  # pragma: no cover - leaves by _exit
        try:
            thread.start()
            function.reached.wait(PATIENCE)
            os.write(write, f"{function.calls} {thread.stop(PATIENCE)}".encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    answer = os.read(read, 100).decode()
    os.close(read)

    assert answer == "1 True"
    assert thread.status().state == status.STOPPED
    assert not thread.is_alive()


@pytest.mark.parametrize("ending", ["return", "raise", "exit", "exit_text"])
def test_task_that_forks(ending: str) -> None:
    """A child that comes back from the task ends there, and is no failure of it."""
    statuses: list[int] = []
    done = threading.Event()

    def function() -> None:
        child = os.fork()
        if child == 0:  # pragma: no cover - the child
            if ending == "raise":
                raise ValueError("in the child")
            if ending == "exit":
                raise SystemExit(7)
            if ending == "exit_text":
                raise SystemExit("bye")
            return
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        done.set()

    with running(quick(function, success_cooldown=HOUR)) as thread:
        assert happens(done)
        until(lambda: cooling(thread))

    assert thread.status().failures == 0
    assert statuses == [{"return": 0, "raise": 1, "exit": 7, "exit_text": 1}[ending]]


class Watching(NoKeeper):
    """Notes who is looked after."""

    def __init__(self) -> None:
        self.threads: set[RunnerThread] = set()

    def watch(self, thread: RunnerThread) -> None:
        self.threads.add(thread)

    def unwatch(self, thread: RunnerThread) -> None:
        self.threads.discard(thread)


def test_keeper() -> None:
    """A chain is looked after for as long as it runs, and not any longer."""
    keeper = Watching()
    with running(quick(lambda: None, success_cooldown=HOUR), keeper=keeper) as thread:
        until(lambda: cooling(thread))
        assert keeper.threads == {thread}

    assert keeper.threads == set()


def test_rest_of_a_busy_chain() -> None:
    """A hosted chain without cooldowns leaves time to its host, and stops at once."""

    def function() -> None:
        until_cpu = time.thread_time() + 0.02
        while time.thread_time() < until_cpu:
            pass

    thread = make(quick(function))
    begun = time.monotonic()
    with started(thread):
        until(lambda: thread.status().runs >= 5)
        took = time.monotonic() - begun

    assert took >= 4 * 0.02 * 3


def test_async_chain() -> None:
    """Coroutine functions and plain ones share a chain."""
    calls: list[str] = []
    done = threading.Event()

    async def first() -> None:
        calls.append("async")

    def second() -> None:
        calls.append("plain")
        if len(calls) >= 4:
            done.set()

    with running(quick(first), quick(second)):
        assert happens(done)

    assert calls[:4] == ["async", "plain"] * 2


def test_downtime_that_another_owner_ended() -> None:
    """A chain that is taken back knows that its task has recovered elsewhere."""
    lock, state = MemoryLock(), MemoryState()
    outcomes = iter([ValueError("no"), None])

    def function() -> None:
        if (outcome := next(outcomes)) is not None:
            raise outcome

    task = quick(function, fail_cooldown=HOUR, success_cooldown=HOUR)
    with (
        received("task_recovered") as calls,
        running(task, lock=lock, state=state) as thread,
    ):
        until(lambda: cooling(thread))
        assert thread.status().down_since is not None
        lock.wanted = True
        thread.look_after()
        until(lambda: standing_by(thread))
        state.put("incidents", {})
        lock.wanted = False
        thread.look_after()
        until(lambda: cooling(thread))
        assert thread.status().down_since is None
        thread.wake()
        until(lambda: thread.status().runs == 2 and cooling(thread))

    assert calls == []


def test_command_that_has_lost_its_pidfile() -> None:
    """A process of its own serves the rest of its cooldown under a new pidfile."""
    lock, function = MemoryLock(), Counted()

    task = quick(function, success_cooldown=HOUR)
    with (
        received("chain_started") as calls,
        running(task, lock=lock, kind=COMMAND) as thread,
    ):
        until(lambda: cooling(thread))
        lock.is_lost = True
        thread.look_after()
        until(lambda: len(calls) == 2 and cooling(thread))

    assert function.calls == 1


def test_breakdown_after_a_loss() -> None:
    """A chain that has lost its pidfile and gets no new one tries in peace."""
    lock, function = MemoryLock(), Counted()
    tries: list[float] = []

    def acquire() -> bool:
        tries.append(time.monotonic())
        raise OSError(30, "Read-only file system")

    with running(quick(function, success_cooldown=HOUR), lock=lock) as thread:
        until(lambda: cooling(thread))
        lock.is_lost = True
        lock.acquire = acquire  # type: ignore[method-assign]
        thread.look_after()
        until(lambda: len(tries) > 1)

    assert tries[1] - tries[0] > 0.9
    assert len(tries) == 2


HERE = Identity(1, 1, "boot", 1, "host", HOSTED)
OWNED = OwnerRecord(HERE, 7, 0.0, ("x",))


@pytest.mark.parametrize(
    ("changes", "is_tried"),
    [
        ({"changed": False}, False),
        ({"record": OWNED}, False),
        ({"record": replace(OWNED, run=RunMark("x", 1.0))}, False),
        ({"record": replace(OWNED, released=True)}, True),
        ({"record": replace(OWNED, seq=8)}, True),
        ({"record": replace(OWNED, owner=replace(HERE, pid=2))}, True),
        ({"record": None}, True),
    ],
)
def test_chain_of_an_owner_that_lives(changes: dict[str, Any], is_tried: bool) -> None:
    """It is tried for when the pidfile tells of somebody else, or of a release."""
    lock = MemoryLock()
    lock.is_free = False
    with running(quick(Counted()), lock=lock) as thread:
        until(lambda: standing_by(thread))
        attempts = lock.attempts
        for name, value in changes.items():
            setattr(lock, name, value)

        is_known = thread.look_after(OWNED)

        assert lock.attempts - attempts == is_tried
        assert is_known is not is_tried


def test_trouble_is_looked_at_though_the_owner_lives() -> None:
    """What kept this process from trying may be mended."""
    lock = MemoryLock()
    lock.is_free, lock.changed = False, False
    with running(quick(Counted()), lock=lock) as thread:
        until(lambda: standing_by(thread))
        lock.error = OSError("no disk")
        thread.look_after()
        lock.error = None
        attempts = lock.attempts

        assert not thread.look_after(OWNED)
        assert lock.attempts == attempts + 1
        assert thread.look_after(OWNED)
