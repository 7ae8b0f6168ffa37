"""A chain that cannot run is down, and told of like a task, in the same bounds."""

from __future__ import annotations

import time
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
    Counts and tells that a chain cannot run, for one of the processes that find it so.

    To every channel it is a chain with one task, the chain itself. Only who holds the
    lock on ``<chain>.down`` may have one; not to be shared between threads.

    Attributes:
        chain: What the channels take for the chain.
        state: What the next holder is to know.
        tasks: What they take for its executions.
    """

    once = is_new_start = False

    def __init__(self, chain: Chain, state: Any) -> None:
        """
        Go on with what the last holder counted and told.

        Args:
            chain: The one that cannot run.
            state: Sections of plain values, of the holder of the lock alone.
        """
        task = Task(chain.tasks[0].func, ", ".join(chain.paths), chain.name)
        self.chain = replace(chain, name=f"{chain.name}{DOWN}", tasks=(task,))
        self.state = state
        self.task = task
        self.key = self.chain.keys()[task]
        self.options = chain.tasks[0].options
        self.cooldown = timedelta()
        self.downtime = self._read()
        self._began = time.monotonic() - self.downtime.lasts(time.time())
        # It has the attributes of an execution that the channels ask for.
        self.tasks = (self,)
        for subscriber in connected:
            subscriber.chain_started(self)

    def _read(self) -> Downtime:
        try:
            known = downtimes_from_json(self.state.get("downtimes") or {})
        except ValueError:
            return Downtime()
        return known.get(self.key, Downtime())

    @property
    def is_down(self) -> bool:
        """It was found to be unable to run, and not found to run since."""
        return self.downtime.is_down

    def failed(self, exc: BaseException) -> None:
        """Count that the chain was found unable to run; tell it where that is due."""
        described = describe(exc)
        is_expected = isinstance(exc, (OSError, RunnerError))
        latest = Latest(
            described.exception_type,
            f"The chain cannot run: {described.message or described.exception_type}",
            "" if is_expected else described.traceback,
            described.fingerprint,
            time.time(),
        )
        if not self.downtime.is_down:
            self._began = time.monotonic()
        lasted = time.monotonic() - self._began
        self._change(self.downtime.failed(latest, lasted=lasted))

    def recovered(self) -> None:
        """Tell that it runs again, here or elsewhere, where that is due."""
        lasted = time.monotonic() - self._began
        self._change(self.downtime.recovered(lasted=lasted))

    def _change(self, downtime: Downtime) -> None:
        if downtime == self.downtime:
            return
        self.downtime = downtime
        self.state.put("downtimes", {self.key: downtime.to_json()})
        for subscriber in connected:
            subscriber.tell(self.chain.name, self.key)

    def close(self) -> None:
        """Wait a moment for what is being told; the rest is left to the next holder."""
        for subscriber in connected:
            subscriber.chain_stopped(self)
