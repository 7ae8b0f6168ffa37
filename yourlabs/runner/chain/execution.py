"""One run of one task: called in a clean context, and described, whatever it raises."""

from __future__ import annotations

import contextvars
import logging
import os
import threading
import time
from dataclasses import replace
from datetime import timedelta
from types import CoroutineType

from yourlabs.runner import signals
from yourlabs.runner.chain import db, interrupted
from yourlabs.runner.chain.coroutines import Coroutines
from yourlabs.runner.chain.history import History
from yourlabs.runner.chain.running import running
from yourlabs.runner.chain.signals import send_robust
from yourlabs.runner.chain.status import TaskStatus, instant
from yourlabs.runner.chain.task import Task
from yourlabs.runner.chain.validation import why_nothing_ran
from yourlabs.runner.exceptions import InvalidTask
from yourlabs.runner.failures.describe import Described, describe, forget
from yourlabs.runner.failures.downtime import (
    Downtime,
    Hang,
    Latest,
    interrupted_cooldown,
)
from yourlabs.runner.failures.records import Failure, Recovery, Run, Stall
from yourlabs.runner.forks import end_child
from yourlabs.runner.log import logger
from yourlabs.runner.ownership.base import Clock
from yourlabs.runner.ownership.record import OwnerRecord

NEVER_FAILED = Downtime()
# A warning comes after so many runs in a row without a cooldown, if they took so long.
MORE_RUNS, MORE_SECONDS = 100, 5.0


class Execution:
    """
    Runs one task of a chain, and counts what comes of it.

    For the chain's thread; any thread may read `status`, `downtime` and `is_overdue`,
    and call `stalled`.

    Attributes:
        task, chain, key: What is run, the chain's name, the task's name in its state.
        options: The task's, as they were when this was made.
        more: Run it again at once: the last run returned True, or the end of the
            process cut it.
        cooldown: The wait after the last run.
        downtime, history: How the task fares and what it has done, over all owners.
        runs, failures: How many there were since this was made.
        started, last_run: When the last run began, on the monotonic clock, and in
            seconds since the epoch (None: there was none).
        is_called: The task's own code is running.
        coroutines: Runs what the function returns. None: it is no coroutine function.
    """

    def __init__(
        self, task: Task, chain: str, key: str, *, clock: Clock = time
    ) -> None:
        self._clock = clock
        self.task, self.chain, self.key = task, chain, key
        self.options = task.options
        self.more = False
        self.cooldown = timedelta()
        self.downtime = NEVER_FAILED
        self.history = History()
        self.runs = self.failures = 0
        self.started = 0.0
        self.last_run: float | None = None
        self.coroutines: Coroutines | None = None
        self.is_called = self._is_running = False
        # Since when it has returned True each time, how often, and if that was logged.
        self._more_since, self._more_runs, self._more_told = 0.0, 0, False
        # When the downtime began, on the monotonic clock: the other one jumps.
        self._began = 0.0
        # A run may be found to hang in the moment in which it ends.
        self._counting = threading.Lock()
        # What each run begins with, and the process of the runs: a task may fork.
        self._context = contextvars.Context()
        self._pid = os.getpid()

    def begin(self, token: int) -> None:
        """Run in this thread from now on, under the ownership of that token."""
        self._context = contextvars.Context()
        self._context.run(running.set, (threading.current_thread(), token))
        self._pid = os.getpid()

    def resume(self, downtime: Downtime) -> None:
        """Go on with what another owner counted; none of its runs hangs any more."""
        self.downtime = downtime.hang_ended(None)
        self._began = self._clock.monotonic() - downtime.lasts(self._clock.time())

    def run(self) -> float:
        """Call the task once; return when its cooldown ends, on the monotonic clock."""
        self.started = self._clock.monotonic()
        self._is_running = True
        try:
            return self._run()
        finally:
            self._note_hang(self._clock.monotonic(), is_running=False)

    def _run(self) -> float:
        context = self._context.copy()
        self.last_run = self._clock.time()
        if signals.task_started.receivers:
            run = Run(self.task, self.chain, instant(self.last_run))
            send_robust(signals.task_started, self.task.sender, run=run)
        self.started = self._clock.monotonic()
        was_disabled, level = logger.logger.disabled, logging.root.manager.disable
        try:
            self.is_called = True
            try:
                more = self._call_in(context)
            finally:
                # `logging.config` disables all loggers that it is not given.
                logger.logger.disabled = was_disabled
                if logging.root.manager.disable != level:
                    logging.disable(level)
            if os.getpid() != self._pid:
                end_child(self.task.name)
        except BaseException as exc:
            if os.getpid() != self._pid:
                end_child(self.task.name, exc)
            # All: SystemExit would end the thread silently, and a KeyboardInterrupt
            # comes from the task, as signals reach the main thread only.
            more = False
            if exit_code(exc) != 0:
                return self._after_failure(exc, self._ended(context))
            forget(exc)
        return self._after_success(more, self._ended(context))

    def _call_in(self, context: contextvars.Context) -> bool:
        """Call the task, and say whether it has more to do."""
        result = context.run(self.task.func)
        if type(result) is CoroutineType:
            self.coroutines = self.coroutines or Coroutines(self.task.name)
            coroutine = result
            result = context.run(self.coroutines.run, lambda: coroutine)
        is_plain = result is None or result is True
        if not is_plain and (reason := why_nothing_ran(self.task.func, result)):
            raise InvalidTask(reason)
        return result is True

    def _ended(self, context: contextvars.Context) -> float:
        """Leave nothing of the run behind; return when the call ended."""
        ended = self._clock.monotonic()
        self.is_called = False
        if self.downtime.hangs:
            self._note_hang(ended)
        self.runs += 1
        db.drop_connections()
        if len(context) > len(self._context):
            # The task has set something in its context, maybe a cache.
            context.run(db.close_caches)
        return ended

    def _note_hang(self, ended: float, *, is_running: bool = True) -> None:
        """Count how long the run took, if it was found to take too long."""
        with self._counting:
            self._is_running = is_running
            if self.downtime.hangs:
                self.downtime = self.downtime.hang_ended(ended - self.started)

    def is_overdue(self) -> bool:
        """Say whether the run that goes on takes longer than `max_duration`."""
        limit = self.options.max_duration
        if limit is None or not self._is_running:
            return False
        return self._clock.monotonic() - self.started >= limit.total_seconds()

    def stalled(self, started: float, stack: str) -> Stall | None:
        """Count that the run of `started` takes too long; None: it has ended."""
        limit = self.options.max_duration or timedelta()
        with self._counting:
            # Not only while it is called: a log handler after that may hang.
            if not self._is_running or self.started != started:
                return None
            seconds = self._clock.monotonic() - started
            began = self.last_run or 0.0
            hang = Hang(began, limit.total_seconds(), seconds, stack)
            self.downtime = self.downtime.stalled(hang)
        return Stall(
            self.task, self.chain, instant(began), timedelta(seconds=seconds), stack
        )

    def interrupt(self, record: OwnerRecord) -> float:
        """Count a run whose process died in it; return when its cooldown ends."""
        now = self._clock.time()
        since = record.run.since if record.run else record.since
        self.last_run = since
        self.runs += 1
        exc = interrupted.Interrupted(interrupted.describe(record, now))
        described = replace(describe(exc), traceback="")
        in_a_row = self.downtime.interrupted + 1
        ended = self._clock.monotonic()
        took = max(0.0, now - since)
        self._count(described, ended, took=took, in_a_row=in_a_row)
        self.cooldown = interrupted_cooldown(self.options.fail_cooldown, in_a_row)
        self._tell(exc, described, timedelta(seconds=took))
        return ended + self.cooldown.total_seconds()

    def status(self) -> TaskStatus:
        """Return how the task fares."""
        downtime = self.downtime
        return TaskStatus(
            name=self.task.name,
            path=self.task.path,
            runs=self.runs,
            failures=self.failures,
            consecutive=downtime.consecutive if downtime.is_down else 0,
            last_run=None if self.last_run is None else instant(self.last_run),
            down_since=instant(downtime.since) if downtime.is_down else None,
        )

    def _after_success(self, more: bool, ended: float) -> float:
        self.more = more
        self.cooldown = self.options.success_cooldown
        self.history.succeeded(self.last_run or 0.0, ended - self.started)
        if more:
            self._count_more(ended)
        else:
            self._more_runs = 0
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug(
                "[%s] Execution successful",
                self.task.name,
                extra={"action": "task_succeeded", "task": self.task.name},
            )
        if signals.task_succeeded.receivers:
            times = instant(self.last_run or 0), instant(self._clock.time())
            duration = timedelta(seconds=ended - self.started)
            run = Run(self.task, self.chain, *times, duration)
            send_robust(signals.task_succeeded, self.task.sender, run=run)
        if self.downtime.is_down:
            self._recover(ended)
        return ended if more else ended + self.cooldown.total_seconds()

    def _count_more(self, ended: float) -> None:
        """Warn once that a task has returned True for long: it may be a mistake."""
        self._more_since = self._more_since if self._more_runs else self.started
        self._more_runs += 1
        seconds = ended - self._more_since
        if self._more_told or self._more_runs < MORE_RUNS or seconds < MORE_SECONDS:
            return
        self._more_told = True
        logger.warning(
            "[%s] It returned True %s times in a row in %.0f seconds, so there was no "
            "cooldown: True means that there is more to do at once. If it only means "
            "that all went well, return nothing. In a web worker such a chain rests "
            "between its runs, so that requests keep most of the processor.",
            self.task.name,
            self._more_runs,
            seconds,
            extra={"action": "endless", "task": self.task.name},
        )

    def _recover(self, ended: float) -> None:
        with self._counting:
            self.downtime = self.downtime.recovered(lasted=ended - self._began)
        if not signals.task_recovered.receivers:
            return
        downtime = self.downtime
        recovery = Recovery(
            task=self.task,
            chain=self.chain,
            recovered_at=instant(self._clock.time()),
            down_since=instant(downtime.since),
            downtime=timedelta(seconds=downtime.lasted),
            failures=downtime.consecutive,
            exceptions=downtime.exceptions(),
        )
        send_robust(signals.task_recovered, self.task.sender, recovery=recovery)

    def _after_failure(self, exc: BaseException, ended: float) -> float:
        try:
            self.more = interrupted.is_shutdown(exc)
            if self.more:
                return ended
            self.cooldown = self.options.fail_cooldown
            described = describe(exc)
            if code := exit_code(exc):
                described = replace(described, message=f"exit code {code}")
            self._count(described, ended, took=ended - self.started)
            self._tell(exc, described, timedelta(seconds=ended - self.started))
        finally:
            forget(exc)
        return ended + self.cooldown.total_seconds()

    def _count(
        self, described: Described, ended: float, *, took: float, in_a_row: int = 0
    ) -> None:
        self.failures += 1
        texts = described.exception_type, described.message, described.traceback
        self.history.failed(self.last_run or 0.0, took, *texts)
        latest = Latest(**vars(described), at=self._clock.time())
        with self._counting:
            if not self.downtime.is_down:
                self._began = ended
            lasted = ended - self._began
            self.downtime = self.downtime.failed(
                latest, lasted=lasted, interrupted=in_a_row
            )

    def _tell(
        self, exc: BaseException, described: Described, duration: timedelta
    ) -> None:
        logger.failure(
            "[%s] Execution failed",
            self.task.name,
            exc=exc,
            text=described.traceback or described.message,
            extra={"action": "task_failed", "task": self.task.name},
        )
        if not signals.task_failed.receivers:
            return
        downtime = self.downtime
        failure = Failure(
            task=self.task,
            chain=self.chain,
            started_at=instant(self.last_run or 0),
            failed_at=instant(self._clock.time()),
            duration=duration,
            exception_type=described.exception_type,
            message=described.message,
            traceback=described.traceback,
            fingerprint=described.fingerprint,
            consecutive=downtime.consecutive,
            down_since=instant(downtime.since),
            downtime=timedelta(seconds=downtime.lasted),
        )
        send_robust(
            signals.task_failed, self.task.sender, failure=failure, exception=exc
        )


def exit_code(exc: BaseException) -> int | None:
    """Return the number given to `sys.exit`, 0 for none. None: it is no exit."""
    if not issubclass(type(exc), SystemExit):
        return None
    # Not `exc.code`: a subclass may raise in it.
    code = SystemExit.__dict__["code"].__get__(exc)
    return 0 if code is None else code if isinstance(code, int) else None
