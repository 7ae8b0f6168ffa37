"""
Logs the cooldown, and throttles a hosted chain that has none.

Cooldowns are computed in `chain.execution`.
"""

from __future__ import annotations

import logging
import time

from yourlabs.runner.chain.execution import Execution
from yourlabs.runner.log import logger

# How long a hosted chain without cooldowns may work at a stretch: well below the
# interpreter's switch interval. Then it rests so many times as long, so that requests
# keep three quarters of the processor, and at most so long.
BUSY_S, REST_FACTOR, MAX_REST_S = 0.001, 3.0, 1.0


def log_cooldown(execution: Execution) -> None:
    """Log how long the chain waits now."""
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug(
            "[%s] Sleeping %s seconds",
            execution.task.name,
            format(execution.cooldown.total_seconds(), ".15g"),
            extra={"action": "cooling_down", "task": execution.task.name},
        )


class CpuThrottle:
    """
    Leaves most of the processor to the host of a chain that has no cooldown.

    It counts the processor time that the chain takes, in the chain's thread.
    """

    def __init__(self) -> None:
        self._rested_at = 0.0

    def begin(self) -> None:
        """Count from now on, in this thread."""
        self._rested_at = time.thread_time()

    def after(self, execution: Execution) -> float:
        """Return for how long to rest after a run without a cooldown, in seconds."""
        if execution.coroutines is not None:
            # It ran in another thread.
            self._rested_at -= execution.coroutines.busy
        busy = time.thread_time() - self._rested_at
        if busy < BUSY_S:
            return 0.0
        self.begin()
        return min(busy * REST_FACTOR, MAX_REST_S)
