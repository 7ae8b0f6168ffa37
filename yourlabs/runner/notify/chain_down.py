"""Reports that a chain cannot run: to channels, that is a task that is down."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from yourlabs.runner.chain.task import DOWN, Chain, Task
from yourlabs.runner.exceptions import RunnerError
from yourlabs.runner.failures.describe import describe
from yourlabs.runner.failures.downtime import Downtime, Latest, downtimes_from_json
from yourlabs.runner.notify.subscriber import connected


class ChainDown:
    """
    Counts how often a chain could not run, and has that reported.

    To every channel it is a chain with one task, the chain itself. Of all processes
    only the one that holds the lock on ``<chain>.down`` may have one, in one thread.
    It has the attributes of a chain's thread and of an execution that are read by
    `NotificationLog`; `state` is kept for the next holder of the lock.
    """

    once = is_new_start = False

    def __init__(self, chain: Chain, state: Any) -> None:
        """Go on with what the last holder of the lock has counted and reported."""
        task = Task(chain.tasks[0].func, ", ".join(chain.paths), chain.name)
        self.chain = replace(chain, name=f"{chain.name}{DOWN}", tasks=(task,))
        self.state = state
        self.task = task
        self.key = self.chain.keys()[task]
        self.options = chain.tasks[0].options
        self.cooldown = timedelta()
        known: dict[str, Downtime] = {}
        # What cannot be read begins anew.
        with suppress(ValueError):
            known = downtimes_from_json(state.get("downtimes") or {})
        self.downtime = known.get(self.key, Downtime())
        self._began = time.monotonic() - self.downtime.lasts(time.time())
        self.tasks = (self,)
        for subscriber in connected:
            subscriber.chain_started(self)

    def failed(self, exc: BaseException) -> None:
        """Count that the chain could not run; report it if that is due."""
        latest = Latest(**vars(describe(exc)), at=time.time())
        text = f"The chain cannot run: {latest.message or latest.exception_type}"
        traceback = latest.traceback
        if isinstance(exc, (OSError, RunnerError)):
            traceback = ""
        latest = replace(latest, message=text, traceback=traceback)
        if not self.downtime.is_down:
            self._began = time.monotonic()
        lasted = time.monotonic() - self._began
        self._change(self.downtime.failed(latest, lasted=lasted))

    def recovered(self) -> None:
        """Note that it runs again, here or elsewhere; report it if that is due."""
        lasted = time.monotonic() - self._began
        self._change(self.downtime.recovered(lasted=lasted))

    def _change(self, downtime: Downtime) -> None:
        if downtime == self.downtime:
            return
        self.downtime = downtime
        self.state.put("downtimes", {self.key: downtime.to_json()})
        for subscriber in connected:
            subscriber.send_owed(self.chain.name, self.key)

    def close(self) -> None:
        """Wait a moment for what is being sent; the next holder sends the rest."""
        for subscriber in connected:
            subscriber.chain_stopped(self)
