"""
Descriptors of ours, in a process where others open, close and fork, too.

A forked child must close the locks that it inherits: to unlock them would drop the
parent's, and to keep them would keep the chain from everybody when the parent has died.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable

from yourlabs.runner.forks import renew_in_child

_ours: set[int] = set()  # what a forked child closes
_forking: set[int] = set()  # threads that are forking now
_forks = 0  # how many forks this process has made


def open_ours(opened: Callable[[], int]) -> int:
    """Return the descriptor that `opened` opens; no forked child keeps it."""
    # A child that is forked between the open and the entry in `_ours` would not know of
    # it, so then it is opened once more. No mutex: if an open hangs, a fork would, too.
    while True:
        forks = _forks
        descriptor = opened()
        _ours.add(descriptor)
        if not _forking and forks == _forks:
            return descriptor
        close_ours(descriptor)


def close_ours(descriptor: int) -> None:
    """Close it, and never unlock it: a copy that a child has must not matter."""
    # In a child that is forked before `_ours` is changed, the number may be another
    # thread's file already. So it becomes something harmless first.
    with contextlib.suppress(OSError):
        harmless = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        os.dup2(harmless, descriptor, inheritable=False)
        os.close(harmless)
    _ours.discard(descriptor)
    os.close(descriptor)


def inode_of(target: int | str) -> tuple[int, int] | None:
    """Return what identifies the file that is open, or has this path. None: none."""
    try:
        found = os.fstat(target) if isinstance(target, int) else os.lstat(target)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _before_fork() -> None:
    _forking.add(threading.get_ident())


def _after_fork() -> None:
    global _forks
    _forks += 1
    _forking.discard(threading.get_ident())


def _in_child() -> None:
    for descriptor in _ours:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _ours.clear()
    _forking.clear()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork)
renew_in_child("ownership", _in_child)
