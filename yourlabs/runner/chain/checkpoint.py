"""What the owner of a chain keeps for the next one, and writes through a `Store`."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from yourlabs.runner.chain.execution import NEVER_FAILED, Execution
from yourlabs.runner.chain.history import (
    History,
    first_that_fits,
    histories_from_json,
    histories_to_json,
)
from yourlabs.runner.chain.plan import Plan, plan_from_json, plan_to_json
from yourlabs.runner.failures.downtime import (
    INTERRUPTED_LIMIT,
    MAX_DISTINCT,
    MAX_STORED,
    downtimes_from_json,
)
from yourlabs.runner.log import logger
from yourlabs.runner.ownership.base import Claim, Clock
from yourlabs.runner.storage.base import Store

# A longer cooldown is saved when it begins, so that a new owner honours it.
LONG_COOLDOWN_S = 1.0
# How often a chain of shorter cooldowns saves; and while it only counts successes.
SAVE_EVERY_S, SAVE_COUNTS_EVERY_S = 1.0, 5.0
# Bytes of all sections of the document, and of the downtimes in it. What tasks have
# done takes the rest.
MAX_DOCUMENT, MAX_DOWNTIMES = 65_000, 24_000
# Bytes of text in each downtime, and how many exceptions: the first of these with which
# all fit. Tracebacks go first: without an exception, what is owed of it is forgotten.
SIZES = (
    *((size, MAX_DISTINCT) for size in (MAX_STORED, 4_000, 1_000, 0)),
    *((0, count) for count in (10, 5, 2, 1)),
)


T = TypeVar("T")


class Checkpoint:
    """
    The sections of a chain's document. They are saved between `open` and `close` only.

    `get` and `put` may be called from any thread, the rest by the chain's. In a forked
    child nothing is kept: the document is the parent's.
    """

    def __init__(
        self, store: Store, executions: Sequence[Execution], clock: Clock
    ) -> None:
        self._store = store
        # A function may come twice in a chain.
        self._executions = tuple(dict.fromkeys(executions))
        self._keys = [execution.key for execution in executions]
        self._clock = clock
        self._mutex = threading.Lock()
        self._pid = os.getpid()
        self._claim: Claim | None = None
        self._sections: dict[str, Any] = {}
        self._saved_at = 0.0
        self._saved_deadline = 0.0

    def get(self, section: str) -> Any:
        """Return what was put, by this owner or the last one. None: nothing."""
        return self._sections.get(section)

    def put(self, section: str, value: Any, *, now: bool = False) -> None:
        """
        Keep `value`, which must be plain JSON and must not be changed afterwards.

        It is saved with what is saved next, at the latest when the chain is released;
        with `now` before this returns.
        """
        if os.getpid() != self._pid:
            return
        with self._mutex:
            if self._claim is not None:
                self._sections[section] = value
                if now:
                    self._save(self._claim)

    def open(self, claim: Claim) -> Plan:
        """
        Read what the last owner left, go on with it, and return what comes next.

        Raises:
            OSError: It cannot be read now.
        """
        sections = self._store.load()
        with self._mutex:
            self._pid = os.getpid()
            self._sections, self._claim = sections, claim
        # What was counted is kept with the tasks from now on.
        downtimes = _known(sections.pop("downtimes", None), downtimes_from_json)
        histories = _known(sections.pop("tasks", None), histories_from_json)
        for execution in self._executions:
            # If nothing was saved, what this process counted before is all there is.
            if downtimes is not None:
                execution.resume(downtimes.get(execution.key, NEVER_FAILED))
            if histories is not None:
                execution.history = histories.get(execution.key, History())
        now = self._clock.monotonic()
        plan = plan_from_json(
            sections.get("schedule"),
            self._keys,
            now=now,
            offset=self._offset(),
            longest={one.key: _longest_cooldown(one) for one in self._executions},
        )
        self._saved_at, self._saved_deadline = now, plan.deadline
        return plan

    def note(self, plan: Plan) -> None:
        """Save where the chain is, if a kill would cost the next owner something."""
        now = self._clock.monotonic()
        is_long, since = plan.deadline - now > LONG_COOLDOWN_S, now - self._saved_at
        if not is_long and since < SAVE_EVERY_S:
            return
        every = SAVE_COUNTS_EVERY_S
        is_down = any(one.downtime.is_down for one in self._executions)
        if is_down or plan.deadline < self._saved_deadline:
            # With what is saved, a new owner would know too little, or wait too long.
            every = SAVE_EVERY_S
        if is_long or since >= every:
            self.save(plan)

    def save(self, plan: Plan | None = None) -> None:
        """Save what has changed. Without `plan`, what was to come next still is."""
        with self._mutex:
            if self._claim is None:
                return
            if plan is not None:
                self._saved_deadline = plan.deadline
                self._sections["schedule"] = plan_to_json(
                    plan, self._keys, offset=self._offset()
                )
            self._save(self._claim)

    def _save(self, claim: Claim) -> None:
        self._saved_at = self._clock.monotonic()
        downtimes = {
            one.key: one.downtime
            for one in self._executions
            if one.downtime != NEVER_FAILED
        }
        names = {
            one.key: {"path": one.task.path, "name": one.task.name}
            for one in self._executions
        }
        for one in self._executions:
            one.history.cooldown = one.cooldown.total_seconds()
        candidates = (
            {key: one.to_json(*size) for key, one in downtimes.items()}
            for size in SIZES
        )
        sections = {
            **self._sections,
            "downtimes": first_that_fits(MAX_DOWNTIMES, candidates),
            "tasks": names,
        }
        room = MAX_DOCUMENT - len(json.dumps(sections))
        histories = {one.key: one.history for one in self._executions}
        tasks = histories_to_json(histories, room)
        sections["tasks"] = {key: tasks[key] | names[key] for key in tasks}
        self._store.save(claim, sections)

    def close(self) -> None:
        """Save nothing more: another process may own the chain from now on."""
        with self._mutex:
            self._claim = None

    def _offset(self) -> float:
        """Return seconds since the epoch at the zero of the monotonic clock."""
        return self._clock.time() - self._clock.monotonic()


def _known(value: Any, read: Callable[[Any], T]) -> T | None:
    """Return what `read` makes of a section. None: it is missing, or unreadable."""
    if value is None:
        return None
    try:
        return read(value)
    except ValueError as exc:
        logger.warning(
            "What was known of failures cannot be read, and begins anew: %s",
            exc,
            extra={"action": "downtimes_dropped"},
        )
        return None


def _longest_cooldown(execution: Execution) -> float:
    """Return the longest cooldown that the task can have now, in seconds."""
    options = execution.options
    longest = max(options.success_cooldown, options.fail_cooldown)
    if execution.downtime.interrupted:
        longest = max(longest, INTERRUPTED_LIMIT)
    return longest.total_seconds()
