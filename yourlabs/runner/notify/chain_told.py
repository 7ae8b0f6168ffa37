"""What a channel was told of a chain's tasks, and where the next owner finds it."""

from __future__ import annotations

import functools
import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol

from django.core.exceptions import ImproperlyConfigured

from yourlabs.runner import conf
from yourlabs.runner.chain.task import Task
from yourlabs.runner.failures.downtime import Downtime
from yourlabs.runner.log import logger
from yourlabs.runner.notify import releases
from yourlabs.runner.notify.report import Report, instant, redacted
from yourlabs.runner.notify.throttle import (
    Kind,
    Owed,
    Rules,
    delivered,
    news,
    next_reminder,
    owed,
)
from yourlabs.runner.notify.told import (
    Told,
    as_of,
    baseline,
    counted_copy,
    started_anew,
    told_from_json,
    told_to_json,
)
from yourlabs.runner.storage.desired import silent_for

MAX_COPIES = 3
"""How often a report is sent that nobody said was taken, before it counts as told."""

LOOK_AT_HANGS_EVERY = 1.0
"""How often it is looked whether a run that hangs has ended, in seconds."""

LOOK_AT_SILENCE_EVERY = 2.0
"""How often it is looked whether a chain is to be silent still, in seconds."""

SUFFIX = ".down"
"""Ends the name under which it is kept that a chain cannot run."""

MAX_KNOWN = 2_000
"""How many fingerprints are kept for the next owner, of all tasks of a chain."""


class State(Protocol):
    """Sections of plain JSON values that outlive the process."""

    def get(self, section: str) -> Any:
        """Return what was put, by this process or another one. None: nothing."""

    def put(self, section: str, value: Any, *, now: bool = False) -> None:
        """Keep `value`; written with the next write, or before returning if `now`."""


class ChainTold:
    """
    What one channel was told of the tasks of one chain, and how they fare.

    Attributes:
        thread: What runs the chain.
        lock: Guards `told`.
        told: By the keys of the tasks.
        keys: Of the tasks.
        executions: What runs each task, by its key.
        held: How many reports were held back because the chain is silenced.
    """

    def __init__(
        self, thread: Any, section: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.thread = thread
        self._clock = clock
        self.name: str = thread.chain.name
        self.lock = threading.Lock()
        self.keys: dict[Task, str] = thread.chain.keys()
        self.executions = {execution.key: execution for execution in thread.tasks}
        self._section = section
        self.held = 0
        self._decided: dict[str, tuple[list[Kind], int]] = {}
        self._max_new = _max_new_exceptions()
        self._release = releases.release_of(thread.chain)
        self.told = self._read()
        # Who is killed from now on leaves behind what was not told.
        self.write()

    def _read(self) -> dict[str, Told]:
        """Go on with what was told by the last owner of the chain."""
        value = self.thread.state.get(self._section)
        now = self._clock()
        try:
            told = {key: told_from_json(one) for key, one in value["tasks"].items()}
            release, self.held = str(value["release"]), int(value.get("held", 0))
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            if value is not None:
                logger.warning(
                    "[%s] What was told cannot be read, and begins anew: %s",
                    self.name,
                    exc,
                    extra={"action": "told_dropped", "chain": self.name},
                )
            known = {key: self.downtime(key) for key in self.executions}
            return {key: baseline(one) for key, one in known.items()}
        told = {
            key: as_of(told.get(key, Told()), self.downtime(key), now)
            for key in self.executions
        }
        why = _new_start(self.thread, release, self._release)
        return {
            key: started_anew(one, why) if why else one for key, one in told.items()
        }

    def downtime(self, key: str) -> Downtime:
        """Return how the task of `key` fares."""
        downtime: Downtime = self.executions[key].downtime
        return downtime

    def rules(self, key: str) -> Rules:
        """Return the rules for the task of `key`."""
        period: timedelta = self.executions[key].options.non_recoverable_downtime
        return Rules(period.total_seconds(), self._max_new)

    def owed(self, key: str) -> Owed:
        """Return what is to be told now of the task of `key`."""
        now = self._clock()
        return owed(self.downtime(key), self.told[key], now, self.rules(key))

    def _silent_for(self) -> float:
        """Return how long to wait before it is asked again whether to be silent."""
        seen = self.thread.state.get("steer")
        return min(silent_for(seen, self._clock()), LOOK_AT_SILENCE_EVERY)

    def decide(self, key: str) -> Owed:
        """Return what is owed, which the next owner knows of if this one is killed."""
        with self.lock:
            found = self.owed(key)
            # Not the messages: they may differ from one failure to the next.
            kinds = [reason.kind for reason in found.reasons]
            decided = kinds, len(news(self.downtime(key), self.told[key]))
            if kinds and decided != self._decided.get(key):
                self._decided[key] = decided
                self.held += bool(self._silent_for())
                self.write(now=True)
        silent = self._silent_for()
        return Owed((), silent) if found.reasons and silent else found

    def report(self, key: str) -> Report | float | None:
        """Return what is to be told now, or in how many seconds to ask again."""
        now = self._clock()
        rules = self.rules(key)
        what = redacted(self.downtime(key), _redact())
        with self.lock:
            told = self.told[key] = as_of(self.told[key], what, now)
        found = owed(what, told, now, rules)
        if found.reasons and (silent := self._silent_for()):
            return silent
        if not found.reasons:
            # Nobody says when a run has ended that hung.
            return LOOK_AT_HANGS_EVERY if what.hangs and told.hangs else found.wait
        task = self.executions[key].task
        return Report(
            chain=self.name.removesuffix(SUFFIX),
            task=task.name,
            path=task.path,
            at=instant(now),
            reasons=found.reasons,
            what=what,
            told=told,
            next_at=instant(next_reminder(what, rules)) if what.is_down else None,
            where=self._where(),
        )

    def _where(self) -> str:
        release = f", release {self._release}" if self._release else ""
        return f"{_host()}, pid {os.getpid()}{release}"

    def take_note(self, key: str, report: Report, *, is_copy: bool = False) -> bool:
        """
        Record that `report` was delivered, or may have been.

        Returns:
            False when it may arrive later, and is to be sent again.
        """
        with self.lock:
            told, is_told = self.told[key], True
            if told.mails != report.told.mails:
                # It was given up, sent again, and then arrived after all.
                return True
            if is_copy and told.copies + 1 < MAX_COPIES:
                self.told[key], is_told = counted_copy(told), False
            else:
                self._decided.pop(key, None)
                self.held = 0
                self.told[key] = delivered(
                    report.what, told, report.reasons, self._clock(), self.rules(key)
                )
            self.write(now=True)
        return is_told

    def write(self, *, now: bool = False) -> None:
        """Keep what was told for the next owner."""
        tasks = {
            key: told_to_json(one, known=max(10, MAX_KNOWN // len(self.told)))
            for key, one in self.told.items()
            if one != Told()
        }
        pending = sum(1 for key in self.told if self.owed(key).reasons)
        counts = {"held": self.held, "pending": pending}
        value = {"release": self._release, "tasks": tasks, **counts}
        self.thread.state.put(self._section, value, now=now)


def _redact() -> Callable[[str], str]:
    """Return what ``RUNNER["REDACT"]`` makes of a text: nothing, where it fails."""
    try:
        functions = conf.redactors()
    except ImproperlyConfigured as exc:
        return functools.partial(_withhold, exc)

    def apply(text: str) -> str:
        for function in functions:
            try:
                text = str.__str__(function(text))
            except Exception as exc:
                return _withhold(exc, text)
        return text

    return apply


def _withhold(exc: Exception, _: str) -> str:
    return f"(withheld, as RUNNER['REDACT'] failed: {type(exc).__name__})"


def _new_start(thread: Any, before: str, release: str) -> str:
    """Return why a first exception is due again; empty when it is not."""
    if thread.is_new_start:
        return "somebody started it, so what was told before is told again"
    if before != release:
        return f"release {release[:100]}, it was {before[:100]}"
    return ""


def _max_new_exceptions() -> int:
    try:
        return conf.max_new_exceptions()
    except ImproperlyConfigured:
        # The system checks tell it; the admins are to be told of failures all the same.
        return Rules().max_new


# Asking the kernel for it gives the interpreter away.
_host = functools.cache(socket.gethostname)
