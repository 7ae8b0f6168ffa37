"""
Taking a chain over from its owner: what `run_functions` does when it starts.

The owner is asked, and lets go after its current function. Nobody is ever signalled.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from datetime import timedelta

from yourlabs.runner.chain.task import Chain
from yourlabs.runner.exceptions import AlreadyOwned, TakeOverTimeout
from yourlabs.runner.ownership import process
from yourlabs.runner.ownership.base import Claim, Clock, Ownership
from yourlabs.runner.ownership.pidfile import PidfileOwnership
from yourlabs.runner.ownership.record import check_functions, describe_owner, pid_of

logger = logging.getLogger("runner")

RETRY_S = 0.05  # time between two tries to become the owner
REMIND_EVERY_S = 30.0  # time between two lines in the log that name the owner


def log_pidfile(ownership: Ownership, chain: Chain) -> None:
    """Log what the pidfile holds, if there is one; nothing is decided by it."""
    if not isinstance(ownership, PidfileOwnership):
        return
    content = ownership.read()
    if not content:
        logger.debug("Did not find pidfile %s, continuing normally", chain.name)
        return
    first = content.split(b"\n", 1)[0][:40].decode("utf-8", "replace").strip()
    shown = first if first.isprintable() else ascii(first)
    logger.debug("Found pidfile %s containing: %s", chain.name, shown)
    pid, record = pid_of(content), ownership.owner()
    if pid is None:
        logger.debug("%r is no pid, wiping pidfile %s", first, chain.name)
    elif record is not None and process.is_elsewhere(record.owner):
        logger.debug("Process %s is in another container, or outside of this one", pid)
    elif not process.exists(pid):
        logger.debug("Could not find /proc/%s, wiping pidfile %s", pid, chain.name)
        how = "has ended"
        if record is not None:
            was_cut = not record.released
            how = "was cut, maybe by kill -9" if was_cut else "ended in good order"
        logger.debug("The process that ran %s before %s", chain.name, how)
    elif not process.holds_lock(pid, ownership.path):
        logger.debug(
            "Process %s is not the owner of pidfile %s, wiping it", pid, chain.name
        )


def take_over(
    ownership: Ownership,
    chain: Chain,
    *,
    timeout: timedelta | None,
    pause: Callable[[float], bool],
    clock: Clock = time,
) -> Claim | None:
    """
    Become the owner: ask whoever is, and wait until it lets go.

    Args:
        ownership, chain: What to own, and what is to be run.
        timeout: How long to wait. None: nobody is asked.
        pause: Sleeps for some seconds; True when the caller wants to give up.
        clock: Where the time comes from.

    Returns:
        The claim. None if `pause` has returned True.

    Raises:
        AlreadyOwned: Without a timeout: another process runs the chain.
        ChainNameTaken: Another process runs other functions under this name.
        TakeOverTimeout: The owner did not let go in time.
        UnusableRunRoot: What the lock or the request is kept in cannot be used.
    """
    wait = _Wait(ownership, chain, clock)
    while (claim := ownership.acquire()) is None and not wait.knows_owner():
        if pause(RETRY_S):
            return None
    if claim is not None:
        return claim
    if timeout is None:
        msg = f"The chain {chain.name} is run by {wait.owner()}"
        raise AlreadyOwned(f"{msg}; it was not to be taken over.")
    # Only now: a chain of other functions is not asked.
    with ownership.request():
        while (claim := ownership.acquire()) is None:
            if wait.knows_owner():
                wait.remind()
            wait.give_up_in_time(timeout.total_seconds())
            if pause(RETRY_S):
                return None
    return claim


class _Wait:
    """What a candidate knows of the owner that it waits for."""

    def __init__(self, ownership: Ownership, chain: Chain, clock: Clock) -> None:
        self._ownership, self._chain, self._clock = ownership, chain, clock
        self._begun_at = self._remind_at = clock.monotonic()
        self._token: int | None = None

    def owner(self) -> str:
        return describe_owner(self._ownership.owner(), self._clock.time())

    def knows_owner(self) -> bool:
        """Say whether the record is of the owner, which may not have written it yet."""
        record = self._ownership.owner()
        before = self._token
        self._token = 0 if record is None or record.released else record.seq
        if self._token != before:
            return False
        if record is not None and not record.released:
            check_functions(self._chain, record, self._clock.time())
        return True

    def remind(self) -> None:
        """Log who the owner is, now and then."""
        now = self._clock.monotonic()
        if now >= self._remind_at:
            self._remind_at = now + REMIND_EVERY_S
            logger.info(
                "Waiting for %s to finish %s",
                self.owner(),
                self._chain.name,
                extra={"action": "taking_over", "chain": self._chain.name},
            )

    def give_up_in_time(self, timeout: float) -> None:
        """Raise `TakeOverTimeout` when the wait has lasted `timeout` seconds."""
        if self._clock.monotonic() - self._begun_at < timeout:
            return
        msg = (
            f"The chain {self._chain.name} is still run by {self.owner()} after "
            f"{timeout:g} seconds."
        )
        candidate = self._ownership.candidate()
        if candidate is not None and candidate.pid != os.getpid():
            state = "lives" if process.is_alive(candidate) else "has ended"
            msg += (
                f" Process {candidate.pid} on {candidate.host}, which {state}, has "
                "asked for it before."
            )
        raise TakeOverTimeout(f"{msg} Nothing was killed.")
