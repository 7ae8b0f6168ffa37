"""The one thread of a process that looks after its chains."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
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
    received,
    running,
    standing_by,
    started,
    until,
)
from yourlabs.runner import signals
from yourlabs.runner.chain import watcher as module
from yourlabs.runner.chain.watcher import ChainWatcher
from yourlabs.runner.ownership.record import Mode
from yourlabs.runner.testing import MemoryBackend, MemoryOwnership

HOUR = 3_600.0


@pytest.fixture(autouse=True)
def no_mail(settings: Any) -> None:
    """Nobody is told by mail."""
    settings.RUNNER = {"EMAIL": False}


@pytest.fixture
def watcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChainWatcher]:
    """A watcher that looks often, and ends with its chains."""
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.01)
    made = ChainWatcher()
    yield made
    made.beat(1, None)
    until(lambda: made._thread is None)
    assert made._death_fds == {}


def watchers() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "runner-watcher"]


def test_one_thread(watcher: ChainWatcher) -> None:
    """There is one for all chains, and none without any; it begins again."""
    for _ in range(2):
        resting = quick(Counted(), success_cooldown=HOUR)
        with (
            running(resting, watcher=watcher, name="one") as one,
            running(resting, watcher=watcher, name="two") as two,
        ):
            until(lambda: cooling(one) and cooling(two))
            assert watcher._thread in watchers()
        until(lambda: watcher._thread is None)


def test_no_thread_to_be_had(
    watcher: ChainWatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where none is to be had now, the chain says so, and begins a little later."""
    usual = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "runner-watcher":
            raise RuntimeError("can't start new thread")
        usual(thread)

    counted = Counted()
    thread = make(quick(counted, success_cooldown=HOUR), watcher=watcher)
    with monkeypatch.context() as patch, log() as kept:
        patch.setattr(threading.Thread, "start", refuse)
        thread.start()
        until(lambda: "chain_broken" in kept.actions())
    thread.wake()
    assert happens(counted.reached)
    assert thread.stop(PATIENCE)


def test_standby(watcher: ChainWatcher) -> None:
    """A chain that stands by is tried for, and runs when it can be had."""
    backend = MemoryBackend()
    owner = make(quick(Counted()), backend=backend)
    owner.loop.tick()
    counted = Counted()
    task = quick(counted, success_cooldown=HOUR)
    with running(task, backend=backend, watcher=watcher) as thread:
        until(lambda: standing_by(thread))
        owner.loop.release()
        assert happens(counted.reached)


def test_take_over(watcher: ChainWatcher) -> None:
    """An owner that sleeps yields when it is asked to, and comes back."""
    backend = MemoryBackend()
    other = make(quick(Counted()), backend=backend, mode=Mode.COMMAND)
    resting = quick(Counted(), success_cooldown=HOUR)
    with running(resting, backend=backend, watcher=watcher) as thread:
        until(lambda: cooling(thread))
        with other.ownership.request():
            until(lambda: standing_by(thread))
        until(lambda: cooling(thread))


def test_lost(watcher: ChainWatcher) -> None:
    """An owner that sleeps learns that its claim is lost, and begins anew."""
    with (
        log() as kept,
        running(quick(Counted(), success_cooldown=HOUR), watcher=watcher) as thread,
    ):
        until(lambda: cooling(thread))
        thread.loop.claim.die()  # type: ignore[union-attr]
        until(lambda: "ownership_lost" in kept.actions())
        until(lambda: cooling(thread))


def test_death_of_the_owner(
    watcher: ChainWatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who stands by is told by the kernel when the owner dies: it need not wait."""
    monkeypatch.setattr(module, "LOOK_EVERY_S", PATIENCE * 2)
    watcher._wait_s = 0.01
    reading, writing = os.pipe()
    monkeypatch.setattr(MemoryOwnership, "death_fd", lambda self: os.dup(reading))
    backend = MemoryBackend()
    owner = make(quick(Counted(), success_cooldown=HOUR), backend=backend)
    owner.loop.tick()
    with running(quick(Counted()), backend=backend, watcher=watcher) as thread:
        until(lambda: watcher._death_fds)
        owner.loop.claim.die()  # type: ignore[union-attr]
        os.close(writing)
        until(lambda: not standing_by(thread))
        assert thread.stop(PATIENCE)
        watcher._wait_s = 0.01
    watcher.beat(1, None)
    until(lambda: watcher._thread is None)
    os.close(reading)


# What must not end it.


class Refusing(logging.Filter):
    """A log filter that raises."""

    def filter(self, record: logging.LogRecord) -> bool:
        raise SystemExit(1)


def test_filter_that_raises(watcher: ChainWatcher) -> None:
    """It outlives what its chains, the heartbeat and the log raise."""
    beats = Counted(enough=3)

    def beat() -> None:
        beats()
        raise SystemExit(1)

    backend = MemoryBackend()
    owner = make(quick(Counted()), backend=backend)
    owner.loop.tick()
    logger, filter_ = logging.getLogger("runner"), Refusing()
    with running(quick(Counted()), backend=backend, watcher=watcher) as thread:
        until(lambda: standing_by(thread))
        logger.addFilter(filter_)
        try:
            thread.check = lambda: 1 / 0  # type: ignore[method-assign]
            watcher.beat(0.01, beat)
            assert happens(beats.reached)
        finally:
            logger.removeFilter(filter_)
        del thread.check  # type: ignore[method-assign]
        owner.loop.release()
        until(lambda: not standing_by(thread))


def test_thread_that_is_dead(watcher: ChainWatcher) -> None:
    """A watcher that has ended, however that was, is replaced by the next chain."""
    dead = threading.Thread(target=lambda: None)
    dead.start()
    dead.join()
    watcher._thread = dead
    with running(quick(Counted(), success_cooldown=HOUR), watcher=watcher) as thread:
        until(lambda: cooling(thread))
        assert watcher._thread is not dead


def test_one_chain_that_fails(watcher: ChainWatcher) -> None:
    """A chain that cannot be looked after does not keep others from it."""
    backend = MemoryBackend()
    owner = make(quick(Counted()), backend=backend)
    owner.loop.tick()
    resting = quick(Counted(), success_cooldown=HOUR)
    with (
        log() as kept,
        running(resting, name="broken", watcher=watcher) as broken,
        running(resting, backend=backend, watcher=watcher) as thread,
    ):
        until(lambda: cooling(broken) and standing_by(thread))
        broken.check = lambda: 1 / 0  # type: ignore[method-assign]
        until(lambda: "[broken] The watcher has failed." in kept.texts())
        owner.loop.release()
        until(lambda: cooling(thread))


# The heartbeat.


def test_heartbeat_without_chains(watcher: ChainWatcher) -> None:
    """The heart beats where no chain can run, so that systemd kills nobody for it."""
    beats = Counted(enough=3)
    watcher.beat(0.01, beats)

    assert happens(beats.reached)


def test_heartbeat(watcher: ChainWatcher) -> None:
    """The heart beats for as long as no chain is stalled."""
    go, beats = threading.Event(), Counted()
    task = quick(lambda: happens(go), max_duration=0.05, success_cooldown=HOUR)
    with running(task, watcher=watcher) as thread:
        watcher.beat(0.01, beats)
        until(thread.is_stalled)
        before = beats.calls
        time.sleep(0.1)
        assert beats.calls <= before + 1
        go.set()
        until(lambda: beats.calls > before + 2)


# Runs that take too long.


def test_stall(watcher: ChainWatcher) -> None:
    """A run that takes too long is told while it hangs, with its stack, once a run."""
    go = threading.Event()

    def hang_in_this_function() -> None:
        assert happens(go)

    task = quick(hang_in_this_function, max_duration=0.02, success_cooldown=HOUR)
    with (
        log() as kept,
        received("task_stalled") as told,
        running(task, watcher=watcher) as thread,
    ):
        until(lambda: told)
        time.sleep(0.1)
        assert thread.status().state == "stalled"
        go.set()
        until(lambda: cooling(thread))

        go.clear()
        thread.wake()
        until(lambda: len(told) == 2)
        go.set()

    stall = told[0][2]["stall"]
    assert "hang_in_this_function" in stall.stack
    assert stall.running_for.total_seconds() >= 0.02
    assert (stall.chain, stall.task) == ("chain", thread.chain.tasks[0])
    assert kept.actions().count("task_stalled") == 2


def test_no_stall(watcher: ChainWatcher) -> None:
    """A run within its limit, or without one, is told of nothing."""
    counted = Counted(enough=30)
    tasks = quick(counted, max_duration=60), quick(lambda: time.sleep(0.02))
    with received("task_stalled") as told, running(*tasks, watcher=watcher):
        assert happens(counted.reached)

    assert told == []


class Hanging(logging.Handler):
    """A log handler that hangs at stalls and failures."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.go = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        assert happens(self.go)


def test_log_handler_that_hangs(watcher: ChainWatcher) -> None:
    """A stall is told before it is logged, also where the log is what hangs."""
    handler, told = Hanging(), threading.Event()

    def fail() -> None:
        raise ValueError("no")

    def receive(sender: Any, **payload: Any) -> None:
        told.set()

    task = quick(fail, max_duration=0.02, fail_cooldown=HOUR)
    logger = logging.getLogger("runner")
    logger.addHandler(handler)
    try:
        with (
            signals.task_stalled.connected_to(receive),
            running(task, watcher=watcher) as thread,
        ):
            assert happens(told)
            handler.go.set()
            until(lambda: cooling(thread))
    finally:
        logger.removeHandler(handler)


def test_receiver_that_hangs(watcher: ChainWatcher) -> None:
    """The other chains are looked after, and it holds one thread up at the most."""
    go = threading.Event()

    def hang(sender: Any, **payload: Any) -> None:
        assert happens(go)

    def slow() -> None:
        time.sleep(0.05)

    def reporters() -> int:
        return sum(one.name.endswith("-stalled") for one in threading.enumerate())

    task = quick(slow, max_duration=0.01)
    backend = MemoryBackend()
    owner = make(quick(Counted()), backend=backend)
    owner.loop.tick()
    with (
        signals.task_stalled.connected_to(hang),
        running(task, watcher=watcher, name="slow") as thread,
        running(quick(Counted()), backend=backend, watcher=watcher) as other,
    ):
        until(lambda: thread.status().runs > 3)
        assert reporters() == 1
        owner.loop.release()
        until(lambda: not standing_by(other))
        go.set()
    until(lambda: not reporters())


def test_receiver_that_stops_the_chain(watcher: ChainWatcher) -> None:
    """A receiver of a stall may stop the chain, and wait for that."""
    go, answers = threading.Event(), []

    def stop(sender: Any, **payload: Any) -> None:
        thread.ask_to_stop()
        go.set()
        answers.append(thread.stop(PATIENCE))
        raise SystemExit(1)

    task = quick(lambda: happens(go), max_duration=0.02)
    thread = make(task, watcher=watcher)
    with log() as kept, signals.task_stalled.connected_to(stop), started(thread):
        until(lambda: "receiver_failed" in kept.actions())

    assert answers == [True]


def test_long_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a stack that is too long the innermost frames are shown."""
    monkeypatch.setattr(module, "MAX_STACK", 1_000)
    text = module._stack_of(threading.current_thread(), make(quick(Counted())).tasks[0])

    assert len(text) <= 1_005
    assert "_stack_of" in text


# Forks.


def test_forked_child(watcher: ChainWatcher) -> None:
    """A forked child begins without the parent's chains and descriptors."""
    with running(quick(Counted(), success_cooldown=HOUR), watcher=watcher) as thread:
        until(lambda: cooling(thread))
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:  # pragma: no cover - leaves by _exit
            watcher.renew()
            os.write(writing, repr((watcher._threads, watcher._thread)).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reading, 100) == b"({}, None)"
        os.close(reading)
        os.close(writing)
