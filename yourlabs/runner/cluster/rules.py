"""
Decides from a row which process may take its lease. Pure: no clock is read.

All durations are in seconds. A lease ends by the clock of the database; its holder
stops starting runs by a clock of its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from yourlabs.runner.chain.task import Chain
from yourlabs.runner.ownership.record import MAX_TASK, Identity, OwnerRecord, fit

LEASE_S = 15.0
"""For how long a renewal keeps all other machines from running the chain."""

RENEW_EVERY_S = 5.0
"""How often a holder renews all its leases."""

SILENCE_S = 10.0
"""When a holder whose renewals fail starts no further run, counted from before its last
renewal was sent. The rest of the lease allows for clocks of unequal speed."""

LOOK_EVERY_S = 1.9
"""How often a process reads its rows: what changes there is seen within two seconds."""

ASK_EVERY_S = 0.5
"""The same, while it asks for one of them."""

WANTED_S = 5.0
"""How long a request to yield lasts that is not made again."""

TIMEOUT_S = 3.0
"""How long a connection, and each statement, may take."""

LOCK_TIMEOUT_S = 1.0
"""How long a statement waits for a row that a session which is not ours has locked."""

RETRY_S = 1.0
"""How long to wait after the database could not be used."""

MARK_EVERY_S = 1.0
"""How often the run that is going on is written into the row, at the most."""


@dataclass(frozen=True)
class Row:
    """What one look found in the row of a chain."""

    record: OwnerRecord | None
    """What the last holder said of itself. None: there was none."""
    token: int
    holder: str
    root: str
    left: float
    """Of the lease. Not positive: it has ended."""
    wanted: str
    wanted_left: float
    """Of the request to yield. Not positive: nobody asks."""
    desired: str

    def request(self) -> str | None:
        """Return the id of the request that is open. None: nobody asks."""
        return self.wanted if self.wanted and self.wanted_left > 0 else None


def key_of(name: str) -> str:
    """Return the primary key of a chain's row."""
    return hashlib.sha256(name.encode()).hexdigest()


def may_take(row: Row, root: str, request: str | None) -> bool:
    """
    Say whether a candidate may become the holder.

    Args:
        row: Of the chain.
        root: Identifies the RUN_ROOT in which the candidate has the chain's file lock.
            Where the holder had it in the same one, the lock proves that it is gone.
        request: The id with which the candidate asks. None: it does not ask.
    """
    is_free = row.left <= 0 or row.root == root
    return is_free and row.request() in (None, request)


def next_look(now: float, lefts: list[float], *, asks: bool) -> float:
    """
    Return when to look again.

    Args:
        now: When the last look was.
        lefts: The rest of each lease that the process waits for.
        asks: It asks for one of them.
    """
    pause = ASK_EVERY_S if asks else LOOK_EVERY_S
    ending = [left for left in lefts if 0 < left < pause]
    return now + min([pause, *ending])


def interrupted(
    row: Row, chain: Chain, me: Identity, root: str, local: OwnerRecord | None
) -> OwnerRecord | None:
    """
    Return what the holder before said of itself, if it died inside a run.

    Args:
        row: As it was when the lease was taken.
        chain: Whose functions count.
        me: The process that has taken it. It lives: its own run has ended.
        root: Identifies its RUN_ROOT.
        local: What the pidfile says was interrupted. It is written before the run, and
            the row soon after, so that it knows more of a holder of the same machine.
    """
    old = row.record
    if old is None or old.owner == me:
        return None
    if local is not None and row.root == root and local.owner == old.owner:
        return local
    if old.run is None:
        return None
    for task in chain.paths:
        if fit(task, MAX_TASK) == old.run.task:
            return replace(old, run=old.run._replace(task=task))
    return None
