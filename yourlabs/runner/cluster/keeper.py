"""
One thread a process that does all that touches the rows of its chains.

A database that hangs holds up this thread alone: whoever asks it for something waits a
bounded time, or not at all.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from django.db import connections

from yourlabs.runner.cluster import rows
from yourlabs.runner.cluster.connection import open_connection
from yourlabs.runner.cluster.lease import (
    MARK_EVERY_S,
    RENEW_EVERY_S,
    RETRY_S,
    SILENCE_S,
    TIMEOUT_S,
    Row,
    may_ask,
    may_take,
    next_look,
)
from yourlabs.runner.forks import renew_in_child
from yourlabs.runner.log import logger
from yourlabs.runner.ownership.record import (
    OwnerRecord,
    RunMark,
    encode_block,
    encode_head,
)


def boottime() -> float:
    """Return seconds since boot, those in which the machine was suspended, too."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Lease:
    """
    A lease that this process wants or holds, for as long as it has the file lock.

    It is changed by the keeper's thread; the claim's threads read it.

    Attributes:
        name: Of the chain.
        root: Identifies the RUN_ROOT that the file lock is in.
        record: What is written of the holder.
        request: The id with which this process asks for it. None: it does not ask.
        row: What the last look found. None: there was none yet.
        before: The row as it was when the lease was taken.
        holder: The random name of this ownership. Empty: it is not held.
        until: When no run may begin any more, by `boottime`.
        is_lost: Another one has taken it.
        document: What was saved last, as JSON.
        run: The run that is noted.
        pending: What is to be written into the row.
        is_released: It is to be let go of.
        looked: Set when there was a look; `written` when nothing is left to write.
    """

    def __init__(self, name: str, root: str, record: OwnerRecord) -> None:
        self.name, self.root, self.record = name, root, record
        self.request: str | None = None
        self.row: Row | None = None
        self.before: Row | None = None
        self.holder = ""
        self.until = 0.0
        self.is_lost = self.is_released = False
        self.document = "{}"
        self.run: RunMark | None = None
        self.pending: dict[str, Any] = {}
        self.marked_at = 0.0
        self.looked, self.written = threading.Event(), threading.Event()

    def is_held(self) -> bool:
        """Say whether a run may begin now."""
        return bool(self.holder) and not self.is_lost and boottime() < self.until

    def text(self) -> str:
        """Return what the row is to say of the holder."""
        head = encode_head(self.record)
        block = encode_block(head, self.run, released=self.is_released)
        return block.decode().rstrip()


class Keeper:
    """Takes, renews, writes and releases `Lease` objects. Its thread runs on demand."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._leases: list[Lease] = []
        self._thread: threading.Thread | None = None
        self._alias = ""
        self._renewed_at = self._look_at = 0.0
        self._failed_at: float | None = None
        self._problem = ""
        self._tokens: dict[str, int] = {}
        self._waker: tuple[int, int] | None = None

    # For everybody.

    def add(self, lease: Lease) -> None:
        """
        Try to get the lease from now on.

        Raises:
            RuntimeError: No thread is to be had.
        """
        with self._changed:
            self._leases.append(lease)
            self._look_at = 0.0
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(
                    target=self._run, name="runner-leases", daemon=True
                )
                thread.start()
                self._thread = thread
            self._changed.notify()

    def hurry(self) -> None:
        """Look soon."""
        with self._changed:
            self._look_at = 0.0
            self._changed.notify()

    def mark(self, lease: Lease, run: RunMark | None) -> None:
        """Have it noted soon which run goes on."""
        with self._changed:
            lease.run = run
            # Its text is made when it is written: of many marks the last one counts.
            lease.pending["record"] = ""
            self._changed.notify()

    def save(self, lease: Lease, document: str) -> None:
        """Have the document written; wait for it, unless the database is away."""
        with self._changed:
            lease.document = lease.pending["document"] = document
            lease.written.clear()
            self._changed.notify()
        self._wait(lease)

    def release(self, lease: Lease) -> None:
        """Let go of it, whether it is held or not; wait as `save` does."""
        with self._changed:
            lease.is_released = True
            lease.pending.update(record="", lease_until=rows.Clock())
            lease.written.clear()
            self._changed.notify()
        self._wait(lease)

    def _wait(self, lease: Lease) -> None:
        if self._failed_at is None and threading.current_thread() is not self._thread:
            lease.written.wait(TIMEOUT_S)

    def known(self, name: str) -> Lease | None:
        """Return the lease of a chain that this process holds or wants."""
        with self._changed:
            known = [one for one in self._leases if one.name == name]
        return next((one for one in known if not one.is_released), None)

    def problem(self, patience: float = SILENCE_S) -> str | None:
        """Say why the database has been of no use for so many seconds. None: it is."""
        failed_at = self._failed_at
        if failed_at is None or boottime() - failed_at < patience:
            return None
        return (
            f"The database {rows.alias()!r}, in which the leases of chains are, cannot "
            f"be used: {self._problem} No machine runs the chain without it."
        )

    def waker(self, lease: Lease) -> int:
        """Return a descriptor that is readable when it may be held; to be closed."""
        with self._changed:
            if self._waker is None:
                self._waker = os.pipe()
            descriptor = os.dup(self._waker[0])
        if lease.holder:
            # It was got a moment ago.
            self._wake()
        return descriptor

    def _wake(self) -> None:
        with self._changed:
            descriptors, self._waker = self._waker or (), None
        # With its other end, every copy of the one that is waited for is readable.
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def renew(self) -> None:
        """Begin anew in a forked child: what the parent holds is not the child's."""
        self._changed = threading.Condition()
        self._wake()
        self.__init__()  # type: ignore[misc]

    # The thread.

    def _run(self) -> None:
        while self._is_needed():
            try:
                self._work()
            except Exception as exc:
                self._fail(exc)
            with contextlib.suppress(Exception):
                self._sleep()
        self._close()

    def _is_needed(self) -> bool:
        with self._changed:
            for lease in [one for one in self._leases if self._is_over(one)]:
                self._leases.remove(lease)
                lease.written.set()
            if not self._leases:
                self._thread = None
            return bool(self._leases)

    def _is_over(self, lease: Lease) -> bool:
        is_written = not lease.holder or lease.is_lost or not lease.pending
        return lease.is_released and is_written

    def _work(self) -> None:
        self._connect()
        held = [one for one in self._leases if one.holder and not one.is_lost]
        if self._must_renew():
            self._renew()
        for lease in held:
            self._write(lease)
            # Of many leases the renewal goes first, or they would end meanwhile.
            if self._must_renew():
                return
        if boottime() >= self._look_at:
            self._look()
        if self._failed_at is not None:
            self._failed_at = None
            logger.info(
                "The database of the leases can be used again.",
                extra={"action": "leases_renewed"},
            )

    def _connect(self) -> None:
        alias = rows.alias()
        if self._alias != alias:
            self._close()
            own = open_connection(alias)
            # For this thread alone.
            connections[alias] = own
            self._alias = alias

    def _close(self) -> None:
        alias, self._alias = self._alias, ""
        if alias:
            with contextlib.suppress(Exception):
                connections[alias].close()
            del connections[alias]

    def _fail(self, exc: Exception) -> None:
        # Whatever it was: with a new connection there is nothing left of it.
        self._close()
        self._problem = " ".join(f"{type(exc).__name__}: {exc}".split())[:500]
        if self._failed_at is None:
            self._failed_at = boottime()
            logger.warning(
                "The leases of chains cannot be renewed now, and no run begins %g "
                "seconds after the last renewal: %s",
                SILENCE_S,
                self._problem,
                extra={"action": "leases_failed"},
            )
        with self._changed:
            for lease in self._leases:
                lease.looked.set()
                lease.written.set()

    def _kept(self) -> list[Lease]:
        with self._changed:
            leases = list(self._leases)
        return [
            one for one in leases if one.holder and not (one.is_lost or one.is_released)
        ]

    def _must_renew(self) -> bool:
        return boottime() >= self._renewed_at + RENEW_EVERY_S and bool(self._kept())

    def _renew(self) -> None:
        held, sent = self._kept(), boottime()
        count = rows.renew({lease.name: lease.holder for lease in held})
        if count < len(held):
            # Some are another one's: the look tells which, and the rest is renewed.
            self._look()
            return
        self._renewed_at = sent
        for lease in held:
            lease.until = sent + SILENCE_S

    def _write(self, lease: Lease) -> None:
        with self._changed:
            values = dict(lease.pending)
            if set(values) == {"record"} and not self._may_mark(lease):
                return
            lease.pending.clear()
            if "record" in values:
                values["record"] = lease.text()
        if not values:
            return
        try:
            lease.is_lost = not rows.write(lease.name, lease.holder, **values)
        except Exception:
            with self._changed:
                lease.pending = {**values, **lease.pending}
            raise
        lease.marked_at = boottime()
        with self._changed:
            if not lease.pending:
                lease.written.set()

    def _may_mark(self, lease: Lease) -> bool:
        return boottime() >= lease.marked_at + MARK_EVERY_S

    def _look(self) -> None:
        with self._changed:
            leases = [one for one in self._leases if not one.is_released]
            # Whoever hurries from now on wants another look.
            self._look_at = boottime() + RETRY_S
        names = {lease.name for lease in leases}
        found = rows.look(names)
        if len(found) < len(names):
            rows.make(names - set(found))
            found = rows.look(names)
        for lease in leases:
            lease.row = row = found[lease.name]
            if not lease.holder:
                self._try(lease, row)
            elif row.holder != lease.holder:
                lease.is_lost = True
            lease.looked.set()
            if self._must_renew():
                self._look_at = 0.0
                break
        waiting = [one for one in leases if not one.holder]
        lefts = [one.row.left for one in waiting if one.row is not None]
        asks = any(one.request for one in waiting)
        with self._changed:
            if self._look_at:
                self._look_at = next_look(boottime(), lefts, asks=asks)

    def _try(self, lease: Lease, row: Row) -> None:
        """Take what is free, or ask who has it."""
        if may_take(row, lease.root, lease.request):
            self._take(lease, row)
        elif lease.request is not None and may_ask(row, lease.request):
            rows.ask(lease.name, lease.request)

    def _take(self, lease: Lease, row: Row) -> None:
        # Of a database that lost what it had committed, this process may know more.
        token = max(row.token, self._tokens.get(lease.name, 0)) + 1
        lease.record = replace(lease.record, seq=token, since=time.time())
        # What was interrupted stays in the record until the first mark.
        lease.run = None if row.record is None else row.record.run
        holder, sent = uuid.uuid4().hex, boottime()
        text = lease.text()
        new = {"holder": holder, "token": token, "record": text}
        if not rows.take(lease.name, row, lease.root, lease.request, **new):
            return
        if lease.before is None:
            # Not what this process wrote when the rest failed the last time.
            lease.before = row
        # Only now: until then the holder before may have written.
        lease.document = rows.read(lease.name, "document") or "{}"
        self._tokens[lease.name] = token
        lease.until = sent + SILENCE_S
        lease.holder = holder
        self._wake()

    def _sleep(self) -> None:
        with self._changed:
            now = boottime()
            moments = [self._look_at]
            for lease in self._leases:
                moments += self._moments(lease)
            pause = RETRY_S if self._failed_at is not None else min(moments) - now
            if pause > 0:
                self._changed.wait(pause)

    def _moments(self, lease: Lease) -> Iterator[float]:
        """Yield when something is to be done for a lease."""
        if self._is_over(lease):
            yield 0.0
        elif lease.holder and not lease.is_lost:
            yield self._renewed_at + RENEW_EVERY_S
            if lease.pending:
                is_mark = set(lease.pending) == {"record"}
                yield lease.marked_at + MARK_EVERY_S if is_mark else 0.0


keeper = Keeper()
"""The one of this process."""

renew_in_child("ownership", keeper.renew)
