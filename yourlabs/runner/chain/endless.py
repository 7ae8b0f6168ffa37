"""A task that returns ``True`` for ever: said once, as its author may not mean it."""

from __future__ import annotations

from yourlabs.runner.log import logger

RUNS = 100
"""So many runs in a row without a cooldown are worth a word, if they took `SECONDS`."""

SECONDS = 5.0
"""A queue that is worked off in less was no surprise to anybody."""


class Endless:
    """
    Counts the runs in a row that returned ``True``.

    It belongs to the chain's thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._since: float | None = None
        self._runs = 0
        self._told = False

    def count(self, more: bool, started: float, ended: float) -> None:
        """
        Count one run.

        Args:
            more: It returned ``True``.
            started: When it began, on the monotonic clock.
            ended: When it ended, on the same.
        """
        if not more:
            self._since, self._runs = None, 0
            return
        if self._since is None:
            self._since = started
        self._runs += 1
        seconds = ended - self._since
        if self._told or self._runs < RUNS or seconds < SECONDS:
            return
        self._told = True
        logger.warning(
            "[%s] It returned True %s times in a row in %.0f seconds, so there was no "
            "cooldown: True means that there is more to do at once. If it only means "
            "that all went well, return nothing. In a web worker such a chain rests "
            "between its runs, so that requests keep most of the processor.",
            self._name,
            self._runs,
            seconds,
            extra={"action": "endless", "task": self._name},
        )
