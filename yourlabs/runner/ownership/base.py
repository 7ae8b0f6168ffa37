"""
What a `RunnerThread` is given: interfaces, each with one implementation today.

Ownership is a file lock; a session lock in a database could stand behind `OwnerLock`
for chains of several hosts. State is a file beside it; the same holds for `State`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from yourlabs.runner.ownership.record import OwnerRecord

if TYPE_CHECKING:
    from yourlabs.runner.chain.thread import RunnerThread


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
