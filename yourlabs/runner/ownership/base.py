"""
Who runs a chain: what every kind of ownership offers.

There are three: a file lock (`yourlabs.runner.ownership.pidfile`), a lease in a
database above it (`yourlabs.runner.cluster`), and one in memory for tests
(`yourlabs.runner.testing`). A `yourlabs.runner.storage.base.Backend` hands them out, so
that is where another kind is plugged in. ``tests/runner/test_ownership.py`` holds them
to these words.
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

    It is used by one thread at a time, but for `check` and `wanted_by`, which the
    watcher calls as well. In a forked child it is no claim any more.

    Attributes:
        token: Rises with every owner of the chain, and never falls: a fencing number.
        interrupted: What the owner before said of itself, if it died inside a run of a
            function that the chain still has. It stays in the record until the first
            `mark`, so that an owner that dies before it has booked the run leaves it
            to the next one.
        was_cut: The owner before did not let go in good order: it was killed.
        lost_because: What has happened when `check` says that it is lost: a sentence.
    """

    token: int
    interrupted: OwnerRecord | None
    was_cut: bool

    @property
    def lost_because(self) -> str: ...

    def check(self) -> bool:
        """
        Say whether the chain is still owned; once False, it stays False.

        It is cheap, and may be remembered for a moment. It is also the owner's sign of
        life, and to be called about once a second.
        """

    def wanted_by(self) -> str | None:
        """
        Return the id of the request to yield that is open now. None: nobody asks.

        An id that the chain was left to in vain counts no more.
        """

    def mark(self, run: RunMark | None) -> None:
        """
        Note which run goes on; None: none does.

        Where the claim is lost nothing is noted, and `check` tells it.

        Raises:
            OSError: A run cannot be noted. That none goes on is noted if it can be.
        """

    def release(self) -> None:
        """Let go in good order. Harmless when it was released, or is lost."""


class Ownership(Protocol):
    """
    The right to run one chain, as this process sees it.

    All its methods return at once.

    Attributes:
        borrows: A claim of this process is given back soon, which its record says.
    """

    borrows: bool

    def acquire(self) -> Claim | None:
        """
        Try to become the owner. None: another one is, or goes first.

        A chain that is free is left to who asked for it, with one id for five seconds.
        With a `request` of one's own that is open, one is who asked.

        Raises:
            UnusableRunRoot: What the lock is kept in cannot be used.
        """

    def withdraw(self) -> None:
        """
        Try no longer: let go of what was kept for the next `acquire`.

        Harmless when nothing was, or a claim was given out.
        """

    def owner(self) -> OwnerRecord | None:
        """
        Return what the last owner said of itself. None: nothing can be read.

        It may have let go (`OwnerRecord.released`), or be gone.
        """

    def request(self) -> AbstractContextManager[None]:
        """
        Ask any owner to yield after its current function, while the block lasts.

        First come, first served: behind another one's request it waits for its turn,
        which `acquire` looks for. When another owner came first, it asks that one
        with a new id.

        Raises:
            UnusableRunRoot: What the request is kept in cannot be used.
        """

    def candidate(self) -> Identity | None:
        """Return who asks for the chain now. None: nobody does."""

    def lives(self, record: OwnerRecord | None) -> bool:
        """
        Say whether an owner has the chain still, without asking for the chain.

        That is the kernel's word, or the database's. It may have changed already.

        Args:
            record: What `owner` returned.
        """

    def seen_at(self) -> float | None:
        """
        Return the last sign of an owner's life, in seconds since the epoch.

        Of one that let go it is when it did. None: there was no owner.
        """

    def death_fd(self) -> int | None:
        """
        Return a descriptor that becomes readable when the present owner dies.

        The caller closes it. None: there is no such thing, so look once a second.
        """

    def no_sign_of_life(self) -> str | None:
        """
        Say what is wrong with an owner that gave no sign of life for a minute.

        To be asked about once a second by who stands by. None: nothing is, so far.
        """
