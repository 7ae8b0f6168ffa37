"""
Ownership of a chain by a lock that the kernel keeps, and a record beside it.

The lock on ``RUN_ROOT/<chain>.pid`` is the only evidence of ownership. The kernel
drops it with the process, so there is no clock, no lease and no stale state. The file
is never deleted, renamed or truncated: a lock on an inode that has lost its name would
keep nobody out. A process that wants the chain locks ``<chain>.takeover``.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from yourlabs.runner.chain.task import Chain
from yourlabs.runner.forks import renew_in_child
from yourlabs.runner.ownership import files, process
from yourlabs.runner.ownership.base import Clock
from yourlabs.runner.ownership.descriptors import close_ours, inode_of
from yourlabs.runner.ownership.record import (
    BLOCK,
    HOSTED,
    MAX_TASK,
    MAX_TOKEN,
    Identity,
    OwnerRecord,
    RunMark,
    describe_owner,
    encode_block,
    encode_head,
    fit,
    parse_record,
)
from yourlabs.runner.ownership.request import RequestTimeout, TakeoverFile

CHECK_EVERY_S = 0.1  # how old the last look at the pidfile may be
MARK_EVERY_S = 1.0  # how old the mark of a task that runs without a pause may be
TOUCH_EVERY_S = 10.0  # how often an owner touches its record, as a sign of life
SILENCE_S = 60.0  # how long an owner may show no sign of life before it is reported


class PidfileOwnership:
    """
    An `Ownership` by files in RUN_ROOT, for all processes of one machine.

    May be used from any thread. A forked child has a copy with which it can become the
    owner itself; what the parent owns or asks for is not the child's.
    """

    def __init__(
        self,
        root: Path,
        chain: Chain,
        kind: str = HOSTED,
        *,
        clock: Clock = time,
        last_token: Callable[[str], int] = lambda path: 0,
    ) -> None:
        """
        Touch nothing yet.

        `last_token` returns the last token that is known beside a lost pidfile, which
        it is given the path of.
        """
        self.chain = chain
        self.kind = kind
        self.borrows = False
        self.path = os.path.join(root, f"{chain.name}.pid")
        self._clock = clock
        self._last_token = last_token
        self._requests_of_others = RequestTimeout()
        self._takeover = TakeoverFile(os.path.join(root, f"{chain.name}.takeover"))
        self._seen: tuple[int, int] | None = None
        self._seen_at = 0.0

    def acquire(self) -> PidfileClaim | None:
        is_first = self._takeover.is_first()
        descriptor = files.lock(self.path)
        if descriptor is None:
            if is_first:
                self._ask()
            return None
        claim = None
        try:
            # With the lock only is it certain that the chain is free.
            if is_first or not self._is_left_to_another():
                claim = PidfileClaim(self, descriptor)
        except OSError as exc:
            raise files.unusable(self.path, exc) from None
        finally:
            if claim is None:
                close_ours(descriptor)
        return claim

    def _is_left_to_another(self) -> bool:
        request = self._takeover.read()
        now = self._clock.monotonic()
        wanted = request.id if request else None
        return self._requests_of_others.keeps_free_for(wanted, now)

    def _ask(self) -> None:
        record = self.owner()
        token = 0 if record is None else record.seq
        self._takeover.ask(token, process.this_process(self.kind))

    def withdraw(self) -> None:
        """Do nothing: what was not acquired is not kept either."""

    def owner(self) -> OwnerRecord | None:
        return parse_record(self.read())

    def read(self) -> bytes:
        """Return the content of the pidfile; empty when there is none."""
        return files.read(self.path, BLOCK)

    @contextmanager
    def request(self) -> Iterator[None]:
        with self._takeover.wanted():
            if self._takeover.is_first():
                self._ask()
            yield

    def wanted_by(self) -> str | None:
        """Return the id of another one's request, unless it counts no more."""
        request = self._takeover.read()
        wanted = request.id if request else None
        return self._requests_of_others.unless_spent(wanted)

    def candidate(self) -> Identity | None:
        if self._takeover.is_held():
            return process.this_process(self.kind)
        request = self._takeover.read()
        return request.candidate if request else None

    def lives(self, record: OwnerRecord | None) -> bool:
        if record is None or record.released:
            return False
        if process.is_here(record.owner):
            return process.is_alive(record.owner)
        # In another container its pid means nothing here, but it touches its record.
        seen_at = self.seen_at()
        return seen_at is not None and self._clock.time() - seen_at < SILENCE_S

    def seen_at(self) -> float | None:
        try:
            return os.stat(self.path, follow_symlinks=False).st_mtime
        except OSError:
            return None

    def death_fd(self) -> int | None:
        record = self.owner()
        if record is None or record.released or record.owner.pid == os.getpid():
            return None
        return process.pidfd_of(record.owner)

    def no_sign_of_life(self) -> str | None:
        try:
            found = os.stat(self.path, follow_symlinks=False)
        except OSError:
            self._seen = None
            return None
        now, seen = self._clock.monotonic(), (found.st_ino, found.st_mtime_ns)
        if seen != self._seen:
            self._seen, self._seen_at = seen, now
        silent = now - self._seen_at
        return self._diagnosis(silent) if silent >= SILENCE_S else None

    def _diagnosis(self, silent: float) -> str:
        record, holders = self.owner(), process.holders(self.path)
        owner = describe_owner(record, self._clock.time())
        held = " and ".join(f"process {pid}" for pid in holders) or "an unseen process"
        if record is None or record.released:
            return f"The lock on {self.path} is held by {held}, which says nothing."
        if record.owner.pid in holders or not process.is_here(record.owner):
            return (
                f"The owner, {owner}, has shown no sign of life for {silent:.0f} "
                "seconds: it is frozen, or cannot write to RUN_ROOT."
            )
        state = "has let go" if process.is_alive(record.owner) else "is gone"
        return (
            f"The owner, {owner}, {state}, but its lock is still held by {held}: most "
            "likely a child that it forked. The chain runs again when that has ended."
        )


class PidfileClaim:
    """A `Claim` on a pidfile: the lock is held until `release`, or the process ends."""

    lost_because = "The pidfile was removed or replaced."

    def __init__(self, ownership: PidfileOwnership, descriptor: int) -> None:
        """Write into the record who owns the chain now."""
        self._ownership = ownership
        self._clock = ownership._clock
        self._path = ownership.path
        self._descriptor = descriptor
        self._inode = inode_of(descriptor)
        self._pid = os.getpid()
        self._is_lost = False
        self._checked_at = self._touched_at = self._clock.monotonic()
        old = parse_record(os.pread(descriptor, BLOCK, 0))
        known = ownership._last_token(self._path) if old is None else old.seq
        self.token = known % MAX_TOKEN + 1
        self.was_cut = old is not None and not old.released
        self.interrupted = _interrupted(self._path, old, ownership.chain)
        # What was interrupted stays in the record until the first mark.
        self._unbooked = None if self.interrupted is None else self.interrupted.run
        self._marked: RunMark | None = None
        self._head = encode_head(
            OwnerRecord(
                owner=process.this_process(ownership.kind),
                seq=self.token,
                since=self._clock.time(),
                functions=ownership.chain.paths,
                borrows=ownership.borrows,
            )
        )
        files.write(descriptor, encode_block(self._head, self._unbooked))
        _written[self._path] = self.token

    def rewrite(self, record: OwnerRecord) -> None:
        """Replace the record: with a lease, this lock alone does not decide."""
        self._head = encode_head(record)
        self.token = _written[self._path] = record.seq
        run = record.run or self._unbooked
        block = encode_block(self._head, run, released=record.released)
        if self._is_ours():
            with contextlib.suppress(OSError):
                files.write(self._descriptor, block)

    def check(self) -> bool:
        if self._is_lost or os.getpid() != self._pid:
            return False
        now = self._clock.monotonic()
        if now - self._checked_at < CHECK_EVERY_S:
            return True
        if not (self._is_ours() and inode_of(self._path) == self._inode):
            self._is_lost = True
            return False
        self._checked_at = now
        if now - self._touched_at >= TOUCH_EVERY_S:
            self._touched_at = now
            with contextlib.suppress(OSError):
                os.utime(self._descriptor)
        return True

    def _is_ours(self) -> bool:
        """Return whether nobody has closed the descriptor, or reused its number."""
        return self._pid == os.getpid() and inode_of(self._descriptor) == self._inode

    def wanted_by(self) -> str | None:
        return self._ownership.wanted_by()

    def mark(self, run: RunMark | None) -> None:
        if run is not None and self._is_noted(run):
            return
        self._unbooked = None
        if not self._is_ours():
            self._is_lost = True
            return
        try:
            files.write(self._descriptor, encode_block(self._head, run))
            self._marked = run
        except OSError:
            self._marked = None
            # Until the next mark, a kill counts as one inside this run.
            if run is not None:
                raise

    def _is_noted(self, run: RunMark) -> bool:
        """Return whether the record is still true: the task runs without a pause."""
        known = self._marked
        return (
            known is not None
            and 0 <= run.since - known.since < MARK_EVERY_S
            and known.position == run.position
            and known.task == run.task
        )

    def release(self) -> None:
        descriptor, is_ours = self._descriptor, self._is_ours()
        self._is_lost = True
        self._descriptor = -1
        if not is_ours:
            return
        try:
            block = encode_block(self._head, self._unbooked, released=True)
            with contextlib.suppress(OSError):
                files.write(descriptor, block)
        finally:
            close_ours(descriptor)


_written: dict[str, int] = {}  # the tokens that this process wrote last, by pidfile

renew_in_child("ownership", _written.clear)


def _interrupted(
    path: str, old: OwnerRecord | None, chain: Chain
) -> OwnerRecord | None:
    """Return `old` if its owner died inside a run of a function of `chain`."""
    if old is None or old.run is None:
        return None
    if old.seq == _written.get(path) and not old.released:
        # This process lost the lock during the run but lives: nothing was interrupted.
        return None
    for task in chain.paths:
        if fit(task, MAX_TASK) == old.run.task:
            return replace(old, run=old.run._replace(task=task))
    return None
