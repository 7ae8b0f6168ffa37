"""
Ownership of a chain: a lock that the kernel keeps, and a record beside it.

The lock on ``RUN_ROOT/<chain>.pid`` is the only evidence of ownership. The kernel
drops it with the process, so there is no clock, no lease and no stale state. The file
is never deleted, renamed or truncated: a lock on an inode that has lost its name would
keep nobody out.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

from yourlabs.runner.chain.task import Chain
from yourlabs.runner.ownership import files as lockfiles
from yourlabs.runner.ownership import process as processes
from yourlabs.runner.ownership import syscalls
from yourlabs.runner.ownership.base import LostOwnershipError
from yourlabs.runner.ownership.record import (
    HOSTED,
    READ_SIZE,
    Identity,
    OwnerRecord,
    encode_head,
    encode_tail,
    parse_record,
    run_tail,
    tail_width,
)

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows, refused at start
    fcntl = None  # type: ignore[assignment]

MARK_AGE = 1.0
"""How old the mark of a task that runs again and again may be, in seconds."""

SETTLED_AGE = 0.1
"""A file that was written to in the last moment may be written to again, and show the
same time: the clocks of file systems tick. In seconds."""

COARSE_AGE = 2.1
"""The same where the time is in whole seconds: some file systems know no others."""

PROOF_AGE = 0.9
"""How old the proof may be that the descriptor is still the lock's, in seconds."""

_loaded_at = time.time() - 0.001
"""What was written before is of another program in this process, which called exec."""

MAX_SEQ = 2**53
"""The fencing number begins anew after it: not every reader of JSON counts on."""

SIGNED_SIZE = 128
"""Length of the line in a request, in bytes."""

_changing = threading.RLock()
"""
Held while descriptors are opened, locked and closed, and while the process forks.

A child that is forked between the two steps of it would have a lock that nobody knows
of, and keep it from everybody for as long as it lives. It can be taken again by the
same thread, so that a signal handler may fork or look at a lock at any time.
"""


class PidfileLock:
    """
    An `OwnerLock` on a file in RUN_ROOT: for all processes of one machine.

    One object serves one thread at a time. A forked child holds nothing: its copies of
    the descriptors are closed at the fork, because an unlock there would drop the
    parent's lock, and keeping them would outlive it.
    """

    # There is one a chain, and there may be a thousand chains.
    __slots__ = (
        "_descriptor",
        "_head_size",
        "_idle",
        "_inode",
        "_is_mappable",
        "_marked",
        "_marked_at",
        "_page",
        "_proven_at",
        "_read",
        "_released",
        "_request",
        "_running",
        "_seen",
        "_seq",
        "chain",
        "interrupted",
        "kind",
        "path",
        "was_cut",
    )

    def __init__(self, root: Path, chain: Chain, kind: str = HOSTED) -> None:
        self.chain = chain
        self.kind = kind
        self.path = os.path.join(root, f"{chain.name}.pid")
        self.interrupted: OwnerRecord | None = None
        self.was_cut = False
        self._descriptor: int | None = None
        self._request: int | None = None
        self._inode: tuple[int, int] = (0, 0)
        self._proven_at = 0.0
        self._seq = 0
        self._read: tuple[bytes, OwnerRecord | None] | None = None
        self._seen: tuple[int, int, int] | None = None
        self._marked, self._marked_at = -1, 0.0
        self._page: syscalls.Page | None = None
        self._is_mappable = True
        self._head_size = 0
        width = tail_width(chain.paths)
        self._idle = encode_tail(width, released=False)
        self._released = encode_tail(width, released=True)
        self._running = tuple(
            run_tail(path, index, width) for index, path in enumerate(chain.paths)
        )

    @property
    def request_path(self) -> str:
        """What is locked by who asks the owner to yield."""
        return f"{self.path.removesuffix('.pid')}.takeover"

    # Owning.

    def acquire(self) -> bool:
        """
        Try to become the owner, without waiting. A standing-by heir goes first.

        Raises:
            UnusableRunRoot: RUN_ROOT or the pidfile cannot be used.
        """
        with _changing:
            if self._descriptor is not None:
                if self.is_held():
                    return True
                self.release()
            if self._request is None and self.is_wanted():
                return False
            descriptor = lockfiles.lock(self.path)
            if descriptor is None:
                return False
            try:
                self._take(descriptor)
            except BaseException as exc:
                os.close(descriptor)
                if isinstance(exc, OSError):
                    raise lockfiles.unusable(self.path, exc) from None
                raise
            return True

    def _take(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        old = parse_record(os.pread(descriptor, READ_SIZE, 0))
        record = OwnerRecord(
            owner=processes.this_process(self.kind),
            seq=1 if old is None else old.seq % MAX_SEQ + 1,
            since=time.time(),
            functions=self.chain.paths,
        )
        self.interrupted = self._unfinished(old)
        self.was_cut = old is not None and not old.released
        head = encode_head(record)
        self._head_size = len(head)
        self._seq = record.seq
        # What was interrupted stays in the record until it is booked.
        block = head + self._tail(self.interrupted)
        # Whatever longer thing stood here becomes blanks, in the same write.
        os.pwrite(descriptor, block.ljust(min(found.st_size, READ_SIZE)), 0)
        lockfiles.blank(descriptor, READ_SIZE, found.st_size)
        self._inode = (found.st_dev, found.st_ino)
        self._marked = -1
        self._proven_at = time.monotonic()
        self._descriptor = descriptor
        _open_locks.add(self)

    def _unfinished(self, old: OwnerRecord | None) -> OwnerRecord | None:
        if old is None or old.run is None or old.run.task not in self.chain.paths:
            return None
        is_of_its_owner = old.run.since >= old.since >= _loaded_at
        if is_of_its_owner and old.owner == processes.this_process(old.owner.kind):
            # This process lives, so it could not write that its run had ended.
            return None
        return old

    def _tail(self, interrupted: OwnerRecord | None) -> bytes:
        if interrupted is None or interrupted.run is None:
            return self._idle
        mark = interrupted.run
        return self._running[self.chain.index_of(mark.task, mark.index)] % mark.since

    def release(self) -> None:
        """Say in the record that it is over, and let go. Harmless when not held."""
        with _changing:
            descriptor, self._descriptor = self._descriptor, None
            page, self._page = self._page, None
            self._note_closed()
            tail = self._released
            if self.interrupted is not None:
                tail = self._tail(self.interrupted).replace(b"false", b"true ", 1)
            if page is not None:
                # Where the descriptor is not ours any more there is no other way.
                page.write(tail, self._head_size, now=True)
                page.close()
            if descriptor is None or not self._is_ours(descriptor):
                return
            try:
                # Again, so that who stands by sees a change of the file.
                with contextlib.suppress(OSError):
                    os.pwrite(descriptor, tail, self._head_size)
            finally:
                # Closed, never unlocked: a copy that a child still has must not matter.
                os.close(descriptor)

    def is_held(self) -> bool:
        """Say whether the path still names the inode that is locked here."""
        descriptor = self._descriptor
        if descriptor is None:
            return False
        if not syscalls.names(self.path, *self._inode, crowded=_is_crowded()):
            return False
        # What is mapped keeps the lock, whatever becomes of the descriptor.
        return self._page is not None or self._is_proven(descriptor)

    def _is_proven(self, descriptor: int) -> bool:
        """Say whether the descriptor is ours, or was a moment ago."""
        now = time.monotonic()
        if now - self._proven_at >= PROOF_AGE:
            if not self._is_ours(descriptor):
                return False
            self._proven_at = now
        return True

    def _is_ours(self, descriptor: int) -> bool:
        """Say whether nobody has closed the descriptor, and used its number again."""
        return syscalls.is_open(descriptor, *self._inode, crowded=_is_crowded())

    def begin(self, index: int) -> None:
        """Write into the record that this task is being run."""
        now = time.time()
        if 0 <= now - self._marked_at < MARK_AGE:
            if index == self._marked:
                # Run again without a pause: what is written is true, at no cost.
                return
            if self._page is None and self._is_mappable and _is_crowded():
                self._map()
        self._marked, self._marked_at = index, now
        self._mark(self._running[index] % now)

    def end(self) -> None:
        """Write into the record that no task is being run."""
        self._marked = -1
        # What is wrong is told when the next run begins. Until then a kill is taken for
        # one in the run.
        with contextlib.suppress(OSError, LostOwnershipError):
            self._mark(self._idle)

    def _mark(self, tail: bytes) -> None:
        descriptor, page = self._descriptor, self._page
        if descriptor is None or (page and page.write(tail, self._head_size)):
            return
        crowded = _is_crowded()
        prove = self._is_proven if crowded else self._is_ours
        if not prove(descriptor):
            # By now it may be a file of somebody else. What is mapped is ours.
            if page is not None and page.write(tail, self._head_size, now=True):
                return
            raise LostOwnershipError
        syscalls.pwrite(descriptor, tail, self._head_size, crowded=crowded)

    def _map(self) -> None:
        """Have the marks written to memory from now on, where that is possible."""
        # Not at any price: a thousand chains would queue for it when they start.
        if not _changing.acquire(blocking=False):
            return
        try:
            descriptor = self._descriptor
            # If it is not, that is told when the mark is written.
            if descriptor is not None and self._is_ours(descriptor):
                size = self._head_size + len(self._idle)
                self._page = syscalls.Page(descriptor, size)
        except (OSError, MemoryError):
            self._is_mappable = False
        finally:
            _changing.release()

    # Others.

    def owner(self) -> OwnerRecord | None:
        """Return what the last owner wrote. It may be gone; None: nothing readable."""
        raw, known = self.read(), self._read
        if known is None or known[0] != raw:
            # In one step, and read once: several threads come here.
            known = self._read = raw, parse_record(raw)
        return known[1]

    def has_changed(self) -> bool:
        """Say whether the pidfile may have been written to since this was asked last.

        It takes a tenth of trying for the lock, which who stands by may do each second.
        """
        try:
            found = os.stat(self.path, follow_symlinks=False)
        except OSError:
            self._seen = None
            return True
        seen = (found.st_dev, found.st_ino, found.st_mtime_ns)
        if seen == self._seen:
            return False
        is_coarse = found.st_mtime_ns % 10**9 == 0
        age = COARSE_AGE if is_coarse else SETTLED_AGE
        is_settled = time.time() - found.st_mtime > age
        self._seen = seen if is_settled else None
        return True

    def read(self) -> bytes:
        """Return the bytes of the pidfile; empty when there is none."""
        return lockfiles.read(self.path, READ_SIZE)

    # Taking over.

    def request(self) -> bool:
        """Ask any owner to yield, until `withdraw`. False: another process asks."""
        with _changing:
            if self._request is not None and lockfiles.names_it(
                self.request_path, self._request
            ):
                return True
            self.withdraw()
            self._request = lockfiles.lock(self.request_path)
            if self._request is None:
                return False
            _open_locks.add(self)
            return True

    def sign(self, record: OwnerRecord | None) -> bool:
        """
        Say in the request that this process signals that owner; None: no one.

        Returns:
            False when that could not be written: the signal would count as anybody's.
        """
        line = b""
        if record is not None:
            # Each time another one: the same process may ask twice.
            line = _address(record.seq, record.owner) + (
                f"{os.getpid()} {os.urandom(8).hex()}".encode()
            )
        if self._request is None:
            return False
        try:
            os.pwrite(self._request, line.ljust(SIGNED_SIZE - 1) + b"\n", 0)
        except OSError:
            return False
        return True

    def signed(self) -> bytes:
        """Return what the last candidate that signalled this owner has signed with."""
        if not self._seq:
            return b""
        address = _address(self._seq, processes.this_process(self.kind))
        line = lockfiles.read(self.request_path, SIGNED_SIZE)
        return line if line.startswith(address) else b""

    def withdraw(self) -> None:
        """Ask no longer."""
        with _changing:
            descriptor, self._request = self._request, None
            self._note_closed()
            if descriptor is not None:
                os.close(descriptor)

    def _note_closed(self) -> None:
        if self._descriptor is None and self._request is None:
            _open_locks.discard(self)

    def is_wanted(self) -> bool:
        """Say whether a process asks the owner to yield."""
        if _is_crowded() and not syscalls.may_exist(self.request_path):
            return False
        with _changing:
            try:
                descriptor = os.open(self.request_path, lockfiles.READING)
            except OSError:
                return False
            try:
                # A shared lock: probes never keep each other, or a candidate, out for
                # longer than this moment.
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError as exc:
                return exc.errno in lockfiles.BUSY
            finally:
                os.close(descriptor)
        return False

    def forget(self) -> None:
        """Close the copies that a forked child got."""
        for descriptor in (self._descriptor, self._request):
            if descriptor is not None:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        self._descriptor = self._request = self._page = None


def _address(seq: int, owner: Identity) -> bytes:
    return f"{seq} {owner.pid} {owner.start} ".encode()


_open_locks: set[PidfileLock] = set()


def _is_crowded() -> bool:
    return len(_open_locks) >= syscalls.CROWD


def _forget_all() -> None:
    global _changing
    _changing = threading.RLock()
    for lock in _open_locks:
        lock.forget()
    _open_locks.clear()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(
        before=lambda: _changing.acquire(),
        after_in_parent=lambda: _changing.release(),
        after_in_child=_forget_all,
    )
