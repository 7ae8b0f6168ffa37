"""A chain that cannot run: said once in the log, and told to the admins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from yourlabs.runner.exceptions import RunnerError
from yourlabs.runner.log import logger


class Teller(Protocol):
    """Tells the admins: see `yourlabs.runner.chain.teller`."""

    def tell(self, problem: str) -> None:
        """Tell what keeps the chain from running. Empty: nothing does any more."""


class ChainDown:
    """
    What keeps a chain from running in this process, as long as something does.

    It belongs to the chain's thread.
    """

    def __init__(
        self, chain: str, make_teller: Callable[[], Teller] | None = None
    ) -> None:
        """
        Know of nothing yet.

        Args:
            chain: Its name.
            make_teller: Makes what tells the admins, should that be needed. None: the
                log is all.
        """
        self._chain = chain
        self._make_teller = make_teller
        self._teller: Teller | None = None
        # What was said last. None: nothing yet, so a process before may have.
        self._said: str | None = None

    def report(self, problem: BaseException | str) -> str:
        """
        Say what keeps the chain from running: in the log, if it was not said before.

        Returns:
            It, in words: never empty.
        """
        text = problem if isinstance(problem, str) else describe_problem(problem)
        is_new, self._said = text != self._said, text
        # Told first: a handler of the log may be what hangs.
        self._tell(text)
        if is_new:
            is_clear = isinstance(problem, (str, OSError, RunnerError))
            logger.error(
                "[%s] The chain cannot run, and tries again: %s",
                self._chain,
                text,
                exc_info=None if is_clear else problem,  # type: ignore[arg-type]
                extra={"action": "chain_broken", "chain": self._chain},
            )
        return text

    def clear(self) -> None:
        """Note that the chain runs, here or in another process."""
        if self._said != "":
            self._said = ""
            self._tell("")
            # Most chains never need another one.
            self._teller = None

    def _tell(self, problem: str) -> None:
        if self._teller is None and self._make_teller is not None:
            self._teller = self._make_teller()
        if self._teller is not None:
            self._teller.tell(problem)


def describe_problem(exc: BaseException) -> str:
    """Return what an exception says; its class where it says nothing."""
    try:
        text = str(exc)
    except BaseException:
        text = ""
    return text or f"{type(exc).__name__} was raised."
