"""
Who runs a chain: the protocols of ownership.

There are three implementations: a file lock (`yourlabs.runner.ownership.pidfile`), a
lease in a database above it (`yourlabs.runner.cluster`), and one in memory for tests
(`yourlabs.runner.testing`). A `yourlabs.runner.storage.base.Backend` returns them.
``tests/runner/test_ownership.py`` tests each of them against these protocols.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from yourlabs.runner.ownership.record import Identity, OwnerRecord, RunMark


class Clock(Protocol):
    """Where the time comes from: the module `time`, or a `FakeClock` in a test."""

    def time(self) -> float:
        """Return seconds since the epoch: they may be set back."""

    def monotonic(self) -> float:
        """Return seconds since any moment: they never go back."""


class Claim(Protocol):
    """
    One ownership of a chain, from `Ownership.acquire` to `release`.

    Used by one thread at a time, except for `check` and `wanted_by`, which the watcher
    calls as well. In a forked child it is lost.

    Attributes:
        token: Rises with every owner of the chain, and never falls: a fencing number.
        interrupted: The record of the last owner, if that died inside a run of a
            function that the chain still has. It is kept until the first `mark`: an
            owner that dies before it has counted the run leaves it to the next one.
        was_cut: The last owner did not release it: it was killed.
        lost_because: Why `check` returned False: a sentence.
    """

    token: int
    interrupted: OwnerRecord | None
    was_cut: bool

    @property
    def lost_because(self) -> str: ...

    def check(self) -> bool:
        """
        Say whether the chain is still owned; once False, it stays False.

        It is cheap, and may be cached for a moment. It is also the owner's sign of
        life, to be called about once a second.
        """

    def wanted_by(self) -> str | None:
        """
        Return the id of the request to yield that is open now. None: nobody asks.

        An id that the chain was left free for in vain is ignored.
        """

    def mark(self, run: RunMark | None) -> None:
        """
        Record the run that begins; None: none goes on. Does nothing if it is lost.

        Raises:
            OSError: A run cannot be recorded. For None nothing is raised.
        """

    def release(self) -> None:
        """Release the chain. Harmless if it was released, or is lost."""


class Ownership(Protocol):
    """
    The right to run one chain, as this process sees it. No method waits.

    Attributes:
        borrows: A claim of this process will be given back soon; its record says so.
    """

    borrows: bool

    def acquire(self) -> Claim | None:
        """
        Try to become the owner. None: another process is, or goes first.

        A free chain is left for five seconds to another process with an open `request`.

        Raises:
            UnusableRunRoot: What the lock is kept in cannot be used.
        """

    def withdraw(self) -> None:
        """
        Try no longer: release what was kept for the next `acquire`, if anything was.
        """

    def owner(self) -> OwnerRecord | None:
        """
        Return the record of the last owner. None: nothing can be read.

        It may have released the chain (`OwnerRecord.released`), or be gone.
        """

    def request(self) -> AbstractContextManager[None]:
        """
        Ask any owner to yield after its current function, while the block lasts.

        First come, first served: behind another request it waits for its turn, which
        `acquire` looks for. If another process becomes the owner, that is asked with a
        new id.

        Raises:
            UnusableRunRoot: What the request is kept in cannot be used.
        """

    def candidate(self) -> Identity | None:
        """Return who asks for the chain now. None: nobody does."""

    def lives(self, record: OwnerRecord | None) -> bool:
        """
        Say whether the owner of `record`, which `owner` returned, still has the chain.

        The kernel or the database says so; the lock is not tried.
        """

    def seen_at(self) -> float | None:
        """
        Return the owner's last sign of life, in seconds since the epoch.

        After a release, the time of that. None: there was no owner.
        """

    def death_fd(self) -> int | None:
        """
        Return a descriptor that becomes readable when the present owner dies.

        The caller closes it. None: there is none; poll once a second.
        """

    def no_sign_of_life(self) -> str | None:
        """
        Describe an owner that gave no sign of life for a minute. None: all is well.

        A stand-by calls it about once a second.
        """
