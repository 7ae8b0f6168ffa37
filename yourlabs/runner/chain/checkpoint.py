"""What the thread of a chain writes for the next owner, and reads of the last one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from yourlabs.runner.chain.execution import Execution
from yourlabs.runner.chain.plan import (
    Schedule,
    schedule_from_json,
    schedule_to_json,
    wait_for,
)
from yourlabs.runner.failures.downtime import MAX_STORED, Downtime, downtimes_from_json
from yourlabs.runner.log import logger
from yourlabs.runner.ownership.base import State

MAX_DOWNTIMES = 200_000
"""How much text all downtimes of a chain take in its state, in bytes."""

WRITE_EVERY = 1.0
"""Between waits that are worth writing it is written at most this often, in seconds."""

WRITE_SELDOM = 30.0
"""How often it is written while no task of the chain fails, in seconds."""


class Plan(NamedTuple):
    """What the chain does next."""

    next: int = 0
    """Which task comes next."""
    deadline: float = 0.0
    """When, on the monotonic clock."""
    after: str = ""
    """Key of the task whose cooldown ends then."""


class Logbook:
    """Keeps the plan, the downtimes and the counts of a chain in its state."""

    __slots__ = ("_downtimes", "_due", "_next", "_runners", "_state", "_written")

    def __init__(self, runners: Sequence[Execution], state: State) -> None:
        self._runners = runners
        self._state = state
        self._downtimes: dict[str, Any] = {}
        for runner in runners:
            runner.changed = self.keep
        self._written = self._next = 0.0
        # When the next run may begin, as it was written last; since the epoch.
        self._due = 0.0

    @property
    def _keys(self) -> list[str]:
        return [runner.key for runner in self._runners]

    def read(self) -> Plan:
        """Go on where the last owner ended: book the downtimes that it knew of."""
        now, monotonic = time.time(), time.monotonic()
        self._downtimes = {}
        known = self._state.get("downtimes")
        if known is not None:
            self._resume(known)
        schedule = schedule_from_json(self._state.get("schedule"), self._keys)
        self._due = schedule.due
        longest = self._longest(schedule.after)
        wait = wait_for(schedule, now=now, longest=longest)
        return Plan(schedule.index, monotonic + wait, schedule.after)

    def _resume(self, known: Any) -> None:
        """Go on with what the last owner counted."""
        try:
            downtimes = downtimes_from_json(known)
        except ValueError as exc:
            logger.warning(
                "What was known of failures cannot be read, and begins anew: %s",
                exc,
                extra={"action": "downtimes_dropped"},
            )
            return
        for runner in dict.fromkeys(self._runners):
            # None: another owner has seen nothing of what began here.
            runner.resume(downtimes.get(runner.key, Downtime()))
            self._keep(runner)

    def keep(self, runner: Execution) -> None:
        """Take note that a task fares in another way, for whoever writes next."""
        self._keep(runner)
        self._state.put("downtimes", dict(self._downtimes))

    def _keep(self, runner: Execution) -> None:
        if runner.downtime != Downtime():
            room = min(MAX_STORED, MAX_DOWNTIMES // len(self._runners))
            self._downtimes[runner.key] = runner.downtime.to_json(room)

    def _longest(self, key: str) -> float:
        """Return the longest cooldown that the task of `key` can have now, in s."""
        for runner in self._runners:
            if runner.key == key:
                options = runner.options
                longest = max(options.success_cooldown, options.fail_cooldown)
                if runner.downtime.interrupted:
                    longest = max(longest, timedelta(hours=1))
                return longest.total_seconds()
        return 0.0

    def is_due(self, deadline: float) -> bool:
        """
        Say whether to write now, where the next run is not worth it by itself.

        It is so at once where what is written would have the next owner wait longer
        than until `deadline`, on the monotonic clock, and else now and then.
        """
        now = time.monotonic()
        return now >= self._next or time.time() + deadline - now < self._due

    def hurry(self) -> None:
        """Have it written soon: a task has failed."""
        self._next = min(self._next, self._written + WRITE_EVERY)

    def write(self, plan: Plan | None) -> None:
        """
        Put into the state what has changed, and write it.

        Args:
            plan: Where the chain is in its round. None: as it was written last.
        """
        is_down = any(runner.downtime.is_down for runner in self._runners)
        self._written = time.monotonic()
        # While all is well there is nothing to lose but a count of runs.
        self._next = self._written + (WRITE_EVERY if is_down else WRITE_SELDOM)
        self._state.put("downtimes", dict(self._downtimes))
        # A function may come twice in a chain.
        runners = dict.fromkeys(self._runners)
        self._state.put("status", [runner.to_json() for runner in runners])
        if plan is not None:
            self._due = time.time() + plan.deadline - time.monotonic()
            schedule = Schedule(plan.next, self._due, plan.after)
            self._state.put("schedule", schedule_to_json(schedule, self._keys))
        self._state.save()
