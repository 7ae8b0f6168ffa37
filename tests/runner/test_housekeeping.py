"""One thread looks after all chains of a process, so that they can sleep."""

from __future__ import annotations

import errno
import math
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.runner.fakes import (
    PATIENCE,
    Counted,
    MemoryLock,
    happens,
    log,
    make,
    quick,
    received,
    started,
    until,
)
from yourlabs.runner import signals
from yourlabs.runner.chain import status
from yourlabs.runner.chain import watcher as housekeeping
from yourlabs.runner.chain.thread import RunnerThread
from yourlabs.runner.chain.watcher import Housekeeper
from yourlabs.runner.ownership import process as processes
from yourlabs.runner.ownership.record import HOSTED, Identity, OwnerRecord

HOUR = 3_600.0

needs_pidfds = pytest.mark.skipif(not processes.HAS_PIDFD, reason="needs pidfds")


@pytest.fixture(autouse=True)
def often(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks come a hundred times as often as they do."""
    settings.RUNNER = {"EMAIL": False}
    monkeypatch.setattr(housekeeping, "PERIOD", 0.01)


@pytest.fixture
def keeper() -> Iterator[Housekeeper]:
    """A housekeeper that has ended when the test has."""
    made = Housekeeper()
    yield made
    until(lambda: has_ended(made), "for the housekeeping to end")


def sleeping(keeper: Housekeeper, **options: Any) -> RunnerThread:
    task = quick(Counted(), success_cooldown=HOUR)
    return make(task, keeper=keeper, **options)


def cooling(thread: RunnerThread) -> bool:
    return thread.status().state == status.COOLING_DOWN


def has_ended(keeper: Housekeeper) -> bool:
    with keeper._mutex:
        return keeper._thread is None


def taken() -> MemoryLock:
    lock = MemoryLock()
    lock.is_free = False
    return lock


def test_one_thread(keeper: Housekeeper) -> None:
    """There is one housekeeping thread for all chains, and none without any."""
    assert keeper._thread is None
    with started(sleeping(keeper)) as first, started(sleeping(keeper)) as second:
        until(lambda: cooling(first) and cooling(second))
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("runner-housekeeping") == 1
        assert keeper._thread is not None
        assert keeper._thread.daemon

    until(lambda: has_ended(keeper))


def test_again(keeper: Housekeeper) -> None:
    """It begins anew when there are chains again, and leaves no descriptor open."""
    with started(sleeping(keeper)) as thread:
        until(lambda: cooling(thread))
    until(lambda: has_ended(keeper))
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(5):
        with started(sleeping(keeper)) as thread:
            until(lambda thread=thread: cooling(thread))  # type: ignore[misc]
        until(lambda: has_ended(keeper))

    assert len(os.listdir("/proc/self/fd")) == before


def test_no_thread_to_be_had(
    keeper: Housekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that could not start its thread tries again with the next chain."""
    thread = sleeping(keeper)

    def refuse(_: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            keeper.watch(thread)
    keeper.unwatch(thread)

    with started(thread):
        until(lambda: cooling(thread))
        until(lambda: keeper._thread and keeper._thread.is_alive())


def test_standby(keeper: Housekeeper) -> None:
    """A chain that stands by is tried for, and runs when it can be had."""
    lock = taken()
    with started(sleeping(keeper, lock=lock)) as thread:
        until(lambda: thread.status().state == status.STANDBY)
        lock.is_free = True

        until(lambda: cooling(thread))


def test_take_over(keeper: Housekeeper) -> None:
    """An owner that is asked to yields, and comes back."""
    lock = MemoryLock()
    with (
        received("chain_started", "chain_stopped") as calls,
        started(sleeping(keeper, lock=lock)) as thread,
    ):
        until(lambda: cooling(thread))
        lock.wanted = True
        until(lambda: thread.status().state == status.STANDBY)
        lock.wanted = False
        until(lambda: len(calls) == 3)

    names = [name for name, _, _ in calls]
    assert names == ["chain_started", "chain_stopped"] * 2


def test_lost(keeper: Housekeeper) -> None:
    """An owner that sleeps learns that its pidfile was replaced."""
    lock = MemoryLock()
    with log() as kept, started(sleeping(keeper, lock=lock)) as thread:
        until(lambda: cooling(thread))
        lock.is_lost = True
        until(lambda: "ownership_lost" in kept.actions())
        until(lambda: cooling(thread))


def child_identity(child: subprocess.Popen[bytes]) -> Identity:
    here = processes.this_process(HOSTED)
    start = processes.start_ticks(child.pid)
    return Identity(child.pid, start, here.boot, here.pidns, here.host, HOSTED)


Owned = tuple[MemoryLock, RunnerThread, "subprocess.Popen[bytes]"]


@contextmanager
def owned(keeper: Housekeeper, *, released: bool = False) -> Iterator[Owned]:
    """Have a chain stand by for a process that lives; yield it with its lock."""
    lock = taken()
    lock.changed = False
    with subprocess.Popen(["sleep", "600"]) as child:
        identity = child_identity(child)
        lock.record = OwnerRecord(identity, 1, time.time(), ("x",), released=released)
        try:
            with started(sleeping(keeper, lock=lock)) as thread:
                until(lambda: keeper._pidfds)
                yield lock, thread, child
        finally:
            child.kill()


@needs_pidfds
def test_owner_that_lives(keeper: Housekeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody tries for the chain of a process that lives, until it lets go."""
    monkeypatch.setattr(housekeeping, "TRUST", 10**9)
    with owned(keeper) as (lock, thread, _):
        looks = keeper._looks
        until(lambda: keeper._looks > looks + 2)
        attempts, looks = lock.attempts, keeper._looks
        until(lambda: keeper._looks > looks + 10)
        assert lock.attempts == attempts

        lock.is_free = lock.changed = True
        assert lock.record is not None
        lock.record = replace(lock.record, released=True)

        until(lambda: cooling(thread))


@needs_pidfds
def test_calm(keeper: Housekeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks are seldom where all owners live elsewhere; a chain run here ends that."""
    monkeypatch.setattr(housekeeping, "PERIOD", HOUR)
    with owned(keeper) as (lock, _, _):
        until(lambda: keeper._timeout > HOUR)
        with started(sleeping(keeper)) as other:
            until(lambda: cooling(other))
            until(lambda: keeper._poll is not None and keeper._timeout == HOUR)
        until(lambda: keeper._timeout > HOUR)

        assert lock.record is not None
        lock.record = replace(lock.record, released=True)
        lock.changed = True
        keeper._pipe.ring()
        until(lambda: keeper._timeout == HOUR)


@needs_pidfds
def test_calm_ends_with_standing_by(keeper: Housekeeper) -> None:
    """A chain that is run here is looked after often, however soon it begins."""
    with owned(keeper) as (lock, thread, _):
        until(lambda: keeper._timeout > housekeeping.PERIOD)
        look_after = thread.look_after

        def slowly(owner: OwnerRecord | None = None) -> bool:
            is_known = look_after(owner)
            if lock.is_free:
                until(lambda: cooling(thread))
            return is_known

        thread.look_after = slowly  # type: ignore[method-assign]
        assert lock.record is not None
        lock.record = replace(lock.record, released=True)
        # Without a poke, which has everything looked at anew.
        lock.is_free = lock.changed = True
        until(lambda: cooling(thread))

        until(lambda: keeper._timeout == housekeeping.PERIOD)


@needs_pidfds
@pytest.mark.parametrize(("trust", "released"), [(5, False), (10**9, True)])
def test_owner_that_has_let_go(
    keeper: Housekeeper, monkeypatch: pytest.MonkeyPatch, trust: int, released: bool
) -> None:
    """The lock is tried for now and then, and always where a release is written."""
    monkeypatch.setattr(housekeeping, "TRUST", trust)
    with owned(keeper, released=released) as (lock, thread, _):
        lock.is_free = True

        until(lambda: cooling(thread))


@needs_pidfds
def test_haste_ends_with_its_reason(
    keeper: Housekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the chain is stopped that had lost its owner, looks are seldom again."""
    monkeypatch.setattr(housekeeping, "PERIOD", HOUR)
    lock = taken()
    with subprocess.Popen(["true"]) as child:
        identity = child_identity(child)
    lock.record = OwnerRecord(identity, 1, time.time(), ("x",))
    with started(sleeping(keeper)) as other:
        until(lambda: cooling(other))
        with started(sleeping(keeper, lock=lock)):
            looks = keeper._looks
            until(lambda: keeper._looks > looks + 3)

        until(lambda: keeper._poll is not None and keeper._timeout == HOUR)
        assert cooling(other)


@needs_pidfds
def test_death_of_the_owner(
    keeper: Housekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The death of an owner is noticed at once, not with the next look."""
    monkeypatch.setattr(housekeeping, "PERIOD", HOUR)
    with owned(keeper, released=True) as (lock, thread, child):
        lock.is_free = True
        child.kill()

        until(lambda: cooling(thread))
    until(lambda: not keeper._pidfds)


def test_owner_that_is_dead(
    keeper: Housekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that outlives its owner is reported, once, with who may have it."""
    monkeypatch.setattr(housekeeping, "GHOST_PATIENCE", 0.02)
    lock = taken()
    with subprocess.Popen(["true"]) as child:
        identity = child_identity(child)
    dead = OwnerRecord(identity, 1, time.time(), ("x",), released=True)
    lock.owner = lambda: dead  # type: ignore[method-assign]

    with log() as kept, started(sleeping(keeper, lock=lock)):
        until(lambda: "ghost_owner" in kept.actions())
        looks = Counted(enough=5)
        lock.acquire = looks  # type: ignore[assignment, method-assign]
        assert happens(looks.reached)

    assert kept.actions().count("ghost_owner") == 1
    [text] = [text for text in kept.texts() if "is gone" in text]
    assert f"Process {identity.pid} is gone" in text


# Runs that take too long.


def hanging(
    keeper: Housekeeper, limit: float = 0.01, name: str = "chain"
) -> tuple[Any, Any, RunnerThread]:
    begun, go = threading.Event(), threading.Event()

    def hang_about() -> None:
        begun.set()
        assert go.wait(PATIENCE)

    task = quick(hang_about, success_cooldown=HOUR, max_duration=limit)
    return begun, go, make(task, keeper=keeper, name=name)


def test_stall(keeper: Housekeeper) -> None:
    """A run that takes too long is told while it hangs, with its stack, once."""
    _, go, thread = hanging(keeper)

    with log() as kept, received("task_stalled") as calls, started(thread):
        until(lambda: calls)
        looks = Counted(enough=5)
        thread.lock.is_wanted = lambda: looks() and False  # type: ignore[method-assign]
        assert happens(looks.reached)
        snapshot = thread.status()
        go.set()
        until(lambda: cooling(thread))

    [(_, sender, payload)] = calls
    stall = payload["stall"]
    assert sender is stall.task is thread.chain.tasks[0]
    assert stall.chain == "chain"
    assert timedelta(seconds=0.01) <= stall.running_for < timedelta(seconds=PATIENCE)
    assert stall.started_at == snapshot.last_run
    assert "in hang_about" in stall.stack
    assert snapshot.state == status.STALLED
    assert kept.actions().count("task_stalled") == 1
    [text] = [text for text in kept.texts() if "Still running" in text]
    assert "at most 0.01 are expected" in text
    assert "in hang_about" in text


def test_stall_of_each_run(keeper: Housekeeper) -> None:
    """Each run that takes too long is told."""
    begun, go, thread = hanging(keeper)

    with received("task_stalled") as calls, started(thread):
        for number in (1, 2):
            until(lambda number=number: len(calls) == number)  # type: ignore[misc]
            begun.clear()
            go.set()
            until(lambda: cooling(thread))
            go.clear()
            thread.wake()
            assert happens(begun)
        until(lambda: len(calls) == 3)
        go.set()


def test_end_and_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is being closed is not closed again in a child that is forked meanwhile."""
    keeper = Housekeeper()
    keeper._pipe.open()
    keeper._pidfds = {(1, None): os.open(os.devnull, os.O_RDONLY)}
    close, known = os.close, []

    def closing(descriptor: int) -> None:
        known.append((keeper._pipe.reading, keeper._pidfds))
        close(descriptor)

    monkeypatch.setattr("yourlabs.runner.chain.watcher.os.close", closing)
    keeper._end()

    assert known == [(-1, {})] * 3


def test_short_cooldowns(keeper: Housekeeper) -> None:
    """A chain that wakes up soon looks after itself; it is spared meanwhile."""
    looks, others = Counted(), Counted(enough=5)
    first, second = (
        make(
            quick(lambda: None, success_cooldown=HOUR, max_duration=HOUR), keeper=keeper
        )
        for _ in range(2)
    )
    with started(first), started(second):
        until(lambda: cooling(first) and cooling(second))
        first.wakes_soon = True
        first.lock.is_wanted = lambda: looks() and False  # type: ignore[method-assign]
        second.lock.is_wanted = lambda: others() and False  # type: ignore[method-assign]
        assert happens(others.reached)
        # The look that was under way when it began to be spared.
        assert looks.calls <= 1
        first.wakes_soon = False
        until(lambda: looks.calls > 2)


def test_no_stall(keeper: Housekeeper) -> None:
    """A run within its limit, or without one, is told of nothing."""
    begun, go, thread = hanging(keeper, limit=HOUR)
    looks = Counted(enough=5)
    thread.lock.is_wanted = lambda: looks() and False  # type: ignore[method-assign]

    with received("task_stalled") as calls, started(thread):
        assert happens(begun)
        assert happens(looks.reached)
        assert thread.status().state == status.RUNNING
        go.set()
        until(lambda: cooling(thread))

    assert calls == []


def test_last_run_long_ago(keeper: Housekeeper) -> None:
    """A run is not taken for the one before it, however slowly it begins."""
    function = Counted()
    thread = make(
        quick(function, success_cooldown=HOUR, max_duration=600), keeper=keeper
    )
    looks = Counted()
    beginning = threading.Event()

    def receiver(sender: Any, **_: Any) -> None:
        # The second run: its task is current, and was not called yet.
        if function.calls:
            beginning.set()
            looks.__init__(enough=5)  # type: ignore[misc]
            assert happens(looks.reached)

    thread.lock.is_wanted = lambda: looks() and False  # type: ignore[method-assign]
    with received("task_stalled") as calls, started(thread):
        until(lambda: cooling(thread))
        thread.tasks[0].started -= HOUR
        with signals.task_started.connected_to(receiver):
            thread.wake()
            assert happens(beginning)
            until(lambda: thread.status().runs == 2)

    assert calls == []


def test_receiver_that_hangs(keeper: Housekeeper) -> None:
    """The other chains are looked after, and their stalls told, all the same."""
    _, go, thread = hanging(keeper)
    begun = threading.Event()
    calls: list[str] = []

    def hang(sender: Any, *, stall: Any) -> None:
        calls.append(stall.chain)
        begun.set()
        assert go.wait(PATIENCE)

    with signals.task_stalled.connected_to(hang), started(thread):
        assert happens(begun)
        _, other_go, other = hanging(keeper, name="other")
        with started(other):
            until(lambda: "other" in calls)
            other_go.set()
        go.set()

    assert calls == ["chain", "other"]


def test_receiver_that_hangs_for_ever(keeper: Housekeeper) -> None:
    """It holds one thread up, however many runs of its chain take too long."""
    go, runs = threading.Event(), Counted(enough=4)
    calls: list[Any] = []

    def slow() -> None:
        runs()
        time.sleep(0.03)

    def hang(sender: Any, **_: Any) -> None:
        calls.append(sender)
        assert go.wait(PATIENCE)

    thread = make(quick(slow, max_duration=0.01), keeper=keeper)
    with log() as kept, signals.task_stalled.connected_to(hang), started(thread):
        assert happens(runs.reached)
        until(lambda: calls)
        names = [one.name for one in threading.enumerate()]
        go.set()

    assert names.count("chain-stalled") == 1
    # Those that no receiver is told of.
    assert kept.actions().count("task_stalled") >= 2


def test_short_stalls(keeper: Housekeeper) -> None:
    """A run is found to take too long when it does, not with the next look."""
    keeper_calls: list[float] = []
    go = threading.Event()

    def slow() -> None:
        if not keeper_calls:
            go.wait(PATIENCE)

    def found(sender: Any, *, stall: Any) -> None:
        keeper_calls.append(stall.running_for.total_seconds())
        go.set()

    thread = make(quick(slow, max_duration=0.2, success_cooldown=HOUR), keeper=keeper)
    with signals.task_stalled.connected_to(found), started(thread):
        until(lambda: keeper_calls)

    assert keeper_calls[0] >= 0.2


def test_patience(keeper: Housekeeper) -> None:
    """It looks when a run may take too long, and no more often than it must."""
    often = max(housekeeping.SHORTEST, housekeeping.PERIOD / 2)
    assert keeper._patience() == math.inf
    with started(make(quick(Counted(), success_cooldown=HOUR), keeper=keeper)) as one:
        until(lambda: cooling(one))
        assert keeper._patience() == math.inf

    _, go, thread = hanging(keeper, limit=0.3)
    with started(thread):
        until(lambda: thread.running() and thread.tasks[0].started)
        assert keeper._patience() <= 0.3
        until(thread.is_stalled)
        assert keeper._patience() == often
        go.set()
        until(lambda: cooling(thread))
        assert keeper._patience() == often
        thread._phase = status.STANDBY
        assert thread.overdue_at(told=0.0) == math.inf


def test_no_pipe(keeper: Housekeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was closed while no other was to be had is made again later."""
    fails = threading.Event()
    pipe = os.pipe

    def failing() -> tuple[int, int]:
        if not fails.is_set():
            return pipe()
        reached.set()
        raise OSError(errno.EMFILE, "Too many open files")

    reached = threading.Event()
    monkeypatch.setattr(housekeeping, "PERIOD", 0.05)
    monkeypatch.setattr(os, "pipe", failing)
    with started(sleeping(keeper)) as thread:
        until(lambda: cooling(thread))
        fails.set()
        os.close(keeper._pipe.writing)
        assert happens(reached)
        assert keeper._pipe.reading == -1
        fails.clear()
        until(lambda: keeper._pipe._is_ours(keeper._pipe.writing))


def test_stall_without_a_thread(
    keeper: Housekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no thread is to be had it is told all the same."""
    _, go, thread = hanging(keeper)
    start = threading.Thread.start

    def starting(self: threading.Thread) -> None:
        if self.name.endswith("-stalled"):
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", starting)
    with received("task_stalled") as calls, started(thread):
        until(lambda: calls)
        go.set()


def test_sender_of_a_stall(keeper: Housekeeper) -> None:
    """It is the sender of the other signals of the task, too."""
    _, go, thread = hanging(keeper)
    (runner,) = thread.tasks
    wrapper = replace(runner.task, origin=runner.task)
    runner.task = wrapper
    with received("task_stalled", sender=wrapper.sender) as calls, started(thread):
        until(lambda: calls)
        go.set()

    assert calls[0][2]["stall"].task is wrapper


def test_stall_that_cannot_be_told(
    keeper: Housekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong is in the log."""
    _, go, thread = hanging(keeper)

    def no_frame(ident: int | None) -> None:
        raise OSError("no frame")

    monkeypatch.setattr(housekeeping, "frame_of", no_frame)
    with log() as kept, started(thread):
        until(lambda: "could not be reported" in "".join(kept.texts()))
        go.set()


def test_receiver_of_a_stall(keeper: Housekeeper) -> None:
    """A receiver that raises, or stops the chain, does not stop the housekeeping."""
    _, go, thread = hanging(keeper)

    def broken(sender: Any, **_: Any) -> None:
        raise SystemExit(1)

    def stopping(sender: Any, **_: Any) -> None:
        thread.ask_to_stop()

    with (
        log() as kept,
        signals.task_stalled.connected_to(broken),
        signals.task_stalled.connected_to(stopping),
        started(thread),
    ):
        until(lambda: "receiver_failed" in kept.actions())
        go.set()
        thread.join(PATIENCE)

        assert not thread.is_alive()


def test_heartbeat(keeper: Housekeeper) -> None:
    """The heart beats for as long as no chain is stalled."""
    _, go, thread = hanging(keeper)
    beats = Counted()
    keeper.beat(0.001, beats)

    with received("task_stalled") as calls, started(thread):
        until(lambda: calls)
        looks = Counted(enough=3)
        thread.lock.is_wanted = lambda: looks() and False  # type: ignore[method-assign]
        assert happens(looks.reached)
        stalled_at = beats.calls
        looks.__init__(enough=5)  # type: ignore[misc]
        assert happens(looks.reached)
        assert beats.calls == stalled_at
        go.set()
        until(lambda: beats.calls > stalled_at + 3)


# Failures of its own.


def test_one_chain_that_fails(keeper: Housekeeper) -> None:
    """A chain that cannot be looked after does not keep others from it."""
    lock = taken()

    def broken() -> bool:
        raise SystemExit("no look")

    with (
        log() as kept,
        started(sleeping(keeper)) as first,
        started(sleeping(keeper, lock=lock)) as second,
    ):
        until(lambda: cooling(first))
        first.lock.is_wanted = broken  # type: ignore[method-assign]
        until(lambda: "[chain] Housekeeping failed." in kept.texts())
        lock.is_free = True

        until(lambda: cooling(second))


def test_wait_that_fails(keeper: Housekeeper) -> None:
    """A record that cannot be read does not end the housekeeping."""
    lock = taken()
    thread = sleeping(keeper, lock=lock)
    reads = Counted(enough=3)

    def broken() -> None:
        reads()
        raise OverflowError("no record")

    lock.owner = broken  # type: ignore[method-assign]
    with log() as kept, started(thread):
        assert happens(reads.reached)
        lock.owner = lambda: None  # type: ignore[method-assign]
        lock.is_free = True

        until(lambda: cooling(thread))

    assert 1 <= len([text for text in kept.texts() if "Housekeeping failed" in text])


@pytest.mark.parametrize("ends", [("reading",), ("writing",), ("reading", "writing")])
@pytest.mark.parametrize("is_used_again", [False, True])
def test_closed_by_somebody(
    keeper: Housekeeper, ends: tuple[str, ...], is_used_again: bool
) -> None:
    """A host that closes what is not its own ends neither chain nor housekeeping."""
    with started(sleeping(keeper)) as thread:
        until(lambda: cooling(thread))
        foreign = os.memfd_create("foreign")
        os.write(foreign, b"precious")
        os.lseek(foreign, 0, os.SEEK_SET)
        for end in ends:
            descriptor = getattr(keeper._pipe, end)
            if is_used_again:
                os.dup2(foreign, descriptor)
            else:
                os.close(descriptor)
        lock = taken()
        with started(sleeping(keeper, lock=lock)) as other:
            until(other.is_standing_by)
            lock.is_free = True

            until(lambda: cooling(other))
        assert cooling(thread)
        until(lambda: keeper._pipe._is_ours(keeper._pipe.writing))
        assert os.pread(foreign, 100, 0) == b"precious"
        assert os.lseek(foreign, 0, os.SEEK_CUR) == 0
        os.close(foreign)


def test_forked_child(keeper: Housekeeper) -> None:
    """A forked child begins without the parent's descriptors and chains."""
    with started(sleeping(keeper)) as thread:
        until(lambda: cooling(thread))
        inherited = (keeper._pipe.reading, keeper._pipe.writing)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:  # pragma: no cover - leaves by _exit
            keeper.forget()
            closed = [not os.path.exists(f"/proc/self/fd/{fd}") for fd in inherited]
            os.write(write, f"{all(closed)} {len(keeper._threads)}".encode())
            os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        answer = os.read(read, 100).decode()
        os.close(read)

        assert answer == "True 0"
        assert cooling(thread)


def test_thread_that_went_away(keeper: Housekeeper) -> None:
    """What is no longer watched is not looked after."""
    thread = sleeping(keeper)
    looks = Counted()
    thread.look_after = looks  # type: ignore[assignment, method-assign]

    keeper._look_after(thread)

    assert looks.calls == 0
    assert housekeeping._stack_of(thread) == "(the thread is gone)"


def test_long_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a stack that is too long the innermost frames are shown."""
    monkeypatch.setattr(housekeeping, "MAX_STACK", 200)

    text = housekeeping._stack_of(threading.current_thread())

    assert text.startswith("[…]")
    assert len(text) < 250
    assert "_stack_of" in text
