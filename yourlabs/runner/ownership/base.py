"""
Who runs a chain: what every kind of ownership offers.

Two kinds are here: a file lock (`yourlabs.runner.ownership.pidfile`) and one in memory
for tests (`yourlabs.runner.testing`). One suite of tests holds both to these words:
``tests/runner/test_ownership.py``.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from yourlabs.runner.ownership.record import Identity, OwnerRecord, RunMark

if TYPE_CHECKING:
    from yourlabs.runner.chain.thread import RunnerThread


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
    """

    token: int
    interrupted: OwnerRecord | None
    was_cut: bool

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
    """

    def acquire(self) -> Claim | None:
        """
        Try to become the owner. None: another one is, or goes first.

        A chain that is free is left to who asked for it, with one id for five seconds.
        With a `request` of one's own that is open, one is who asked.

        Raises:
            UnusableRunRoot: What the lock is kept in cannot be used.
        """

    def owner(self) -> OwnerRecord | None:
        """
        Return what the last owner said of itself. None: nothing can be read.

        It may have let go (`OwnerRecord.released`), or be gone.
        """

    def request(self, *, borrow: bool = False) -> AbstractContextManager[None]:
        """
        Ask any owner to yield after its current function, while the block lasts.

        First come, first served: behind another one's request it waits for its turn,
        which `acquire` looks for. When another owner came first, it asks that one
        with a new id.

        Args:
            borrow: The chain is given back soon; whoever yields waits for that.

        Raises:
            UnusableRunRoot: What the request is kept in cannot be used.
        """

    def candidate(self) -> Identity | None:
        """Return who asks for the chain now. None: nobody does."""

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


# Of the implementation that is being replaced.


class LostOwnershipError(Exception):
    """The lock is no longer the owner's."""


class OwnerLock(Protocol):
    """What a `RunnerThread` needs to be the only one that runs its chain."""

    path: str
    """What is locked."""

    interrupted: OwnerRecord | None
    """After `acquire`: the owner before, when it did not survive a run of ours."""

    was_cut: bool
    """After `acquire`: the owner before did not let go in good order."""

    def acquire(self) -> bool:
        """Try to become the owner, without waiting."""

    def release(self) -> None:
        """Let go in good order. Harmless when it is not held."""

    def is_held(self) -> bool:
        """Say whether this is the owner still: looked at before runs."""

    def is_wanted(self) -> bool:
        """Say whether somebody asks the owner to yield."""

    def owner(self) -> OwnerRecord | None:
        """Return what the last owner said of itself. It may be gone."""

    def has_changed(self) -> bool:
        """Say whether that may be another one than when this was asked last."""

    def begin(self, index: int) -> None:
        """
        Note that the task at `index` of the chain is being run.

        Raises:
            LostOwnershipError: It is found that the lock is lost.
            OSError: It cannot be noted.
        """

    def end(self) -> None:
        """Note that no task is being run."""


class ChainState(Protocol):
    """Sections of plain JSON values that outlive the process; safe between threads."""

    def get(self, section: str) -> Any:
        """Return what was put, by this owner or the last one. None: nothing."""

    def put(self, section: str, value: Any, *, now: bool = False) -> None:
        """Keep `value`; written with the next write, or before returning if `now`."""


class State(ChainState, Protocol):
    """A `ChainState` as its owner sees it."""

    def load(self) -> None:
        """Read what the last owner left. It takes values from now on."""

    def save(self) -> None:
        """Write what has changed."""

    def close(self, *, write: bool = True) -> None:
        """Take nothing more; write what has changed, unless another may own it."""


class Keeper(Protocol):
    """Looks after threads that sleep."""

    is_crowded: bool
    """There are so many that they stand in each other's way."""

    def watch(self, thread: RunnerThread) -> None:
        """Look after `thread` from now on."""

    def unwatch(self, thread: RunnerThread) -> None:
        """Look after it no longer; when this returns, nobody is at it."""
