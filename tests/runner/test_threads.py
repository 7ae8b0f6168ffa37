"""The thread of a chain: how it is started, woken, stopped and looked at."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import threading
import time
from datetime import timezone
from typing import Any

import pytest

from tests.runner.fakes import (
    PATIENCE,
    Counted,
    cooling,
    happens,
    log,
    make,
    quick,
    running,
    standing_by,
    started,
    until,
)
from yourlabs.runner import RunnerThread, Task, signals
from yourlabs.runner.chain import status
from yourlabs.runner.chain.cannot_run import ProblemReporter
from yourlabs.runner.ownership.record import Mode
from yourlabs.runner.testing import MemoryBackend

HOUR = 3_600.0


@pytest.fixture(autouse=True)
def no_mail(settings: Any) -> None:
    """Nobody is told by mail."""
    settings.RUNNER = {"EMAIL": False}


class Watching:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.threads: set[RunnerThread] = set()

    def watch(self, thread: RunnerThread) -> None:
        self.threads.add(thread)

    def unwatch(self, thread: RunnerThread) -> None:
        self.threads.discard(thread)


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
    assert thread.mode is Mode.HOSTED


def test_status_of_each_state() -> None:
    """A snapshot says what a chain does, from before its start to after its end."""
    begun, go, prepared = threading.Event(), threading.Event(), threading.Event()
    backend = MemoryBackend()
    owner = make(quick(lambda: None), backend=backend)
    owner.loop.tick()

    def function() -> None:
        begun.set()
        assert happens(go)
        raise ValueError("no")

    thread = make(
        quick(function, fail_cooldown=HOUR, max_duration=HOUR),
        backend=backend,
        until_ready=lambda: 0.0 if prepared.is_set() else 60.0,
    )
    found = [thread.status()]
    with started(thread):
        found.append(thread.status())
        prepared.set()
        thread.notify()
        until(lambda: standing_by(thread))
        found.append(thread.status())
        owner.loop.release()
        thread.check()
        assert happens(begun)
        found.append(thread.status())
        running = thread.loop.current
        assert running is not None
        running.started -= HOUR
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
    assert found[2].reason.startswith("It is run by process ")
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


def test_stop_in_standby() -> None:
    """A chain that stands by stops at once."""
    backend = MemoryBackend()
    make(quick(lambda: None), backend=backend).loop.tick()

    with running(quick(lambda: None), backend=backend) as thread:
        until(lambda: standing_by(thread))

        assert thread.stop(PATIENCE)


def test_stop_of_a_broken_chain() -> None:
    """A chain that cannot run stops at once."""
    thread = make(quick(lambda: None))
    thread.ownership.error = RuntimeError("broken")  # type: ignore[attr-defined]

    with log() as kept, started(thread):
        until(lambda: thread.status().reason)
        assert thread.stop(PATIENCE)

    [record] = [r for r in kept.records if getattr(r, "action", "") == "chain_broken"]
    assert record.exc_info


def test_cut_by_the_end_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that the end of the process cut is the next one of the next owner."""
    backend = MemoryBackend()

    def function() -> None:
        thread.ask_to_stop()
        monkeypatch.setattr(threading, "_SHUTTING_DOWN", True, raising=False)
        raise RuntimeError("cannot schedule new futures after shutdown")

    first, second = quick(Counted(), name="one"), quick(function, name="two")
    thread = make(first, second, backend=backend)
    with started(thread):
        thread.join(PATIENCE)

    kept = backend.store(thread.chain).load()
    assert kept["schedule"]["next"] == thread.tasks[1].key
    assert not kept["downtimes"]


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


def test_functions_of_one_factory() -> None:
    """They share a path, and neither downtimes nor cooldowns."""
    backend = MemoryBackend()

    def failing(message: str) -> Task:
        def function() -> None:
            raise ValueError(message)

        return quick(function, name=message, fail_cooldown=3600)

    first, second = failing("first"), failing("second")
    assert first.path == second.path
    with running(first, second, backend=backend) as thread:
        until(lambda: cooling(thread))
        thread.wake()
        until(lambda: thread.tasks[1].failures and cooling(thread))

    with running(first, second, backend=backend) as thread:
        until(lambda: cooling(thread))
        downs = [runner.downtime for runner in thread.tasks]

    assert [[one.message for one in down.exceptions()] for down in downs] == [
        ["first"],
        ["second"],
    ]


def test_stop_while_getting_ready() -> None:
    """A chain whose process is never set up stops at once."""
    function = Counted()

    with running(quick(function), until_ready=lambda: HOUR) as thread:
        assert thread.stop(PATIENCE)

    assert function.calls == 0


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


def test_watched() -> None:
    """A chain is looked after for as long as it runs, and not any longer."""
    watcher = Watching()
    task = quick(lambda: None, success_cooldown=HOUR)
    with running(task, watcher=watcher) as thread:
        until(lambda: cooling(thread))
        assert watcher.threads == {thread}

    assert watcher.threads == set()


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


# What is raised in the thread from outside.


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_exception_that_comes_too_late(kind: type[BaseException]) -> None:
    """What a library raises in the thread outside of a task does not end the chain."""
    function = Counted()
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    with log() as kept, running(quick(function, success_cooldown=0.01)) as thread:
        assert happens(function.reached)
        for _ in range(3):
            raise_in(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(kind))
            until(lambda: thread.status().state != status.STOPPED)
            time.sleep(0.02)
        before = function.calls
        thread.wake()
        until(lambda: function.calls > before + 1)

    assert {"chain_broken", "task_failed"} & set(kept.actions())


class Unlucky(ProblemReporter):
    """Is interrupted itself while it says what is wrong."""

    left = 1

    def report(self, problem: BaseException | str) -> str:
        if self.left:
            self.left -= 1
            raise SystemExit
        return super().report(problem)


def test_exception_while_another_one_is_handled() -> None:
    """Not even what is raised while a breakdown is being told ends the chain."""
    function = Counted()
    trouble = Unlucky(make(function).chain)
    thread = make(quick(function), trouble=trouble)
    thread.ownership.error = OSError("no")  # type: ignore[attr-defined]
    with log(), started(thread):
        until(lambda: not trouble.left)
        thread.ownership.error = None  # type: ignore[attr-defined]
        assert happens(function.reached)


# Chains that would wait for themselves.


def test_task_that_stops_its_chain_elsewhere() -> None:
    """A task that waits for its own chain through another thread does not hang."""
    answers = []

    async def function() -> None:
        answers.append(await asyncio.to_thread(thread.stop))

    thread = make(quick(function, success_cooldown=HOUR))
    with log() as kept, started(thread):
        thread.join(PATIENCE)

    assert answers == [False]
    assert "waits_for_itself" in kept.actions()


def test_tasks_that_stop_each_other() -> None:
    """Of two tasks that stop each other's chains, one is told that it cannot wait."""
    both = threading.Barrier(2, timeout=PATIENCE)
    answers = []

    def stop(other: int) -> Any:
        def function() -> None:
            both.wait()
            answers.append(threads[other].stop())

        return quick(function, success_cooldown=HOUR)

    threads = [make(stop(1), name="first"), make(stop(0), name="second")]
    with log() as kept, started(threads[0]), started(threads[1]):
        for thread in threads:
            thread.join(PATIENCE)

    assert False in answers
    assert len(answers) == 2
    assert "waits_for_itself" in kept.actions()
