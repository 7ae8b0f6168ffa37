"""The thread of a chain: started, woken, stopped and looked at from outside."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from yourlabs.runner.chain import db
from yourlabs.runner.chain import status as states
from yourlabs.runner.chain.loop import ChainLoop
from yourlabs.runner.chain.running import waiting_for
from yourlabs.runner.chain.status import ChainStatus
from yourlabs.runner.chain.steering import describe_pause
from yourlabs.runner.chain.task import Chain
from yourlabs.runner.log import logger
from yourlabs.runner.ownership.record import END_OF_TIME, Mode, describe_owner


class RunnerThread(threading.Thread):
    """
    A daemon thread that runs one chain, for as long as this process owns it.

    `stop`, `wake` and `status` may be called from any thread and from signal handlers;
    a forked child has a copy that runs nothing.

    Attributes:
        name: The chain's name. Not to be changed.
        chain, mode, ownership: What it runs, what its process is for, and what makes
            it the only one.
        loop: What it does; see there for which thread may use it.
        tasks: The chain's tasks as they are run here, in order.
        state: What the next owner is to know, by section.
        ended: Called last in the thread. None: nothing is.
    """

    def __init__(self, chain: Chain, **options: Any) -> None:
        """Make the thread; `start` starts it. The options are those of `ChainLoop`."""
        super().__init__(name=chain.name, daemon=True)
        self.loop = loop = ChainLoop(chain, sender=self, **options)
        self.chain, self.mode, self.ownership = chain, loop.mode, loop.ownership
        self.tasks, self.state = loop.tasks, loop.state
        self.ended: Callable[[], None] | None = None
        self._made_in = os.getpid()
        self._start_once = threading.Lock()
        # A bare lock: unlike an Event, it may be released in a signal handler.
        self._wakeup = threading.Lock()
        self._wakeup.acquire()
        self._has_ended = False

    @property
    def reason(self) -> str:
        """Why the chain does not run; empty where there is nothing to say."""
        return self.loop.reason

    @reason.setter
    def reason(self, reason: str) -> None:
        self.loop.reason = reason

    @property
    def is_new_start(self) -> bool:
        """
        A person has just started the chain: what was told before is told again.

        Not for a single pass, nor where the owner before was cut off.
        """
        return self.loop.is_new_start

    @property
    def once(self) -> bool:
        """It ends when each task was run once."""
        return self.mode is Mode.ONCE

    # For everybody.

    def start(self) -> None:
        """
        Start the thread; in a forked child, if it was not started in the parent.

        Raises:
            RuntimeError: It was started before, or no thread is to be had now.
        """
        if self._made_in != os.getpid() and self.ident is None:
            # The fork marked it as ended, though it has not begun.
            super().__init__(name=self.chain.name, daemon=True)
            self._made_in = os.getpid()
            self._start_once = threading.Lock()
        if not self._start_once.acquire(blocking=False) and self.ident is None:
            # Another thread is about to start it: a request, for example.
            return
        try:
            super().start()
        except RuntimeError:
            if self.ident is None:
                # Python 3.13 marks a thread that could not start as started.
                super().__init__(name=self.chain.name, daemon=True)
                self._start_once.release()
            raise

    def stop(self, timeout: float | None = None) -> bool:
        """
        Ask the chain to stop after the function that is running; cut a cooldown.

        Args:
            timeout: How many seconds to wait for it. None: as long as it takes.

        Returns:
            Whether it has stopped. False at once where the chain's own task asks.
        """
        self.ask_to_stop()
        if self.ident is not None:
            with waiting_for(self) as is_possible:
                if is_possible:
                    seconds = threading.TIMEOUT_MAX if timeout is None else timeout
                    self.join(min(seconds, threading.TIMEOUT_MAX))
                elif self is not threading.current_thread():
                    logger.warning(
                        "[%s] It cannot stop before a task has ended that waits for "
                        "that: it is asked to stop, and not waited for.",
                        self.chain.name,
                        extra={"action": "waits_for_itself", "chain": self.chain.name},
                    )
        return not self.is_alive()

    def ask_to_stop(self) -> None:
        """Ask the chain to stop, and do not wait. Safe in a signal handler."""
        self.loop.stop_asked = True
        self.notify()

    def wake(self) -> None:
        """
        End the current cooldown now.

        While a function runs, the cooldown after it is skipped. While another process
        runs the chain, nothing happens: this one has no cooldown to end.
        """
        self.loop.wake_asked = True
        self.notify()

    def notify(self) -> None:
        """End the thread's sleep, for the next `tick`. Safe in a signal handler."""
        with suppress(RuntimeError):
            self._wakeup.release()

    def is_ending(self) -> bool:
        """Say whether it was asked to stop, or is over: no run will begin."""
        return self.loop.stop_asked or self.has_ended()

    def has_ended(self) -> bool:
        """Say whether it ran and is over, or was stopped before it began."""
        if self.ident is None:
            return self.loop.stop_asked
        # Not `is_alive`: that is False for a moment when it has just begun.
        return self._has_ended or self._is_copy()

    def _is_copy(self) -> bool:
        """Say whether it was started in the process that this one was forked by."""
        return self._made_in != os.getpid() and self.ident is not None

    def status(self) -> ChainStatus:
        """Return a snapshot of the chain in this process."""
        state, plan, current = self._state(), self.loop.plan, self.loop.current
        if state != states.COOLING_DOWN:
            plan = None
        tasks = [task.status() for task in dict.fromkeys(self.tasks)]
        downs = (task.down_since for task in tasks if task.down_since)
        return ChainStatus(
            name=self.chain.name,
            state=state,
            reason=self._why(state),
            current_task=current.task.name if current and not self._is_copy() else None,
            runs=sum(task.runs for task in tasks),
            failures=sum(task.failures for task in tasks),
            last_run=max((one.last_run for one in tasks if one.last_run), default=None),
            next_run=None if plan is None else self._moment_of(plan.deadline),
            down_since=min(downs, default=None),
            tasks=tuple(tasks),
        )

    def _state(self) -> str:
        plan = self.loop.plan
        if self.has_ended():
            return states.STOPPED
        if self.loop.current is not None:
            return states.STALLED if self.is_stalled() else states.RUNNING
        if plan is not None and self.loop.steering.paused_for():
            return states.PAUSED
        if plan is not None:
            is_due = plan.deadline <= self.loop.clock.monotonic()
            return states.RUNNING if is_due else states.COOLING_DOWN
        if self.loop.stands_by:
            return states.STANDBY
        is_starting = self.ident is not None or self._start_once.locked()
        return states.STARTING if is_starting else states.STOPPED

    def _why(self, state: str) -> str:
        if self._is_copy():
            return "It runs in the process that this one was forked by."
        if state == states.PAUSED:
            return describe_pause(self.loop.steering.desired.paused)
        if self.reason or state != states.STANDBY:
            return self.reason
        owner = describe_owner(self.ownership.owner(), self.loop.clock.time())
        return f"It is run by {owner}."

    def _moment_of(self, deadline: float) -> datetime:
        epoch = self.loop.clock.time() + deadline - self.loop.clock.monotonic()
        # A cooldown may be longer than the calendar.
        return datetime.fromtimestamp(min(epoch, END_OF_TIME - 1), timezone.utc)

    # For the watcher, in its own thread.

    def check(self) -> None:
        """Look at what may change while the thread itself sleeps or runs a task."""
        if self.loop.check():
            self.notify()

    def stands_by(self) -> bool:
        """Say whether it waits for another process to let go of the chain."""
        return self.loop.stands_by and self.loop.plan is None

    def is_stalled(self) -> bool:
        """Say whether the run of now takes too long."""
        current = self.loop.current
        return current is not None and current.is_overdue()

    # The thread itself.

    def run(self) -> None:
        """Own, run, yield, stand by; until it is stopped. Called by `start`."""
        db.stay_out_of_pools()
        try:
            while not self.loop.stop_asked:
                # Libraries raise exceptions in other threads, and some come late: while
                # another one is handled, for example.
                with suppress(BaseException):
                    while not self.loop.stop_asked:
                        self._iterate()
        finally:
            self._leave()

    def _iterate(self) -> None:
        try:
            self._sleep_until(self.loop.tick())
        except BaseException as exc:
            try:
                self.loop.break_down(exc)
            except BaseException:
                logger.exception("[%s] A breakdown could not be reported.", self.name)

    def _sleep_until(self, deadline: float) -> None:
        left = deadline - self.loop.clock.monotonic()
        if left > 0 and not self.loop.stop_asked:
            # What a receiver or a log handler used does not rest in a cooldown.
            db.drop_connections()
            self._wakeup.acquire(timeout=min(left, threading.TIMEOUT_MAX))

    def _leave(self) -> None:
        try:
            try:
                self.loop.release()
            finally:
                self.loop.trouble.close()
        finally:
            self.loop.watcher.unwatch(self)
            db.drop_connections()
            self._has_ended = True
            if self.ended is not None:
                self.ended()
