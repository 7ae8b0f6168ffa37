"""One run of one task: called in a clean context, and described, whatever it raises."""

from __future__ import annotations

import builtins
import contextvars
import inspect
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta, timezone
from functools import partial
from types import CoroutineType
from typing import Any

from yourlabs.runner import signals
from yourlabs.runner.chain import db
from yourlabs.runner.chain.children import end_child
from yourlabs.runner.chain.coroutines import Coroutines
from yourlabs.runner.chain.status import TaskStatus
from yourlabs.runner.chain.task import Task
from yourlabs.runner.exceptions import RunnerError
from yourlabs.runner.failures.describe import Described, describe, forget
from yourlabs.runner.failures.downtime import Incident, interrupted_cooldown
from yourlabs.runner.failures.records import Failure, Recovery, Run
from yourlabs.runner.log import logger
from yourlabs.runner.ownership.record import OwnerRecord


class Interrupted(RunnerError):
    """The process that ran the task ended before the task did."""


class TaskRunner:
    """
    Runs one task of a chain, and keeps count.

    It belongs to the chain's thread; other threads read `status` only.
    """

    __slots__ = (
        "_call",
        "_success_seconds",
        "chain",
        "cooldown",
        "coroutines",
        "failures",
        "incident",
        "is_called",
        "key",
        "last_run",
        "more",
        "options",
        "runs",
        "started",
        "task",
    )

    def __init__(self, task: Task, chain: str, key: str) -> None:
        self.task = task
        self.key = key
        """Tells it from the others in the chain's state."""
        self.options = task.options
        self.chain = chain
        self.more = False
        """It is to be run again at once: the last run returned True, or was cut by the
        end of the process."""
        self.cooldown = timedelta()
        """The wait after the last run."""
        self.incident: Incident | None = None
        self.runs = self.failures = 0
        self.started = 0.0
        """When the last run began, on the monotonic clock."""
        self.last_run: float | None = None
        self.is_called = False
        """The function has not come back yet."""
        self.coroutines: Coroutines | None = None
        """What runs it where it is a coroutine function, or returns a coroutine."""
        self._call = task.func
        if _is_async(task.func):
            self.coroutines = Coroutines(task.name)
            self._call = partial(self.coroutines.run, task.func)
        self._success_seconds = self.options.success_cooldown.total_seconds()

    def run(self, *, rested: bool) -> float:
        """
        Call the task once.

        Args:
            rested: Time has passed since the last run in this thread, so that a
                connection to a database may have grown obsolete.

        Returns:
            When the cooldown ends, on the monotonic clock. It begins with the end of
            the call: what receivers and log handlers take is part of it.
        """
        context = contextvars.Context()
        self.last_run = time.time()
        if signals.task_started.receivers:
            run = Run(self.task, self.chain, _instant(self.last_run))
            signals.send_robust(signals.task_started, self.task.sender, run=run)
        pid = os.getpid()
        self.started = started = time.monotonic()
        try:
            if rested:
                db.before_run()
            self.is_called = True
            result = context.run(self._call)
            if type(result) is CoroutineType:
                # Of a lambda, or of a wrapper that does not look like one.
                result = context.run(self._wait_for, result)
            # No more is kept of it: on Python 3.10 this frame lives on in a cycle
            # that looking for connections leaves behind.
            result = result is True
            if os.getpid() != pid:
                end_child(self.task.name)
        except BaseException as exc:
            if os.getpid() != pid:
                end_child(self.task.name, exc)
            # Everything: SystemExit would end the thread without a word, and
            # KeyboardInterrupt comes from the task, signals reach the main thread only.
            self._ran(context)
            return self._after_failure(exc, started)
        self._ran(context)
        return self._after_success(result, started)

    def _wait_for(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if self.coroutines is None:
            self.coroutines = Coroutines(self.task.name)
        return self.coroutines.run(lambda: coroutine)

    def _ran(self, context: contextvars.Context) -> None:
        self.is_called = False
        self.runs += 1
        db.after_run()
        if len(context):
            # The task used something that lives in its context, maybe a cache.
            context.run(_close_caches)

    def interrupt(self, record: OwnerRecord) -> float:
        """Book the run that the owner of `record` began and did not live to end."""
        since = record.run.since if record.run else record.since
        self.last_run = since
        self.runs += 1
        owner = f"{record.owner.pid} on {record.owner.host}"
        who = f"Process {owner}"
        if since < record.since:
            who = f"An owner before process {owner}, which did not come to say so,"
        exc = Interrupted(
            f"{who} ended while the task was running: it was killed, crashed, or had "
            "no time left to finish."
        )
        described = Described(
            f"{Interrupted.__module__}.{Interrupted.__qualname__}", str(exc), "", "1:0"
        )
        duration = max(0.0, time.time() - since)
        incident = self._count(described)
        incident.interrupted += 1
        deadline = self._cool_down(
            interrupted_cooldown(self.options.fail_cooldown, incident.interrupted)
        )
        self._tell(exc, described, timedelta(seconds=duration))
        return deadline

    def status(self) -> TaskStatus:
        """Return how the task fares."""
        incident = self.incident
        return TaskStatus(
            name=self.task.name,
            path=self.task.path,
            runs=self.runs,
            failures=self.failures,
            consecutive=incident.failures if incident else 0,
            last_run=None if self.last_run is None else _instant(self.last_run),
            down_since=incident.down_since if incident else None,
        )

    def to_json(self) -> dict[str, Any]:
        """Return how the task fares, as plain values for the chain's state."""
        return {
            "task": self.task.path,
            "runs": self.runs,
            "failures": self.failures,
            "last_run": self.last_run,
        }

    def _cool_down(self, cooldown: timedelta) -> float:
        self.cooldown = cooldown
        return time.monotonic() + cooldown.total_seconds()

    def _after_success(self, more: bool, started: float) -> float:
        ended = time.monotonic()
        self.more = more
        self.cooldown = self.options.success_cooldown
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug(
                "[%s] Execution successful",
                self.task.name,
                extra={"action": "task_succeeded", "task": self.task.name},
            )
        if signals.task_succeeded.receivers:
            self._tell_success(ended - started)
        if self.incident is not None:
            self._recover(self.incident)
        return ended if more else ended + self._success_seconds

    def _tell_success(self, seconds: float) -> None:
        run = Run(
            self.task,
            self.chain,
            _instant(self.last_run or 0),
            _now(),
            timedelta(seconds=seconds),
        )
        signals.send_robust(signals.task_succeeded, self.task.sender, run=run)

    def _recover(self, incident: Incident) -> None:
        self.incident = None
        if not signals.task_recovered.receivers:
            return
        now = _now()
        recovery = Recovery(
            task=self.task,
            chain=self.chain,
            recovered_at=now,
            down_since=incident.down_since,
            downtime=incident.downtime(time.monotonic()),
            failures=incident.failures,
            exceptions=incident.distinct(),
        )
        signals.send_robust(signals.task_recovered, self.task.sender, recovery=recovery)

    def _after_failure(self, exc: BaseException, started: float) -> float:
        self.more = False
        ended = time.monotonic()
        try:
            if _is_shutdown(exc):
                self.more = True
                return ended
            deadline = self._cool_down(self.options.fail_cooldown)
            described = describe(exc)
            self._count(described).interrupted = 0
            self._tell(exc, described, timedelta(seconds=ended - started))
        finally:
            forget(exc)
        return deadline

    def _count(self, described: Described) -> Incident:
        self.failures += 1
        incident = self.incident
        if incident is None:
            incident = self.incident = Incident(_now(), time.monotonic())
        incident.add(described.exception_type, described.message, described.fingerprint)
        return incident

    def _tell(
        self, exc: BaseException, described: Described, duration: timedelta
    ) -> None:
        logger.failure(
            "[%s] Execution failed",
            self.task.name,
            exc=exc,
            # The bounded text, made once a place.
            text=described.traceback or described.message,
            extra={"action": "task_failed", "task": self.task.name},
        )
        if not signals.task_failed.receivers or self.incident is None:
            return
        now = _now()
        failure = Failure(
            task=self.task,
            chain=self.chain,
            started_at=_instant(self.last_run or 0),
            failed_at=now,
            duration=duration,
            exception_type=described.exception_type,
            message=described.message,
            traceback=described.traceback,
            fingerprint=described.fingerprint,
            consecutive=self.incident.failures,
            down_since=self.incident.down_since,
            downtime=self.incident.downtime(time.monotonic()),
        )
        signals.send_robust(
            signals.task_failed, self.task.sender, failure=failure, exception=exc
        )


def _is_async(func: Callable[[], Any]) -> bool:
    return inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(
        getattr(func, "__call__", None)  # noqa: B004
    )


def _close_caches() -> None:
    from django.core.cache import caches

    try:
        caches.close_all()
    except Exception:
        logger.exception("A cache could not be closed.")


_SHUTDOWN = (RuntimeError, getattr(builtins, "PythonFinalizationError", RuntimeError))
"""What the interpreter raises of a thread or a pool that is started too late."""


def _is_shutdown(exc: BaseException) -> bool:
    """Say whether the end of the interpreter cut the run: no fault of the task."""
    # No subclass: that is a task's own.
    return any(type(exc) is one for one in _SHUTDOWN) and (
        sys.is_finalizing() or getattr(threading, "_SHUTTING_DOWN", False)
    )


def _instant(epoch: float) -> datetime:
    return datetime.fromtimestamp(epoch, timezone.utc)


def _now() -> datetime:
    return datetime.now(timezone.utc)
