"""
A chain that cannot run: logged once, and reported to the admins like a failing task.

Of all processes that find it so, the one that owns ``<chain>.down`` reports it.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from typing import Any

from yourlabs.runner.chain.steering import SECTION
from yourlabs.runner.chain.task import DOWN, MAX_NAME, Chain
from yourlabs.runner.exceptions import RunnerError
from yourlabs.runner.log import logger
from yourlabs.runner.notify.chain_down import ChainDown
from yourlabs.runner.ownership.base import Claim, Clock
from yourlabs.runner.storage.base import Backend, Store
from yourlabs.runner.storage.desired import silent_for

LOGS = "notifications"  # what the sections begin with, one for each channel
REPEAT_S = 60.0  # how often the same problem counts as one more failure


class ChainCannotRun(RunnerError):
    """Something outside of its tasks keeps a chain from running."""


class ProblemReporter:
    """
    What keeps a chain from running in this process, while something does.

    Only the chain's thread may use it.
    """

    def __init__(
        self, chain: Chain, backend: Backend | None = None, clock: Clock = time
    ) -> None:
        """Know of nothing yet. Without a `backend` problems are only logged."""
        self._chain = chain
        self._backend = backend
        self._clock = clock
        # The problem that was logged last. Empty: none. None: an earlier process may
        # have reported one.
        self._said: str | None = None
        self._counted_at = 0.0
        self._told: tuple[Claim, ChainDown] | None = None

    def report(self, problem: BaseException | str) -> str:
        """Log and report a problem, unless that was just done; return its text."""
        exc = ChainCannotRun(problem) if isinstance(problem, str) else problem
        text, now = describe_problem(exc), self._clock.monotonic()
        is_new = text != self._said
        if is_new or now - self._counted_at >= REPEAT_S:
            self._said, self._counted_at = text, now
            # Reported before it is logged: a log handler may be what hangs.
            self._tell(exc)
        if is_new:
            logger.error(
                "[%s] The chain cannot run, and tries again: %s",
                self._chain.name,
                text,
                exc_info=None if isinstance(exc, (OSError, RunnerError)) else exc,
                extra={"action": "chain_broken", "chain": self._chain.name},
            )
        return text

    def clear(self) -> None:
        """Note that the chain runs, here or in another process."""
        is_new, now = self._said != "", self._clock.monotonic()
        if not is_new and now - self._counted_at < REPEAT_S:
            return
        self._said, self._counted_at = "", now
        # Another process may have reported the problem and ended before its end.
        if is_new or self._is_told():
            self._tell(None)

    def close(self) -> None:
        """Leave reports to other processes: the chain's thread has ended here."""
        told, self._told = self._told, None
        if told is None:
            return
        try:
            told[1].close()
        finally:
            told[0].release()

    def _tell(self, exc: BaseException | None) -> None:
        """Report `exc`, or with None the end of the problem, if that can be done."""
        try:
            told = self._told
            if told is not None and told[0].check():
                state = told[1].state
                state.put(SECTION, self._desired(state.get(SECTION)))
            else:
                told = self._told = self._begin(must_be_known=exc is None)
            if told is None:
                return
            if exc is not None:
                told[1].failed(exc)
            else:
                told[1].recovered()
                self.close()
        except BaseException as failed:
            # Expected if RUN_ROOT cannot be used: that is logged for the chain itself.
            # Anything else is a defect, of a channel for example.
            is_expected = isinstance(failed, OSError)
            logger.log(
                logging.DEBUG if is_expected else logging.ERROR,
                "[%s] The admins are not told that the chain cannot run, or can again: "
                "%s",
                self._chain.name,
                describe_problem(failed),
                exc_info=None if is_expected else failed,
                extra={"action": "trouble_untold", "chain": self._chain.name},
            )

    def _is_told(self) -> bool:
        """Say whether any process has reported that it cannot run, or owes a report."""
        if self._backend is None:
            return False
        try:
            known = self._backend.store(down_chain(self._chain)).load()
            if any(one["is_down"] for one in known["downtimes"].values()):
                return True
            # What a silence has held back can be sent when it is over.
            owed = (known[one].get("pending") for one in known if one.startswith(LOGS))
            wanted = self._desired(known.get(SECTION))
            return not silent_for(wanted, self._clock.time()) and any(owed)
        except (AttributeError, LookupError, OSError, TypeError):
            return False

    def _begin(self, *, must_be_known: bool) -> tuple[Claim, ChainDown] | None:
        """Become the process that reports. None: another one is, or none is needed."""
        if self._backend is None:
            return None
        chain = down_chain(self._chain)
        store = self._backend.store(chain)
        sections = store.load()
        if must_be_known and not sections:
            return None
        claim = self._backend.ownership(chain, kind="hosted").acquire()
        if claim is None:
            return None
        try:
            # First: what is owed is sent as soon as there is a `ChainDown`.
            sections[SECTION] = self._desired(sections.get(SECTION))
            return claim, ChainDown(self._chain, _Sections(store, claim, sections))
        except BaseException:
            # A notifier of the user's raised: another process may try.
            claim.release()
            raise

    def _desired(self, known: Any) -> dict[str, Any]:
        """Return whether it is silenced, as it has no owner that could see that."""
        assert self._backend is not None
        return self._backend.store(self._chain).desired(known or {})


def down_chain(chain: Chain) -> Chain:
    """Return the chain under whose name it is kept that `chain` cannot run."""
    return replace(chain, name=f"{chain.name[: MAX_NAME - len(DOWN)]}{DOWN}")


class _Sections:
    """What was reported, for the next process that reports. For any thread."""

    def __init__(self, store: Store, claim: Claim, sections: dict[str, Any]) -> None:
        self._store, self._claim, self._sections = store, claim, sections
        self._mutex = threading.Lock()

    def get(self, section: str) -> Any:
        return self._sections.get(section)

    def put(self, section: str, value: Any, *, now: bool = False) -> None:
        with self._mutex:
            self._sections[section] = value
            self._store.save(self._claim, self._sections)


def describe_problem(exc: BaseException) -> str:
    """Return what an exception says; its class where it says nothing."""
    try:
        text = str(exc)
    except BaseException:
        text = ""
    return text or f"{type(exc).__name__} was raised."
