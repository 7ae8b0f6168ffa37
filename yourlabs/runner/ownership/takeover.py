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
from yourlabs.runner.exceptions import AlreadyOwned, ChainNameTaken, TakeOverTimeout
from yourlabs.runner.ownership import process
from yourlabs.runner.ownership.base import Claim, Clock, Ownership
from yourlabs.runner.ownership.pidfile import PidfileOwnership
from yourlabs.runner.ownership.record import (
    check_functions,
    describe_owner,
    pid_of,
)

logger = logging.getLogger("runner")

RETRY_S = 0.05
"""Time between two tries to become the owner, in seconds."""

REMIND_EVERY_S = 30.0
"""Time between two lines in the log that say who is waited for, in seconds."""


def log_pidfile(ownership: Ownership, chain: Chain) -> None:
    """Say in the log what the pidfile holds, if there is one. It decides nothing."""
    if not isinstance(ownership, PidfileOwnership):
        return
    content = ownership.read()
    if not content:
        logger.debug("Did not find pidfile %s, continuing normally", chain.name)
        return
    first = content.split(b"\n", 1)[0][:40].decode("utf-8", "replace").strip()
    shown = first if first.isprintable() else ascii(first)
    logger.debug("Found pidfile %s containing: %s", chain.name, shown)
    pid = pid_of(content)
    if pid is None:
        logger.debug("%r is no pid, wiping pidfile %s", first, chain.name)
    elif not process.exists(pid):
        logger.debug("Could not find /proc/%s, wiping pidfile %s", pid, chain.name)
    elif not process.holds_lock(pid, ownership.path):
        logger.debug(
            "Process %s is not the owner of pidfile %s, wiping it", pid, chain.name
        )


def refuse_or_take(ownership: Ownership, chain: Chain) -> Claim:
    """
    Become the owner at once, or raise `AlreadyOwned`.

    Raises:
        ChainNameTaken, UnusableRunRoot: As `take_over`.
    """
    for _ in range(2):
        claim = ownership.acquire()
        if claim is not None:
            return claim
        # The owner before may just have let go, and the next not have signed yet.
        time.sleep(RETRY_S)
    record = ownership.owner()
    if record is not None and not record.released:
        check_functions(chain, record, time.time())
    owner = describe_owner(record, time.time())
    msg = f"The chain {chain.name} is run by {owner}; it was not to be taken over."
    raise AlreadyOwned(msg)


def take_over(
    ownership: Ownership,
    chain: Chain,
    *,
    timeout: timedelta,
    pause: Callable[[float], bool],
    clock: Clock = time,
) -> Claim | None:
    """
    Become the owner: ask whoever is, and wait until it lets go.

    Args:
        ownership: Of the chain.
        chain: What is to be run.
        timeout: How long to wait.
        pause: Sleeps for some seconds; True when the caller wants to give up.
        clock: Where the time comes from.

    Returns:
        The claim. None when `pause` said so.

    Raises:
        ChainNameTaken: Another process runs other functions under this name.
        TakeOverTimeout: The owner did not let go in time.
        UnusableRunRoot: What the lock or the request is kept in cannot be used.
    """
    wait = _Wait(ownership, chain, timeout, clock)
    while (claim := ownership.acquire()) is None and wait.is_in_doubt():
        if pause(RETRY_S):
            return None
    if claim is not None:
        return claim
    # Only now: nothing is asked of a chain of other functions.
    with ownership.request():
        while (claim := ownership.acquire()) is None:
            if not wait.is_in_doubt():
                wait.remind()
            wait.give_up_in_time()
            if pause(RETRY_S):
                return None
    return claim


class _Wait:
    """What a candidate knows of the owner that it waits for."""

    def __init__(
        self, ownership: Ownership, chain: Chain, timeout: timedelta, clock: Clock
    ) -> None:
        self._ownership, self._chain, self._clock = ownership, chain, clock
        self._timeout = timeout.total_seconds()
        self._begun_at = self._remind_at = clock.monotonic()
        self._doubtful: int | None = None

    def is_in_doubt(self) -> bool:
        """
        Say whether who holds the lock may not have written yet who it is.

        Raises:
            ChainNameTaken: It runs other functions under this name.
        """
        record = self._ownership.owner()
        if record is None or record.released:
            return self._may_change(0)
        try:
            check_functions(self._chain, record, self._clock.time())
        except ChainNameTaken:
            if self._may_change(record.seq):
                return True
            raise
        return not process.is_alive(record.owner) and self._may_change(record.seq)

    def _may_change(self, token: int) -> bool:
        """Say whether this is the first look at a record that seems to be old."""
        is_first, self._doubtful = token != self._doubtful, token
        return is_first

    def remind(self) -> None:
        """Say in the log who is waited for, now and then."""
        now = self._clock.monotonic()
        if now < self._remind_at:
            return
        self._remind_at = now + REMIND_EVERY_S
        logger.info(
            "Waiting for %s to finish %s",
            describe_owner(self._ownership.owner(), self._clock.time()),
            self._chain.name,
            extra={"action": "taking_over", "chain": self._chain.name},
        )

    def give_up_in_time(self) -> None:
        """
        End the wait when it has been long enough.

        Raises:
            TakeOverTimeout: It has.
        """
        if self._clock.monotonic() - self._begun_at < self._timeout:
            return
        owner = describe_owner(self._ownership.owner(), self._clock.time())
        msg = (
            f"The chain {self._chain.name} is still run by {owner} after "
            f"{self._timeout:g} seconds.{self._who_is_ahead()} Nothing was killed."
        )
        raise TakeOverTimeout(msg)

    def _who_is_ahead(self) -> str:
        candidate = self._ownership.candidate()
        if candidate is None or candidate.pid == os.getpid():
            return ""
        state = "lives" if process.is_alive(candidate) else "has ended"
        return (
            f" Process {candidate.pid} on {candidate.host}, which {state}, has asked "
            "for it before."
        )
