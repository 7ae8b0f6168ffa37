"""
One thread a process that looks after all its chains, so that they can sleep.

About once a second it tries for the chains that stand by, and at once when their owner
dies; notices that an owner is asked to yield or has lost its claim; reports runs that
take too long; and tells systemd that the process is alive.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
import traceback
from collections.abc import Callable

from yourlabs.runner import signals
from yourlabs.runner.chain import db
from yourlabs.runner.chain.execution import Execution
from yourlabs.runner.chain.signals import send_robust
from yourlabs.runner.chain.thread import RunnerThread
from yourlabs.runner.failures.frames import frame_of
from yourlabs.runner.forks import renew_in_child
from yourlabs.runner.log import logger
from yourlabs.runner.ownership.record import Identity

LOOK_EVERY_S = 1.0  # time between two looks

# First look after an owner has died; each later one waits twice as long, up to
# `LOOK_EVERY_S`: another process may take the chain, and die as well.
RETRY_DEAD_S = 0.01
MAX_STACK = 20_000  # how much of a hanging thread's stack is reported, in characters


class ChainWatcher:
    """Looks after `RunnerThread` objects. Its thread runs while there is a need."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._threads: dict[RunnerThread, None] = {}
        self._thread: threading.Thread | None = None
        self._wait_s = LOOK_EVERY_S
        self._beat: tuple[float, Callable[[], object]] | None = None
        # Readable when the process dies that owns a chain we stand by for.
        self._death_fds: dict[Identity, int] = {}
        self._owners: set[Identity] = set()
        # When the run began that was reported last, and the thread that reports it.
        self._reporters: dict[RunnerThread, tuple[float, threading.Thread]] = {}

    def watch(self, thread: RunnerThread) -> None:
        """Look after it. Raises RuntimeError if no thread can be started."""
        with self._mutex:
            self._threads[thread] = None
            self._ensure_running()

    def unwatch(self, thread: RunnerThread) -> None:
        """Look after it no longer."""
        with self._mutex:
            self._threads.pop(thread, None)
            self._reporters.pop(thread, None)

    def beat(self, interval: float, send: Callable[[], object] | None) -> None:
        """Call `send` each `interval` seconds while no chain is stalled. None: stop."""
        with self._mutex:
            self._beat = None if send is None else (interval, send)
            self._ensure_running()

    def renew(self) -> None:
        """Begin anew in a forked child: the thread did not come along."""
        for descriptor in self._death_fds.values():
            _close(descriptor)
        self.__init__()  # type: ignore[misc]

    def _ensure_running(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            thread = threading.Thread(
                target=self._run, name="runner-watcher", daemon=True
            )
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        while self._is_needed():
            # Without the watcher no chain would take over, and systemd would kill a
            # healthy process.
            with contextlib.suppress(BaseException):
                self._look()

    def _is_needed(self) -> bool:
        with self._mutex:
            if self._threads or self._beat is not None:
                return True
            self._thread = None
        self._keep_death_fds({})
        return False

    def _look(self) -> None:
        threads = list(self._threads)
        # All stalls first: a log handler may hang in a later check.
        for look in (self._look_for_stall, lambda thread: thread.check()):
            for thread in threads:
                try:
                    look(thread)
                except BaseException:
                    logger.exception("[%s] The watcher has failed.", thread.name)
        try:
            if self._beat is not None and not any(one.is_stalled() for one in threads):
                self._beat[1]()
        except BaseException:
            logger.exception("The service manager could not be notified.")
        try:
            self._sleep([one for one in threads if one.stands_by()])
        except BaseException:
            logger.exception("The watcher could not wait for the end of owners.")
            time.sleep(LOOK_EVERY_S)

    # Owners that die.

    def _sleep(self, standing_by: list[RunnerThread]) -> None:
        """Wait for the next look, or until an owner dies."""
        owners: dict[Identity, RunnerThread] = {}
        for thread in standing_by:
            record = thread.ownership.owner()
            if record is not None and not record.released:
                owners[record.owner] = thread
        if owners.keys() - self._owners:
            # It may have died between the look at its chain and this one.
            self._wait_s = RETRY_DEAD_S
        self._owners = set(owners)
        self._keep_death_fds(owners)
        poll = select.poll()
        for descriptor in self._death_fds.values():
            poll.register(descriptor, select.POLLIN)
        limit = LOOK_EVERY_S if self._beat is None else self._beat[0]
        dead = {number for number, _ in poll.poll(min(self._wait_s, limit) * 1000)}
        self._wait_s = RETRY_DEAD_S if dead else min(LOOK_EVERY_S, self._wait_s * 2)
        for owner, descriptor in list(self._death_fds.items()):
            if descriptor in dead:
                _close(self._death_fds.pop(owner))

    def _keep_death_fds(self, owners: dict[Identity, RunnerThread]) -> None:
        """Have one descriptor for each owner that lives, and no others."""
        for owner in self._death_fds.keys() - owners.keys():
            _close(self._death_fds.pop(owner))
        for owner in owners.keys() - self._death_fds.keys():
            descriptor = owners[owner].ownership.death_fd()
            if descriptor is not None:
                self._death_fds[owner] = descriptor

    # Runs that take too long.

    def _look_for_stall(self, thread: RunnerThread) -> None:
        """Report it in a thread of its own: receivers and log handlers may hang."""
        execution = thread.loop.current
        if execution is None or not execution.is_overdue():
            return
        started = execution.started
        reported, reporter = self._reporters.get(thread, (0.0, None))
        if reported == started or (reporter is not None and reporter.is_alive()):
            # The last report hangs, and so would this one.
            return
        reporter = threading.Thread(
            target=_report_stall,
            args=(thread, execution, started),
            name=f"{thread.name}-stalled",
            daemon=True,
        )
        self._reporters[thread] = started, reporter
        reporter.start()


def _close(descriptor: int) -> None:
    # Something in the process may have closed it already.
    with contextlib.suppress(OSError):
        os.close(descriptor)


def _report_stall(thread: RunnerThread, execution: Execution, started: float) -> None:
    try:
        stack = _stack_of(thread, execution)
        stall = execution.stalled(started, stack)
        if stall is None:
            return
        # So that other processes see it: the chain's own thread hangs.
        thread.state.save()
        # Before it is logged: a log handler may be what hangs.
        send_robust(signals.task_stalled, execution.task.sender, stall=stall)
        logger.error(
            "[%s] Still running after %.1f seconds, at most %g are expected:\n%s",
            execution.task.name,
            stall.running_for.total_seconds(),
            execution.options.max_duration.total_seconds(),  # type: ignore[union-attr]
            stack,
            extra={"action": "task_stalled", "task": execution.task.name},
        )
    except BaseException:
        logger.exception("[%s] A stall could not be reported.", thread.name)
    finally:
        # A receiver may have used them.
        db.drop_connections()


def _stack_of(thread: RunnerThread, execution: Execution) -> str:
    frame = frame_of(thread.ident)
    if frame is None:
        return "(the thread is gone)"
    try:
        text = "".join(traceback.format_stack(frame))
    finally:
        del frame
    if execution.coroutines is not None:
        text += execution.coroutines.stack()
    return text if len(text) <= MAX_STACK else f"[…]\n{text[-MAX_STACK:]}"


watcher = ChainWatcher()
"""The one of this process."""

renew_in_child("watcher", watcher.renew)
