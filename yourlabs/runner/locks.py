"""
Ownership of a chain: a lock that the kernel keeps, and a record beside it.

The lock on ``RUN_ROOT/<chain>.pid`` is the only evidence of ownership. The kernel
drops it with the process, so there is no clock, no lease and no stale state. The file
is never deleted, renamed or truncated: a lock on an inode that has lost its name would
keep nobody out.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
import weakref
from pathlib import Path

from yourlabs.runner import processes
from yourlabs.runner.core.exceptions import UnusableRunRoot
from yourlabs.runner.core.ownership import (
    HOSTED,
    READ_SIZE,
    OwnerRecord,
    encode_head,
    encode_tail,
    parse_record,
    run_tail,
    tail_width,
)
from yourlabs.runner.core.task import Chain

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows, refused at start
    fcntl = None  # type: ignore[assignment]

MARK_AGE = 1.0
"""How old the mark of a task that runs again and again may be, in seconds."""

BUSY = (errno.EAGAIN, errno.EACCES)


class PidfileLock:
    """
    An `OwnerLock` on a file in RUN_ROOT: for all processes of one machine.

    One object serves one thread at a time. A forked child holds nothing: its copies of
    the descriptors are closed at the fork, because an unlock there would drop the
    parent's lock, and keeping them would outlive it.
    """

    def __init__(self, root: Path, chain: Chain, kind: str = HOSTED) -> None:
        self.chain = chain
        self.kind = kind
        self.path = os.fspath(root / f"{chain.name}.pid")
        self.request_path = os.fspath(root / f"{chain.name}.takeover")
        self.interrupted: OwnerRecord | None = None
        self._root = root
        self._descriptor: int | None = None
        self._request: int | None = None
        self._inode: tuple[int, int] = (0, 0)
        self._marked, self._marked_at = -1, 0.0
        self._head = b""
        self._width = tail_width(chain.paths)
        self._idle = encode_tail(self._width, released=False)
        self._marks = [run_tail(path) for path in chain.paths]
        _open_locks.add(self)

    # Owning.

    def acquire(self) -> bool:
        """
        Try to become the owner, without waiting. A standing-by heir goes first.

        Raises:
            UnusableRunRoot: RUN_ROOT or the pidfile cannot be used.
        """
        if self._descriptor is not None:
            return True
        if self._request is None and self.is_wanted():
            return False
        make_run_root(self._root)
        descriptor = _lock(self.path)
        if descriptor is None:
            return False
        try:
            self._take(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return True

    def _take(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        old = parse_record(os.pread(descriptor, READ_SIZE, 0))
        record = OwnerRecord(
            owner=processes.this_process(self.kind),
            seq=1 if old is None else old.seq + 1,
            since=time.time(),
            functions=self.chain.paths,
        )
        self.interrupted = self._unfinished(old)
        self._head = encode_head(record)
        # A run that was interrupted stays in the record until it is booked.
        block = self._head + self._tail(self.interrupted)
        # Whatever longer thing stood here becomes blanks, in the same write.
        os.pwrite(descriptor, block.ljust(min(found.st_size, READ_SIZE)), 0)
        self._blank(descriptor, found.st_size)
        self._inode = (found.st_dev, found.st_ino)
        self._marked = -1
        self._descriptor = descriptor

    def _unfinished(self, old: OwnerRecord | None) -> OwnerRecord | None:
        if old is None or old.released or old.run is None:
            return None
        return old if old.run.task in self.chain.paths else None

    def _tail(self, interrupted: OwnerRecord | None) -> bytes:
        if interrupted is None or interrupted.run is None:
            return self._idle
        mark = interrupted.run
        tail = self._marks[self.chain.paths.index(mark.task)] % mark.since
        return tail.ljust(self._width) + b"\n"

    @staticmethod
    def _blank(descriptor: int, size: int) -> None:
        for start in range(READ_SIZE, size, READ_SIZE):
            os.pwrite(descriptor, b" " * min(READ_SIZE, size - start), start)

    def release(self) -> None:
        """Say in the record that it is over, and let go. Harmless when not held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            with contextlib.suppress(OSError):
                tail = encode_tail(self._width, released=True)
                os.pwrite(descriptor, tail, len(self._head))
        finally:
            # Closed, never unlocked: a copy that a child still has must not matter.
            os.close(descriptor)

    def is_held(self) -> bool:
        """Say whether the path still names the inode that is locked here."""
        if self._descriptor is None:
            return False
        try:
            found = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._inode

    def begin(self, index: int) -> None:
        """Write into the record that this task is being run."""
        now = time.time()
        if index == self._marked and 0 <= now - self._marked_at < MARK_AGE:
            # Run again without a pause: what is written is true, and costs nothing.
            return
        self._marked, self._marked_at = index, now
        if self._descriptor is not None:
            tail = (self._marks[index] % now).ljust(self._width) + b"\n"
            os.pwrite(self._descriptor, tail, len(self._head))

    def end(self) -> None:
        """Write into the record that no task is being run."""
        self._marked = -1
        if self._descriptor is not None:
            os.pwrite(self._descriptor, self._idle, len(self._head))

    # Others.

    def owner(self) -> OwnerRecord | None:
        """Return what the last owner wrote. It may be gone; None: nothing readable."""
        return parse_record(self.read())

    def read(self) -> bytes:
        """Return the bytes of the pidfile; empty when there is none."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return b""
        try:
            return os.pread(descriptor, READ_SIZE, 0)
        except OSError:
            return b""
        finally:
            os.close(descriptor)

    # Taking over.

    def request(self) -> bool:
        """Ask any owner to yield, until `withdraw`. False: another process asks."""
        if self._request is None:
            make_run_root(self._root)
            self._request = _lock(self.request_path)
        return self._request is not None

    def withdraw(self) -> None:
        """Ask no longer."""
        descriptor, self._request = self._request, None
        if descriptor is not None:
            os.close(descriptor)

    def is_wanted(self) -> bool:
        """Say whether a process asks the owner to yield."""
        try:
            descriptor = os.open(
                self.request_path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
            )
        except OSError:
            return False
        try:
            # A shared lock: probes never keep each other, or a candidate, out for
            # longer than this moment.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as exc:
            return exc.errno in BUSY
        finally:
            os.close(descriptor)
        return False

    def forget(self) -> None:
        """Close the copies that a forked child got."""
        for descriptor in (self._descriptor, self._request):
            if descriptor is not None:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        self._descriptor = self._request = None


_open_locks: weakref.WeakSet[PidfileLock] = weakref.WeakSet()


def _forget_all() -> None:
    for lock in list(_open_locks):
        lock.forget()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=_forget_all)


def _lock(path: str) -> int | None:
    """Return a descriptor with the lock on the inode that `path` names; None: taken."""
    while True:
        descriptor = _open(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(descriptor)
            if exc.errno in BUSY:
                return None
            raise
        # Replaced between the open and the lock: a lock on it keeps nobody out.
        if _names_it(path, descriptor):
            return descriptor
        os.close(descriptor)


def _names_it(path: str, descriptor: int) -> bool:
    try:
        named = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    locked = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (locked.st_dev, locked.st_ino)


def _open(path: str) -> int:
    # Not truncated, because nothing is ours before the lock is; not followed, so that
    # nobody can point it elsewhere; not blocking, should it be a FIFO.
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as exc:
        reason = "is a symbolic link" if exc.errno == errno.ELOOP else exc.strerror
        raise UnusableRunRoot(exc.errno, f"{path}: {reason}{_ADVICE}") from None
    problem = _problem(os.fstat(descriptor))
    if problem is None:
        return descriptor
    os.close(descriptor)
    raise UnusableRunRoot(errno.EPERM, f"{path}: {problem}{_ADVICE}")


_ADVICE = (
    ". Expected a plain file of the user who runs the chain, on a file system that "
    "can be written to: remove it, or set RUN_ROOT to another directory."
)


def _problem(found: os.stat_result) -> str | None:
    if not stat.S_ISREG(found.st_mode):
        return "is not a plain file"
    if found.st_nlink > 1:
        return "has more than one name (a hard link)"
    if found.st_uid != os.geteuid():
        return f"belongs to uid {found.st_uid}, this process is uid {os.geteuid()}"
    return None


def make_run_root(root: Path) -> None:
    """
    Make the directory of the pidfiles where it is missing.

    Raises:
        UnusableRunRoot: It cannot be made, or is no directory.
    """
    if root.is_dir():
        return
    try:
        root.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as exc:
        msg = (
            f"RUN_ROOT {root} cannot be made: {exc.strerror}. Set RUN_ROOT to a "
            "directory that the user who runs the chain can write to."
        )
        raise UnusableRunRoot(exc.errno, msg) from None
