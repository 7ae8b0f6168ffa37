"""What the thread of a chain writes for the next owner, and reads of the last one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from yourlabs.runner.chain.execution import TaskRunner
from yourlabs.runner.chain.plan import (
    Schedule,
    schedule_from_json,
    schedule_to_json,
    wait_for,
)
from yourlabs.runner.failures.downtime import incidents_from_json
from yourlabs.runner.ownership.base import State

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

    __slots__ = ("_due", "_next", "_runners", "_state", "_written")

    def __init__(self, runners: Sequence[TaskRunner], state: State) -> None:
        self._runners = runners
        self._state = state
        self._written = self._next = 0.0
        # When the next run may begin, as it was written last; since the epoch.
        self._due = 0.0

    @property
    def _keys(self) -> list[str]:
        return [runner.key for runner in self._runners]

    def read(self) -> Plan:
        """Go on where the last owner ended: book the downtimes that it knew of."""
        now, monotonic = time.time(), time.monotonic()
        known = self._state.get("incidents")
        if known is not None:
            incidents = incidents_from_json(known, now=now, monotonic=monotonic)
            # Another owner may have seen the end of a downtime that began here.
            for runner in self._runners:
                runner.incident = incidents.get(runner.key)
        schedule = schedule_from_json(self._state.get("schedule"), self._keys)
        self._due = schedule.due
        longest = self._longest(schedule.after)
        wait = wait_for(schedule, now=now, longest=longest)
        return Plan(schedule.index, monotonic + wait, schedule.after)

    def _longest(self, key: str) -> float:
        """Return the longest cooldown that the task of `key` can have now, in s."""
        for runner in self._runners:
            if runner.key == key:
                options = runner.options
                longest = max(options.success_cooldown, options.fail_cooldown)
                if runner.incident is not None and runner.incident.interrupted:
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
        incidents = {
            runner.key: runner.incident.to_json()
            for runner in self._runners
            if runner.incident is not None
        }
        self._written = time.monotonic()
        # While all is well there is nothing to lose but a count of runs.
        self._next = self._written + (WRITE_EVERY if incidents else WRITE_SELDOM)
        self._state.put("incidents", incidents)
        # A function may come twice in a chain.
        runners = dict.fromkeys(self._runners)
        self._state.put("status", [runner.to_json() for runner in runners])
        if plan is not None:
            self._due = time.time() + plan.deadline - time.monotonic()
            schedule = Schedule(plan.next, self._due, plan.after)
            self._state.put("schedule", schedule_to_json(schedule, self._keys))
        self._state.save()
