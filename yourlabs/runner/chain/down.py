"""A chain that cannot run: said once in the log, and told to the admins."""

from __future__ import annotations

from yourlabs.runner.exceptions import RunnerError
from yourlabs.runner.log import logger


class ChainDown:
    """
    What keeps a chain from running in this process, as long as something does.

    It may be used from any thread.
    """

    def __init__(self, chain: str) -> None:
        self._chain = chain
        self._reason = ""

    def report(self, problem: BaseException | str) -> str:
        """
        Say what keeps the chain from running, unless that was said before.

        Returns:
            It, in words: never empty.
        """
        reason = problem if isinstance(problem, str) else describe_problem(problem)
        if reason == self._reason:
            return reason
        self._reason = reason
        is_clear = isinstance(problem, (OSError, RunnerError))
        logger.error(
            "[%s] The chain cannot run, and tries again: %s",
            self._chain,
            reason,
            exc_info=None if is_clear or isinstance(problem, str) else problem,
            extra={"action": "chain_broken", "chain": self._chain},
        )
        return reason

    def clear(self) -> None:
        """Note that the chain runs, here or in another process."""
        self._reason = ""


def describe_problem(exc: BaseException) -> str:
    """Return what an exception says; its class where it says nothing."""
    try:
        text = str(exc)
    except BaseException:
        text = ""
    return text or f"{type(exc).__name__} was raised."
