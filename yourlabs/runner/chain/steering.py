"""What people want of a chain, as the process sees it that runs the chain."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

from yourlabs.runner.chain.checkpoint import Checkpoint
from yourlabs.runner.chain.plan import Plan
from yourlabs.runner.log import logger
from yourlabs.runner.ownership.base import Clock
from yourlabs.runner.storage.base import Store
from yourlabs.runner.storage.desired import Desired, Hold, desired_from_json

SECTION = "steer"  # of the chain's document: what its owner has seen


class Steering:
    """
    Looks at what people want, and writes into the chain's document what it has seen.

    The watcher calls `look`, and `note` while a function runs; the chain's thread the
    rest.

    Attributes:
        desired: What was wanted at the last look that could be made.
    """

    def __init__(
        self, name: str, store: Store, state: Checkpoint, clock: Clock
    ) -> None:
        self._name, self._store, self._state = name, store, state
        self._clock = clock
        self._mutex = threading.Lock()
        self.desired = self._seen = Desired()
        self._noted: Desired | None = None
        # The wake whose run has ended last, and whether that run failed.
        self._ran, self._has_failed = 0, False

    def begin(self) -> None:
        """Go on with what the owner before has seen, and look anew."""
        known = self._state.get(SECTION)
        self._seen, self._ran, self._has_failed = Desired(), 0, False
        try:
            self._seen = desired_from_json({} if known is None else known)
            self._ran = int(known["ran"])
        except (KeyError, TypeError, ValueError):
            self._ran = self._seen.wake
        self.desired, self._noted = self._seen, None
        self.look()

    def look(self) -> bool:
        """Look at what is wanted; return whether that is something else now."""
        try:
            desired = desired_from_json(self._store.desired())
        except (OSError, ValueError) as exc:
            # What was seen last stays in force.
            logger.debug("[%s] What is wanted cannot be read: %s", self._name, exc)
            return False
        if desired == self.desired:
            return False
        self.desired = desired
        return True

    def note(self) -> None:
        """
        Write what has been seen, but for a wake: `take_wake` does that.

        Never called between the look at a pause and the begin of a run: if the document
        says that a pause was seen, and nothing runs, then nothing will.
        """
        if self.desired is self._noted:
            return
        with self._mutex:
            self._noted, before = self.desired, self._seen
            seen = replace(self._noted, wake=before.wake, acts=())
            if seen == before:
                return
            self._seen = seen
            self._put(now=True)
        if seen.paused != before.paused:
            logger.info(
                "[%s] %s",
                self._name,
                describe_pause(seen.paused),
                extra={"action": "chain_paused" if seen.paused else "chain_resumed"},
            )

    def paused_for(self) -> float:
        """Return for how many seconds no run may begin; 0: it may."""
        paused = self.desired.paused
        return 0.0 if paused is None else paused.left(self._clock.time())

    def is_woken(self) -> bool:
        """Say whether somebody wants a run that has not been seen yet."""
        return self.desired.wake > self._seen.wake

    def take_wake(self, plan: Plan) -> None:
        """Write that a wake was seen, with `plan`, by which the next run is now."""
        with self._mutex:
            self._seen = replace(self._seen, wake=self.desired.wake)
            self._put()
        # Together: an owner after a kill runs the task, and sees no new wake.
        self._state.save(plan)

    def served(self, *, failed: bool, plan: Plan | None = None) -> None:
        """Write that the run that somebody asked for has ended, if one was."""
        if self._ran == self._seen.wake:
            return
        with self._mutex:
            self._ran, self._has_failed = self._seen.wake, failed
            self._put()
        self._state.save(plan)

    def _put(self, *, now: bool = False) -> None:
        value: dict[str, Any] = self._seen.to_json()
        value |= {"ran": self._ran, "failed": self._has_failed}
        self._state.put(SECTION, value, now=now)


def describe_pause(paused: Hold | None) -> str:
    """Return for a person why a chain does not run; of None that it does."""
    if paused is None:
        return "No longer paused"
    reason = f": {paused.reason}" if paused.reason else ""
    return f"Paused by {paused.by or 'somebody'}{reason}"
