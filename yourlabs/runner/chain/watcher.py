"""
One thread a process that looks after all its chains, so that they can sleep.

It tries for the chains that stand by, notices that an owner is asked to yield or has
lost its pidfile, and reports runs that take too long. It wakes up about once a second,
and at once when the owner of a chain that stands by dies.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from yourlabs.runner import signals
from yourlabs.runner.chain import db
from yourlabs.runner.chain.coroutines import Coroutines
from yourlabs.runner.chain.execution import TaskRunner
from yourlabs.runner.chain.thread import RunnerThread
from yourlabs.runner.failures.frames import frame_of
from yourlabs.runner.failures.records import Stall
from yourlabs.runner.log import logger
from yourlabs.runner.ownership import process as processes
from yourlabs.runner.ownership import syscalls
from yourlabs.runner.ownership.descriptors import SelfPipe
from yourlabs.runner.ownership.record import Identity, OwnerRecord

PERIOD = 1.0
"""Time between two looks, in seconds."""

CALM = 1.5
"""How many times as long it is in a process that only waits for living owners to die,
which the kernel tells it: a look finds those that let go and live on."""

SHORTEST = 0.02
"""Shortest wait until a run may take too long, in seconds."""

SOON = 0.01
"""First look after an owner died and its lock was not free, in seconds."""

TRUST = 10
"""Of so many looks at a chain that stands by, one tries for it although its owner
lives: the owner may have failed to say that it let go. That is after 10 to 15 s."""

GHOST_PATIENCE = 60.0
"""How long a lock may outlive its owner before that is reported, in seconds."""

MAX_STACK = 20_000
"""How much of a hanging thread's stack is reported, in characters."""


class Stalled(NamedTuple):
    """A run that takes too long."""

    thread: RunnerThread
    runner: TaskRunner
    started: float
    """On the monotonic clock, in seconds."""
    began: float
    """In seconds since the epoch."""


class Housekeeper:
    """Looks after `RunnerThread` objects. Its thread runs while there are any."""

    def __init__(self) -> None:
        # Held while a thread is looked after: `unwatch` waits for that.
        self._mutex = threading.RLock()
        self.is_crowded = False
        """There are so many threads that they stand in each other's way."""
        self._threads: dict[RunnerThread, float] = {}
        self._thread: threading.Thread | None = None
        self._pipe = SelfPipe()
        self._pidfds: dict[tuple[int, int | None], int] = {}
        self._poll: select.poll | None = None
        """Waits for what `_prepare` found; None: that has to be looked at again."""
        self._timeout = PERIOD
        self._dead: set[int] = set()
        self._looks = 0
        self._impatience = SOON
        self._ghosts: dict[RunnerThread, float] = {}
        self._reporters: dict[RunnerThread, threading.Thread] = {}
        self._records: dict[RunnerThread, OwnerRecord | None] = {}
        self._heartbeat: tuple[float, Callable[[], object]] | None = None

    def watch(self, thread: RunnerThread) -> None:
        """Look after `thread` from now on."""
        with self._mutex:
            self._threads.setdefault(thread, 0.0)
            self.is_crowded = len(self._threads) >= syscalls.CROWD
            if self._thread is None:
                self._start()
            self._pipe.ring()

    def _start(self) -> None:
        thread = threading.Thread(
            target=self._run, name="runner-housekeeping", daemon=True
        )
        self._pipe.open()
        try:
            thread.start()
        except BaseException:
            # No thread is to be had: tried again with the next watch.
            self._end()
            raise
        self._thread = thread

    def unwatch(self, thread: RunnerThread) -> None:
        """Look after it no longer; when this returns, nobody is at it."""
        with self._mutex:
            self._threads.pop(thread, None)
            self.is_crowded = len(self._threads) >= syscalls.CROWD
            self._ghosts.pop(thread, None)
            self._records.pop(thread, None)
            self._reporters.pop(thread, None)
            self._pipe.ring()

    def beat(self, interval: float, send: Callable[[], object]) -> None:
        """
        Call `send` every `interval` seconds for as long as no chain is stalled.

        Args:
            interval: In seconds; it may be called earlier.
            send: Must not block, nor raise.
        """
        with self._mutex:
            self._heartbeat = (interval, send)
            self._pipe.ring()

    def forget(self) -> None:
        """Begin anew in a forked child: the thread did not come along."""
        _close(self._pipe, self._pidfds.values())
        self.__init__()  # type: ignore[misc]

    def _run(self) -> None:
        while True:
            try:
                self._wait()
            except Exception:
                # All chains that stand by would do so for ever without this thread.
                logger.exception("Housekeeping failed.")
                time.sleep(PERIOD)
            with self._mutex:
                if not self._threads:
                    self._end()
                    return
                threads = list(self._threads)
            self._looks += 1
            for thread in threads:
                if thread.wakes_soon:
                    continue
                try:
                    self._look_after(thread)
                except BaseException:
                    logger.exception("[%s] Housekeeping failed.", thread.name)
                    self._read_again(thread)
                    time.sleep(PERIOD / 2)
            if self._heartbeat and not any(t.is_stalled() for t in threads):
                self._heartbeat[1]()

    def _end(self) -> None:
        self._thread = None
        pipe, pidfds = self._pipe, self._pidfds
        # First: in a child that is forked meanwhile they may be another one's numbers.
        self._pidfds, self._pipe = {}, SelfPipe()
        self._poll = None
        _close(pipe, pidfds.values())

    def _wait(self) -> None:
        """Sleep until the next look, an owner's death, or a ring."""
        poll = self._poll = self._poll or self._prepare()
        timeout = min(self._timeout, self._patience())
        self._dead = {descriptor for descriptor, _ in poll.poll(timeout * 1000)}
        if self._dead or self._timeout < PERIOD:
            self._poll = None
        if not self._pipe.drain():
            self._poll = None
            with self._mutex:
                self._pipe.open()

    def _patience(self) -> float:
        """Return in how many seconds to look whether a run takes too long."""
        with self._mutex:
            limited = [item for item in self._threads.items() if item[0].has_limits]
        if not limited:
            return math.inf
        now = time.monotonic()
        moments = (thread.overdue_at(told=told) - now for thread, told in limited)
        return max(SHORTEST, min(PERIOD / 2, *moments))

    def _prepare(self) -> select.poll:
        """Find out what to wait for, and for how long, until something happens."""
        with self._mutex:
            threads = list(self._threads)
            if self._pipe.reading < 0:
                # It was closed by something else while no other was to be had.
                self._pipe.open()
        ownerless = self._watch_owners(
            thread for thread in threads if thread.is_standing_by()
        )
        # A lock that is held by nobody alive: the next owner is about to write its
        # record, or a forked child keeps the dead one's. Soon, then less often.
        self._impatience = min(PERIOD, self._impatience * 2) if ownerless else SOON
        self._timeout = self._impatience if ownerless else PERIOD
        if all(self._owner_of(thread) for thread in threads):
            self._timeout = PERIOD * CALM
        if self._heartbeat is not None:
            self._timeout = min(self._timeout, self._heartbeat[0])
        poll = select.poll()
        for descriptor in (self._pipe.reading, *self._pidfds.values()):
            poll.register(descriptor, select.POLLIN)
        return poll

    def _watch_owners(self, threads: Iterable[RunnerThread]) -> bool:
        """Get a pidfd of each process that owns a chain we stand by for."""
        wanted: dict[tuple[int, int | None], Identity] = {}
        self._records = {
            thread: self._records.get(thread) or thread.lock.owner()
            for thread in threads
        }
        for record in self._records.values():
            if record is not None and processes.is_here(record.owner):
                wanted[(record.owner.pid, record.owner.start)] = record.owner
        for key in list(self._pidfds):
            if key not in wanted or self._pidfds[key] in self._dead:
                with contextlib.suppress(OSError):
                    os.close(self._pidfds.pop(key))
        # The next ones may get the same numbers.
        self._dead = set()
        for key in wanted.keys() - self._pidfds.keys():
            descriptor = processes.pidfd_of(wanted[key])
            if descriptor is not None:
                self._pidfds[key] = descriptor
        return processes.HAS_PIDFD and bool(wanted.keys() - self._pidfds.keys())

    def _look_after(self, thread: RunnerThread) -> None:
        with self._mutex:
            if thread not in self._threads:
                return
            if thread.look_after(self._living_owner(thread)):
                # The owner lives: it stands by, and that is all.
                self._ghosts.pop(thread, None)
                return
            self._look_for_ghosts(thread)
            if thread in self._records or thread.is_standing_by():
                # It may have become the owner just now: that changes the next wait.
                self._read_again(thread)
            stalled = self._newly_stalled(thread)
        if stalled is not None:
            self._report_aside(stalled)

    def _report_aside(self, stalled: Stalled) -> None:
        """
        Report it in a thread of its own: a receiver may hang, or stop the chain.

        While one of the same chain is being reported it is logged, and that is all:
        who does not come back from one would not come back from the next.
        """
        thread = stalled.thread
        known = self._reporters.get(thread)
        if known is not None and known.is_alive():
            _log(stalled)
            return
        reporter = threading.Thread(
            target=_report, args=(stalled,), name=f"{thread.name}-stalled", daemon=True
        )
        try:
            reporter.start()
        except RuntimeError:
            # No thread is to be had.
            _report(stalled)
        else:
            with self._mutex:
                if thread in self._threads:
                    self._reporters[thread] = reporter

    def _read_again(self, thread: RunnerThread) -> None:
        """Have its owner's record read before the next wait."""
        self._records.pop(thread, None)
        self._poll = None

    def _living_owner(self, thread: RunnerThread) -> OwnerRecord | None:
        """Return the `_owner_of` a chain, but for each look that trusts nobody."""
        return None if self._looks % TRUST == 0 else self._owner_of(thread)

    def _owner_of(self, thread: RunnerThread) -> OwnerRecord | None:
        """Return who owns a chain that stands by, if a pidfd says that it lives."""
        record = self._records.get(thread)
        if record is None or record.released:
            return None
        if record.owner.pid == os.getpid():
            # Another chain of this name here, or this one, a moment ago.
            return None
        pidfd = self._pidfds.get((record.owner.pid, record.owner.start))
        return None if pidfd is None or pidfd in self._dead else record

    def _look_for_ghosts(self, thread: RunnerThread) -> None:
        """Say who keeps a lock whose owner is dead: it is not taken from them."""
        record = self._records.get(thread) if thread.is_standing_by() else None
        if record is None or (record.owner.pid, record.owner.start) in self._pidfds:
            self._ghosts.pop(thread, None)
            return
        since = self._ghosts.setdefault(thread, time.monotonic())
        if time.monotonic() - since >= GHOST_PATIENCE and processes.is_here(
            record.owner
        ):
            self._ghosts[thread] = float("inf")
            logger.error(
                "[%s] Process %s is gone, but its lock is still held by %s: most "
                "likely it forked them. The chain runs again when they have ended.",
                thread.name,
                record.owner.pid,
                processes.holders(thread.lock.path) or "processes that cannot be seen",
                extra={"action": "ghost_owner", "chain": thread.name},
            )

    def _newly_stalled(self, thread: RunnerThread) -> Stalled | None:
        runner = thread.running()
        if runner is None or runner.options.max_duration is None:
            return None
        limit = runner.options.max_duration.total_seconds()
        started = runner.started
        if self._threads[thread] == started or time.monotonic() - started < limit:
            return None
        self._threads[thread] = started
        thread.set_stalled(runner, started)
        return Stalled(thread, runner, started, runner.last_run or 0.0)


def _close(pipe: SelfPipe, pidfds: Iterable[int]) -> None:
    pipe.close()
    for descriptor in pidfds:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _report(stalled: Stalled) -> None:
    try:
        _tell(stalled)
    except BaseException:
        logger.exception("[%s] A stall could not be reported.", stalled.thread.name)
    finally:
        # A receiver may have used some.
        db.close_all()


def _tell(stalled: Stalled) -> None:
    task = stalled.runner.task
    stall = _log(stalled)
    signals.send_robust(signals.task_stalled, task.sender, stall=stall)


def _log(stalled: Stalled) -> Stall:
    thread, runner = stalled.thread, stalled.runner
    seconds = time.monotonic() - stalled.started
    stack = _stack_of(thread, runner.coroutines)
    logger.error(
        "[%s] Still running after %.1f seconds, at most %g are expected:\n%s",
        runner.task.name,
        seconds,
        runner.options.max_duration.total_seconds(),  # type: ignore[union-attr]
        stack,
        extra={"action": "task_stalled", "task": runner.task.name},
    )
    return Stall(
        task=runner.task,
        chain=thread.chain.name,
        started_at=datetime.fromtimestamp(stalled.began, timezone.utc),
        running_for=timedelta(seconds=seconds),
        stack=stack,
    )


def _stack_of(thread: threading.Thread, coroutines: Coroutines | None = None) -> str:
    frame = frame_of(thread.ident)
    if frame is None:
        return "(the thread is gone)"
    try:
        text = "".join(traceback.format_stack(frame))
    finally:
        del frame
    if coroutines is not None:
        text += coroutines.stack()
    return text if len(text) <= MAX_STACK else f"[…]\n{text[-MAX_STACK:]}"


housekeeper = Housekeeper()
"""The one of this process."""

if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=housekeeper.forget)
