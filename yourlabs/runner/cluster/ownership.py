"""
Ownership of a chain by two stages: the file lock of the machine, then a lease.

The process that has the file lock is the only candidate of its machine. It writes into
the pidfile which process has the lease, for all other processes of the machine.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import Error

from yourlabs.runner.chain.task import Chain
from yourlabs.runner.cluster import rows
from yourlabs.runner.cluster.keeper import Keeper
from yourlabs.runner.cluster.lease import Lease, boottime
from yourlabs.runner.cluster.root import identify
from yourlabs.runner.cluster.rules import (
    LEASE_S,
    SILENCE_S,
    TIMEOUT_S,
    Row,
    interrupted,
)
from yourlabs.runner.exceptions import UnusableDatabase
from yourlabs.runner.ownership import process
from yourlabs.runner.ownership.pidfile import PidfileClaim, PidfileOwnership
from yourlabs.runner.ownership.record import COMMAND, Identity, OwnerRecord, RunMark


class ClusterOwnership:
    """An `Ownership` for all processes of all machines that share a database."""

    def __init__(self, local: PidfileOwnership, keeper: Keeper, chain: Chain) -> None:
        """Touch nothing yet: `local` is the first stage."""
        self._local, self._keeper, self._chain = local, keeper, chain
        self._pid = os.getpid()
        self._candidate: tuple[PidfileClaim, Lease] | None = None
        self._mirrored: OwnerRecord | None = None
        self._request: str | None = None
        # A reader reads the row: its machine may have no candidate that does.
        self._is_reader = True
        self._row: Row | None = None

    @property
    def borrows(self) -> bool:
        """A claim of this process is given back soon, which its record says."""
        return self._local.borrows

    @borrows.setter
    def borrows(self, borrows: bool) -> None:
        self._local.borrows = borrows

    def acquire(self) -> ClusterClaim | None:
        """
        Try to become the owner. None: another one is, or it is not known yet.

        Raises:
            UnusableRunRoot: RUN_ROOT or a file in it cannot be used.
            UnusableDatabase: A command finds no database when it starts.
        """
        if os.getpid() != self._pid:
            self._pid, self._candidate, self._is_reader = os.getpid(), None, True
        is_first, self._is_reader = self._is_reader, False
        if self._candidate is None:
            claim = self._local.acquire()
            if claim is None:
                return None
            self._candidate = claim, self._begin()
            if is_first and self._local.kind == COMMAND:
                self._wait()
        claim, lease = self._candidate
        # Another process of this machine may go first.
        if lease.is_lost or not claim.check() or claim.wanted_by() is not None:
            self.withdraw()
            return None
        lease.request = self._request
        if not lease.is_held():
            self._mirror(claim, lease)
            return None
        self._candidate = self._mirrored = None
        return ClusterClaim(self._keeper, self._chain, claim, lease)

    def _begin(self) -> Lease:
        me = OwnerRecord(
            owner=process.this_process(self._local.kind),
            seq=1,
            since=time.time(),
            functions=self._chain.paths,
            borrows=self.borrows,
        )
        root = identify(Path(self._local.path).parent)
        lease = Lease(self._chain.name, root, me)
        lease.request = self._request
        self._keeper.add(lease)
        return lease

    def _wait(self) -> None:
        """Wait for the first look: a command that finds no database fails at once."""
        assert self._candidate is not None
        self._candidate[1].looked.wait(2 * TIMEOUT_S)
        problem = self._keeper.problem(patience=0.0)
        if problem is not None:
            self.withdraw()
            raise UnusableDatabase(problem)

    def _mirror(self, claim: PidfileClaim, lease: Lease) -> None:
        """Write into the pidfile which process has the lease."""
        record = None if lease.row is None else lease.row.record
        if record is not None and record != self._mirrored:
            self._mirrored = record
            claim.rewrite(record)

    def withdraw(self) -> None:
        """Try no longer: let go of the file lock that was kept for the next try."""
        candidate, self._candidate = self._candidate, None
        self._mirrored = None
        if candidate is not None and os.getpid() == self._pid:
            claim, lease = candidate
            try:
                self._keeper.release(lease)
            finally:
                claim.release()

    def owner(self) -> OwnerRecord | None:
        """Return what the last owner said of itself. None: nothing can be read."""
        if self._is_reader:
            try:
                self._row = rows.look([self._chain.name]).get(self._chain.name)
            except Error:
                self._row = None
            if self._row is not None and self._row.record is not None:
                return self._row.record
        return self._local.owner()

    def lives(self, record: OwnerRecord | None) -> bool:
        """Say whether the owner that wrote the record still has the chain."""
        if record is None or record.released:
            return False
        is_over = self._row is not None and self._row.left <= 0
        return not is_over and process.is_alive(record.owner)

    def seen_at(self) -> float | None:
        """Return when there was a holder last, in seconds since the epoch."""
        if self._row is None or self._row.record is None:
            return None
        # An owner that lets go ends its lease then; any other one renewed it before.
        age = 0.0 if self._row.record.released else LEASE_S
        return time.time() + self._row.left - age

    @contextmanager
    def request(self) -> Iterator[None]:
        """
        Ask any owner to yield, while the block lasts.

        Raises:
            UnusableRunRoot: RUN_ROOT or the take-over file cannot be used.
        """
        self._request = uuid.uuid4().hex
        try:
            with self._local.request():
                self._keeper.look_soon()
                yield
        finally:
            self._request = None
            self.withdraw()

    def candidate(self) -> Identity | None:
        """Return the process of this machine that asks. None: none does."""
        return self._local.candidate()

    def death_fd(self) -> int | None:
        """Return a descriptor that becomes readable when the chain may be free."""
        if self._candidate is None:
            return self._local.death_fd()
        return self._keeper.taken_fd(self._candidate[1])

    def no_sign_of_life(self) -> str | None:
        """Say what keeps the chain from running anywhere."""
        if self._candidate is None:
            return self._local.no_sign_of_life()
        locked_at = self._candidate[1].locked_at
        if locked_at is not None and boottime() - locked_at >= SILENCE_S:
            return "Another session of the database keeps the chain's row locked."
        return self._keeper.problem()


class ClusterClaim:
    """A `Claim` on a lease: until `release`, or until renewals have failed too long."""

    def __init__(
        self, keeper: Keeper, chain: Chain, local: PidfileClaim, lease: Lease
    ) -> None:
        """Read from the row how the last owner ended."""
        assert lease.before is not None
        self._keeper, self._local, self.lease = keeper, local, lease
        self._pid, self._is_lost = os.getpid(), False
        before = lease.before
        self.token = lease.record.seq
        self.was_cut = before.record is not None and not before.record.released
        self.interrupted = interrupted(
            before, chain, lease.record.owner, lease.root, local.interrupted
        )
        local.rewrite(lease.record)

    @property
    def lost_because(self) -> str:
        """Why it is lost."""
        if self.lease.is_lost:
            return "Another machine has taken the lease of this chain."
        if self._local.check():
            return "The lease of this chain could not be renewed in time."
        return self._local.lost_because

    def check(self) -> bool:
        """Say whether a run may begin: the last renewal is not too old."""
        if os.getpid() != self._pid:
            return False
        if not (self.lease.is_held() and self._local.check()):
            self._is_lost = True
        return not self._is_lost

    def wanted_by(self) -> str | None:
        """Return the id of the request to yield that is open now. None: nobody asks."""
        wanted = self._local.wanted_by()
        if wanted is None and self.lease.row is not None:
            row = self.lease.row
            wanted = row.request() if row.holder == self.lease.holder else None
        return wanted

    def mark(self, run: RunMark | None) -> None:
        """
        Note in the pidfile which run goes on, and in the row soon after.

        Raises:
            OSError: A run cannot be noted in the pidfile.
        """
        self._local.mark(run)
        self._keeper.mark(self.lease, run)

    def release(self) -> None:
        """Release the lease, which its row says then, and the file lock behind it."""
        if os.getpid() != self._pid:
            return
        self._is_lost = True
        try:
            self._keeper.release(self.lease)
        finally:
            self._local.release()
