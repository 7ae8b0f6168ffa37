"""How a chain that never rests leaves most of the interpreter to its host."""

from __future__ import annotations

import time

from yourlabs.runner.chain.execution import Execution

BUSY_S = 0.001
"""How long a hosted chain without cooldowns may work at a stretch, in seconds. It is
well below the interpreter's switch interval, so that a request waits no longer."""

REST_FACTOR = 3.0
"""How many times as long it rests then: requests keep three quarters of the time."""

MAX_REST_S = 1.0
"""Longest such rest, in seconds."""


class HostRest:
    """Counts the processor time that a chain takes. It belongs to its thread."""

    def __init__(self) -> None:
        self._rested_at = 0.0

    def begin(self) -> None:
        """Count from now on, in this thread."""
        self._rested_at = time.thread_time()

    def after(self, execution: Execution) -> float:
        """Return for how many seconds to rest after a run without a cooldown."""
        # Time on the processor: a task that waits for a message takes none.
        if execution.coroutines is not None:
            # It took it in another thread.
            self._rested_at -= execution.coroutines.take_busy()
        busy = time.thread_time() - self._rested_at
        if busy < BUSY_S:
            return 0.0
        self.begin()
        return min(busy * REST_FACTOR, MAX_REST_S)
