"""The ledger of one channel for one chain: what it was told of each task."""

from __future__ import annotations

import functools
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from yourlabs.runner import conf
from yourlabs.runner.chain.task import DOWN, Task
from yourlabs.runner.failures.downtime import Downtime
from yourlabs.runner.log import logger
from yourlabs.runner.notify.releases import release_of
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
    started_anew,
    told_from_json,
)
from yourlabs.runner.storage.desired import silent_for

MAX_COPIES = 3
"""How often a report is sent that nobody said was taken, before it counts as told."""

LOOK_AT_HANGS_EVERY = 1.0
"""How often it is looked whether a run that hangs has ended, in seconds."""

LOOK_AT_SILENCE_EVERY = 2.0
"""How often it is looked whether a chain is to be silent still, in seconds."""

MAX_KNOWN = 500
"""How many fingerprints are kept for the next owner, of all tasks of a chain."""


class Ledger:
    """
    What one channel was told of the tasks of one chain; the next owner goes on with it.

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
        self.thread, self.name = thread, thread.chain.name
        self._section, self._clock = section, clock
        self.lock = threading.Lock()
        self.keys: dict[Task, str] = thread.chain.keys()
        self.executions = {execution.key: execution for execution in thread.tasks}
        self.held = 0
        self._decided: dict[str, tuple[list[Kind], int]] = {}
        self._max_new = _max_new_exceptions()
        self._release = release_of(thread.chain)
        self.told = self._read()
        # Who is killed from now on leaves behind what was not told.
        self.write()

    def _read(self) -> dict[str, Told]:
        """Go on with what was told by the last owner of the chain."""
        value = self.thread.state.get(self._section)
        downtimes = {key: self._downtime(key) for key in self.executions}
        try:
            known = {key: told_from_json(one) for key, one in value["tasks"].items()}
            release, self.held = str(value["release"]), int(value.get("held", 0))
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            if value is not None:
                logger.warning(
                    "[%s] What was told cannot be read, and begins anew: %s",
                    self.name,
                    exc,
                    extra={"action": "told_dropped", "chain": self.name},
                )
            return {key: baseline(one) for key, one in downtimes.items()}
        why = self._new_start(release)
        return {
            key: started_anew(one, downtime, why) if why else one
            for key, downtime in downtimes.items()
            for one in [as_of(known.get(key, Told()), downtime, self._clock())]
        }

    def _new_start(self, before: str) -> str:
        """Return why a first exception is due again; empty when it is not."""
        if self.thread.is_new_start:
            return "somebody started it, so what was told before is told again"
        if before != self._release:
            return f"release {self._release[:100]}, it was {before[:100]}"
        return ""

    def _downtime(self, key: str) -> Downtime:
        downtime: Downtime = self.executions[key].downtime
        return downtime

    def _rules(self, key: str) -> Rules:
        period = self.executions[key].options.non_recoverable_downtime
        return Rules(period.total_seconds(), self._max_new)

    def _silent_for(self) -> float:
        """Return how long to wait before it is asked again whether to be silent."""
        seen = self.thread.state.get("steer")
        return min(silent_for(seen, self._clock()), LOOK_AT_SILENCE_EVERY)

    def _is_pending(self, key: str) -> bool:
        found = owed(
            self._downtime(key), self.told[key], self._clock(), self._rules(key)
        )
        return bool(found.reasons)

    def owed(self, key: str) -> Owed:
        """Return what is owed, which the next owner knows of if this one is killed."""
        with self.lock:
            downtime, told = self._downtime(key), self.told[key]
            found = owed(downtime, told, self._clock(), self._rules(key))
            if found.reasons:
                # Not the messages: they may differ from one failure to the next.
                kinds = [reason.kind for reason in found.reasons]
                decided = kinds, len(news(downtime, told))
                if decided != self._decided.get(key):
                    self._decided[key] = decided
                    self.held += bool(self._silent_for())
                    self.write(now=True)
        silent = self._silent_for()
        return Owed((), silent) if found.reasons and silent else found

    def report(self, key: str) -> Report | float | None:
        """Return what is to be told now, or in how many seconds to ask again."""
        now, rules = self._clock(), self._rules(key)
        what = redacted(self._downtime(key), _redact)
        with self.lock:
            told = self.told[key] = as_of(self.told[key], what, now)
        found = owed(what, told, now, rules)
        if found.reasons and (silent := self._silent_for()):
            return silent
        if not found.reasons:
            # Nobody says when a run has ended that hung.
            return LOOK_AT_HANGS_EVERY if what.hangs and told.hangs else found.wait
        task = self.executions[key].task
        release = f", release {self._release}" if self._release else ""
        return Report(
            chain=self.name.removesuffix(DOWN),
            task=task.name,
            path=task.path,
            at=instant(now),
            reasons=found.reasons,
            what=what,
            told=told,
            retry=self.executions[key].cooldown,
            next_at=instant(next_reminder(what, rules)) if what.is_down else None,
            where=f"{_host()}, pid {os.getpid()}{release}",
        )

    def note(self, key: str, report: Report, *, is_answered: bool = True) -> bool:
        """
        Record that `report` was delivered, or may have been.

        Returns:
            False when it may arrive later, and is to be sent again.
        """
        with self.lock:
            told = self.told[key]
            if told.mails != report.told.mails:
                # It was given up, sent again, and then arrived after all.
                return True
            is_told = is_answered or told.copies + 1 >= MAX_COPIES
            if is_told:
                self._decided.pop(key, None)
                self.held = 0
                rules, now = self._rules(key), self._clock()
                told = delivered(report.what, told, report.reasons, now, rules)
            else:
                told = replace(told, copies=told.copies + 1)
            self.told[key] = told
            self.write(now=True)
        return is_told

    def write(self, *, now: bool = False) -> None:
        """Keep what was told for the next owner."""
        room = max(10, MAX_KNOWN // len(self.told))
        tasks = {
            key: {**asdict(one), "known": one.known[-room:]}
            for key, one in self.told.items()
            if one != Told()
        }
        pending = sum(map(self._is_pending, self.told))
        counts = {"held": self.held, "pending": pending}
        value = {"release": self._release, "tasks": tasks, **counts}
        self.thread.state.put(self._section, value, now=now)


def _max_new_exceptions() -> int:
    try:
        return conf.max_new_exceptions()
    except ImproperlyConfigured:
        # The system checks tell it; the admins are to be told of failures all the same.
        return Rules().max_new


def _redact(text: str) -> str:
    """Return what ``RUNNER["REDACT"]`` makes of a text: nothing, where it fails."""
    try:
        for function in conf.redactors():
            text = str.__str__(function(text))
    except Exception as exc:
        return f"(withheld, as RUNNER['REDACT'] failed: {type(exc).__name__})"
    return text


# Asking the kernel for it gives the interpreter away.
_host = functools.cache(socket.gethostname)
