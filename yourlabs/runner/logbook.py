"""What the thread of a chain writes for the next owner, and reads of the last one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta

from yourlabs.runner.core.incidents import incidents_from_json
from yourlabs.runner.core.schedule import (
    Schedule,
    schedule_from_json,
    schedule_to_json,
    wait_for,
)
from yourlabs.runner.core.task import Chain
from yourlabs.runner.execution import TaskRunner
from yourlabs.runner.ports import State

WRITE_EVERY = 1.0
"""Between waits that are worth writing it is written at most this often, in seconds."""

WRITE_SELDOM = 30.0
"""How often it is written while no task of the chain fails, in seconds."""


class Logbook:
    """Keeps the schedule, the downtimes and the counts of a chain in its state."""

    __slots__ = ("_chain", "_runners", "_state", "_was_down", "_written", "due")

    def __init__(
        self, chain: Chain, runners: Sequence[TaskRunner], state: State
    ) -> None:
        self._chain = chain
        self._runners = runners
        self._state = state
        self._written = 0.0
        self._was_down = False
        self.due = 0.0
        """When the next run may begin, as it was written last; since the epoch."""

    def read(self) -> tuple[int, float]:
        """
        Go on where the last owner ended: book the downtimes that it knew of.

        Returns:
            Which task is next, and how many seconds of the cooldown are left.
        """
        now, monotonic = time.time(), time.monotonic()
        known = self._state.get("incidents")
        if known is not None:
            incidents = incidents_from_json(known, now=now, monotonic=monotonic)
            # Another owner may have seen the end of a downtime that began here.
            for runner in self._runners:
                runner.incident = incidents.get(runner.task.path)
        schedule = schedule_from_json(self._state.get("schedule"), self._chain.paths)
        self.due = schedule.due
        longest = self._longest(schedule.after)
        return schedule.index, wait_for(schedule, now=now, longest=longest)

    def _longest(self, path: str) -> float:
        """Return the longest cooldown that the task of `path` can have now, in s."""
        for runner in self._runners:
            if runner.task.path == path:
                options = runner.options
                longest = max(options.success_cooldown, options.fail_cooldown)
                if runner.incident is not None and runner.incident.interrupted:
                    longest = max(longest, timedelta(hours=1))
                return longest.total_seconds()
        return 0.0

    def write(self, schedule: Schedule | None = None) -> None:
        """
        Put into the state what has changed, and write it.

        Args:
            schedule: Where the chain is in its round. None: as it was written last.
        """
        self._written = time.monotonic()
        incidents = {
            runner.task.path: runner.incident.to_json()
            for runner in self._runners
            if runner.incident is not None
        }
        self._was_down = bool(incidents)
        self._state.put("incidents", incidents)
        self._state.put("status", [runner.to_json() for runner in self._runners])
        if schedule is not None:
            self.due = schedule.due
            value = schedule_to_json(schedule, self._chain.paths)
            self._state.put("schedule", value)
        self._state.save()

    def write_now_and_then(self, index: int, due: float, after: str = "") -> None:
        """
        Write the same, unless that was done a moment ago.

        It is done at once where what is written would have the next owner wait longer.
        """
        if self.due <= due:
            age = time.monotonic() - self._written
            if age < WRITE_EVERY:
                return
            down = any(runner.incident is not None for runner in self._runners)
            # While all is well there is nothing to lose but a count of runs.
            if not (down or self._was_down or age >= WRITE_SELDOM):
                return
        self.write(Schedule(index, due, after))
