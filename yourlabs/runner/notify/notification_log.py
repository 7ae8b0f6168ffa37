"""The notification log of one channel: what it has reported of a chain's tasks."""

from __future__ import annotations

import functools
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from yourlabs.runner import conf
from yourlabs.runner.chain.task import DOWN, Task
from yourlabs.runner.failures.downtime import Downtime
from yourlabs.runner.log import logger
from yourlabs.runner.notify import throttle
from yourlabs.runner.notify.mail_text import Report, instant, redacted
from yourlabs.runner.notify.releases import release_of
from yourlabs.runner.notify.throttle import Kind, Limits, Owed
from yourlabs.runner.notify.told import (
    Told,
    as_of,
    baseline,
    started_anew,
    told_from_json,
)
from yourlabs.runner.storage.desired import silent_for

MAX_COPIES = 3
"""How often a report is sent without a confirmation before it counts as told."""

LOOK_AT_HANGS_EVERY = 1.0
"""How often to look whether a run that hangs has ended, in seconds."""

LOOK_AT_SILENCE_EVERY = 2.0
"""How often to look whether a chain is still silenced, in seconds."""

MAX_KNOWN_OF_CHAIN = 500
"""How many fingerprints are kept for the next owner, of all tasks of a chain."""


class NotificationLog:
    """
    What one channel has reported of the tasks of one chain, over all its owners.

    Attributes:
        thread: The thread of the chain.
        told: What was reported of each task, by its key; guarded by `lock`.
        executions: The executions of the tasks, by the `keys` of these.
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
        self._max_new = Limits().max_new
        # A bad value is an error of the system checks, and no reason to send nothing.
        with suppress(ImproperlyConfigured):
            self._max_new = conf.max_new_exceptions()
        self._release = release_of(thread.chain)
        self.told = self._read()
        # From now on a kill leaves behind what was not reported.
        self.write()

    def _read(self) -> dict[str, Told]:
        """Return what the owners of the chain before this one have reported."""
        value = self.thread.state.get(self._section)
        downtimes = {key: one.downtime for key, one in self.executions.items()}
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
        why = ""
        if self.thread.is_new_start:
            why = "somebody started it, so what was told before is told again"
        elif release != self._release:
            why = f"release {self._release[:100]}, it was {release[:100]}"
        return {
            key: started_anew(one, downtime, why) if why else one
            for key, downtime in downtimes.items()
            for one in [as_of(known.get(key, Told()), downtime, self._clock())]
        }

    def _limits(self, key: str) -> Limits:
        period = self.executions[key].options.non_recoverable_downtime
        return Limits(period.total_seconds(), self._max_new)

    def _silent_for(self) -> float:
        """Return in how many seconds to look again whether the chain is silenced."""
        seen = self.thread.state.get("steer")
        return min(silent_for(seen, self._clock()), LOOK_AT_SILENCE_EVERY)

    def _owed(self, key: str, downtime: Downtime, told: Told) -> Owed:
        return throttle.owed(downtime, told, self._clock(), self._limits(key))

    def _or_wait(self, found: Owed, downtime: Downtime, told: Told) -> Owed:
        """Return `found`, or when to look again for the end of a silence or a hang."""
        if found.reasons:
            silent = self._silent_for()
            return Owed((), silent) if silent else found
        # No signal is sent when a run has ended that hung.
        return Owed((), LOOK_AT_HANGS_EVERY) if downtime.hangs and told.hangs else found

    def owed(self, key: str) -> Owed:
        """Return what is owed; it is written first, for the case of a kill."""
        with self.lock:
            downtime, told = self.executions[key].downtime, self.told[key]
            found = self._owed(key, downtime, told)
            if found.reasons:
                # Not the messages: they may differ from one failure to the next.
                kinds = [reason.kind for reason in found.reasons]
                decided = kinds, len(throttle.news(downtime, told))
                if decided != self._decided.get(key):
                    self._decided[key] = decided
                    self.held += bool(self._silent_for())
                    self.write(now=True)
        return self._or_wait(found, downtime, told)

    def report(self, key: str) -> Report | float | None:
        """Return the report that is due now, or in how many seconds to ask again."""
        execution, limits, now = self.executions[key], self._limits(key), self._clock()
        what = redacted(execution.downtime, _redact)
        with self.lock:
            told = self.told[key] = as_of(self.told[key], what, now)
        found = self._or_wait(self._owed(key, what, told), what, told)
        if not found.reasons:
            return found.wait
        next_at = throttle.next_reminder(what, limits)
        release = f", release {self._release}" if self._release else ""
        return Report(
            chain=self.name.removesuffix(DOWN),
            task=execution.task.name,
            path=execution.task.path,
            at=instant(now),
            reasons=found.reasons,
            what=what,
            told=told,
            retry=execution.cooldown,
            next_at=instant(next_at) if what.is_down else None,
            where=f"{_host()}, pid {os.getpid()}{release}",
        )

    def note(self, key: str, report: Report, *, is_answered: bool = True) -> bool:
        """Record that `report` was, or may be, delivered. False: it is sent again."""
        with self.lock:
            told, limits, now = self.told[key], self._limits(key), self._clock()
            if told.mails != report.told.mails:
                # It was given up and sent again, and has now been delivered twice.
                return True
            is_told = is_answered or told.copies + 1 >= MAX_COPIES
            if is_told:
                self._decided.pop(key, None)
                self.held = 0
                told = throttle.delivered(
                    report.what, told, report.reasons, now, limits
                )
            else:
                told = replace(told, copies=told.copies + 1)
            self.told[key] = told
            self.write(now=True)
        return is_told

    def write(self, *, now: bool = False) -> None:
        """Keep the log for the next owner."""
        room = max(10, MAX_KNOWN_OF_CHAIN // len(self.told))
        tasks = {
            key: {**asdict(one), "known": one.known[-room:]}
            for key, one in self.told.items()
            if one != Told()
        }
        owed_now = (
            self._owed(key, self.executions[key].downtime, one).reasons
            for key, one in self.told.items()
        )
        counts = {"held": self.held, "pending": sum(map(bool, owed_now))}
        value = {"release": self._release, "tasks": tasks, **counts}
        self.thread.state.put(self._section, value, now=now)


def _redact(text: str) -> str:
    """Return `text` as ``RUNNER["REDACT"]`` changes it; nothing of it if that fails."""
    try:
        for function in conf.redactors():
            text = str.__str__(function(text))
    except Exception as exc:
        return f"(withheld, as RUNNER['REDACT'] failed: {type(exc).__name__})"
    return text


# A system call each time would let other threads run.
_host = functools.cache(socket.gethostname)
