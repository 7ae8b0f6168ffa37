"""Taking a chain over from its owner: what `run_functions` does when it starts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeGuard

from yourlabs.runner import processes
from yourlabs.runner.core.exceptions import (
    AlreadyOwned,
    TakeOverTimeout,
)
from yourlabs.runner.core.ownership import (
    COMMAND,
    OwnerRecord,
    check_functions,
    describe_owner,
    pid_of,
)
from yourlabs.runner.locks import PidfileLock

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
    _check_functions(lock, record)
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
    deadline = time.monotonic() + timeout.total_seconds()
    try:
        while not lock.request():
            # Another candidate is ahead: first come, first served.
            _check_deadline(lock, deadline, timeout)
            if pause(RETRY):
                return False
        return _wait_for_owner(lock, deadline, timeout, pause)
    finally:
        lock.withdraw()


def _wait_for_owner(
    lock: PidfileLock,
    deadline: float,
    timeout: timedelta,
    pause: Callable[[float], bool],
) -> bool:
    asked: OwnerRecord | None = None
    remind_at = 0.0
    while not lock.acquire():
        record = lock.owner()
        if _is_new(record, asked):
            _check_functions(lock, record)
            if _ask(lock, record):
                asked = record
        if time.monotonic() >= remind_at:
            remind_at = time.monotonic() + REMIND
            if asked is not None:
                logger.info(
                    "Waiting for %s to finish %s",
                    describe_owner(record, time.time()),
                    lock.chain.name,
                    extra={"action": "taking_over", "chain": lock.chain.name},
                )
        _check_deadline(lock, deadline, timeout)
        if pause(RETRY):
            return False
    return True


def _is_new(
    record: OwnerRecord | None, asked: OwnerRecord | None
) -> TypeGuard[OwnerRecord]:
    """Say whether `record` is of an owner that was not asked yet."""
    if record is None or record.released:
        return False
    return asked is None or asked.seq != record.seq


def _ask(lock: PidfileLock, record: OwnerRecord) -> bool:
    """Signal an owner that may be signalled. True: there is no more to be done."""
    if record.owner.kind != COMMAND:
        return True
    refusal = processes.terminate(record.owner, lock.path)
    if refusal is None:
        logger.info(
            "Sent SIGTERM to %s",
            describe_owner(record, time.time()),
            extra={"action": "owner_signalled", "chain": lock.chain.name},
        )
        return True
    logger.debug("Not signalled %s: %s", describe_owner(record, time.time()), refusal)
    # It may be a new owner whose record was not read whole: look again.
    return processes.exists(record.owner.pid)


def _check_functions(lock: PidfileLock, record: OwnerRecord | None) -> None:
    if record is not None and not record.released:
        check_functions(lock.chain, record, time.time())


def _check_deadline(lock: PidfileLock, deadline: float, timeout: timedelta) -> None:
    if time.monotonic() < deadline:
        return
    owner = describe_owner(lock.owner(), time.time())
    msg = (
        f"The chain {lock.chain.name} is still run by {owner} after "
        f"{timeout.total_seconds():g} seconds. Nothing was killed."
    )
    raise TakeOverTimeout(msg)
