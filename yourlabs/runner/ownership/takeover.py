"""Taking a chain over from its owner: what `run_functions` does when it starts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta

from yourlabs.runner.exceptions import (
    AlreadyOwned,
    TakeOverTimeout,
)
from yourlabs.runner.ownership import process as processes
from yourlabs.runner.ownership.pidfile import PidfileLock
from yourlabs.runner.ownership.record import (
    COMMAND,
    OwnerRecord,
    check_functions,
    describe_owner,
    pid_of,
)

logger = logging.getLogger("runner")

RETRY = 0.05
"""Time between two tries for the lock, in seconds."""

REMIND = 30.0
"""Time between two lines in the log that say who is waited for, in seconds."""


def read_pidfile(lock: PidfileLock) -> None:
    """Say in the log what the pidfile holds. Nothing is done because of it."""
    name = lock.chain.name
    content = lock.read()
    if not content:
        logger.debug("Did not find pidfile %s, continuing normally", name)
        return
    first = content.split(b"\n", 1)[0][:40].decode("utf-8", "replace").strip()
    logger.debug("Found pidfile %s containing: %s", name, first)
    pid = pid_of(content)
    if pid is None:
        logger.debug("%r is no pid, wiping pidfile %s", first, name)
    elif not processes.exists(pid):
        logger.debug("Could not find /proc/%s, wiping pidfile %s", pid, name)
    elif not processes.holds_lock(pid, lock.path):
        logger.debug("Process %s is not the owner of pidfile %s, wiping it", pid, name)


def refuse_or_take(lock: PidfileLock) -> None:
    """
    Become the owner at once, or not at all.

    Raises:
        AlreadyOwned: Another process runs the chain.
        ChainNameTaken: Another process runs other functions under this name.
    """
    for _ in range(2):
        if lock.acquire():
            return
        # The owner before may just have let go, and the next not have signed yet.
        time.sleep(RETRY)
    record = lock.owner()
    if record is not None and not record.released:
        check_functions(lock.chain, record, time.time())
    owner = describe_owner(record, time.time())
    msg = f"The chain {lock.chain.name} is run by {owner}; it was not to be taken over."
    raise AlreadyOwned(msg)


def take_over(
    lock: PidfileLock,
    *,
    timeout: timedelta,
    pause: Callable[[float], bool],
) -> bool:
    """
    Become the owner: ask whoever is, and wait until it lets go.

    An owner that is a `run_functions` gets SIGTERM, once it is proven that it is the
    owner. A thread in another process is only asked, through the take-over file. No
    process is ever killed.

    Args:
        lock: Of the chain.
        timeout: How long to wait.
        pause: Sleeps for some seconds; True when the caller wants to give up.

    Returns:
        False when `pause` said so.

    Raises:
        ChainNameTaken: Another process runs other functions under this name.
        TakeOverTimeout: The owner did not let go in time.
    """
    candidate = _Candidate(lock, timeout)
    try:
        while not candidate.try_once():
            if pause(RETRY):
                return False
        return True
    finally:
        lock.withdraw()


class _Candidate:
    """What a process knows of the owner that it waits for."""

    def __init__(self, lock: PidfileLock, timeout: timedelta) -> None:
        self.lock = lock
        self.timeout = timeout
        self._deadline = time.monotonic() + timeout.total_seconds()
        self._asked: OwnerRecord | None = None
        self._doubtful: OwnerRecord | None = None
        self._remind_at = 0.0

    def try_once(self) -> bool:
        """Return True as the owner; else the owner was asked, if it may be asked."""
        if self.lock.acquire():
            return True
        record = self.lock.owner()
        # Nothing is asked of a chain of other functions. When another candidate is
        # ahead: first come, first served.
        if not self._is_foreign(record) and self.lock.request():
            if self.lock.acquire():
                return True
            self._ask(record)
            self._remind(record)
        return self._is_owner_at_last()

    def _is_foreign(self, record: OwnerRecord | None) -> bool:
        if record is None or record.released:
            return False
        if record != self._doubtful and record.functions != self.lock.chain.paths:
            # It may be of an owner that is dead, and the next not have signed yet.
            self._doubtful = record
            return True
        check_functions(self.lock.chain, record, time.time())
        return False

    def _ask(self, record: OwnerRecord | None) -> None:
        """Signal an owner that may be signalled, once."""
        if record is None or record.released:
            return
        asked = self._asked
        if asked and (asked.seq, asked.owner) == (record.seq, record.owner):
            return
        refusal = None
        if record.owner.kind == COMMAND:
            # First signed, then signalled: the owner will look from whom it is.
            if self.lock.sign(record):
                refusal = processes.terminate(record.owner, self.lock.path)
            else:
                refusal = "the request to yield cannot be written to"
            if refusal is not None:
                self.lock.sign(None)
            self._log_signal(record, refusal)
        # A dead one's record: the new owner has not signed yet. Look again.
        if refusal is None or processes.exists(record.owner.pid):
            self._asked = record

    def _log_signal(self, record: OwnerRecord, refusal: str | None) -> None:
        owner = describe_owner(record, time.time())
        if refusal is not None:
            logger.debug("Not signalled %s: %s", owner, refusal)
            return
        logger.info(
            "Sent SIGTERM to %s",
            owner,
            extra={"action": "owner_signalled", "chain": self.lock.chain.name},
        )

    def _remind(self, record: OwnerRecord | None) -> None:
        now = time.monotonic()
        if now < self._remind_at or self._asked is None:
            return
        self._remind_at = now + REMIND
        logger.info(
            "Waiting for %s to finish %s",
            describe_owner(record, time.time()),
            self.lock.chain.name,
            extra={"action": "taking_over", "chain": self.lock.chain.name},
        )

    def _is_owner_at_last(self) -> bool:
        if time.monotonic() < self._deadline:
            return False
        # It may have let go for us: then it goes on only if nobody asks any more.
        self.lock.withdraw()
        if self.lock.acquire():
            return True
        owner = describe_owner(self.lock.owner(), time.time())
        msg = (
            f"The chain {self.lock.chain.name} is still run by {owner} after "
            f"{self.timeout.total_seconds():g} seconds. Nothing was killed."
        )
        raise TakeOverTimeout(msg)
