"""
One thread for each process that executes every statement on the rows of its chains.

A database that hangs holds up this thread alone: whoever asks it for something waits a
bounded time, or not at all.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import uuid
from dataclasses import replace
from typing import Any

from django.db import connections

from yourlabs.runner.cluster import rows
from yourlabs.runner.cluster.connection import open_connection, pass_over_locks
from yourlabs.runner.cluster.lease import Lease, boottime
from yourlabs.runner.cluster.rules import (
    RENEW_EVERY_S,
    RETRY_S,
    SILENCE_S,
    TIMEOUT_S,
    Row,
    may_take,
    next_look,
)
from yourlabs.runner.forks import renew_in_child
from yourlabs.runner.log import logger
from yourlabs.runner.ownership.record import RunMark


class Keeper:
    """Takes, renews, writes and releases `Lease` objects. Its thread runs on demand."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._leases: list[Lease] = []
        self._thread: threading.Thread | None = None
        self._alias = ""
        self._renew_at = self._look_at = 0.0
        self._failed_at: float | None = None
        self._error = ""
        self._tokens: dict[str, int] = {}
        self._pipe: tuple[int, int] | None = None

    # For all threads.

    def add(self, lease: Lease) -> None:
        """
        Try to take the lease from now on.

        Raises:
            RuntimeError: No thread can be started.
        """
        with self._changed:
            self._leases.append(lease)
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(
                    target=self._run, name="runner-leases", daemon=True
                )
                thread.start()
                self._thread = thread
        self.look_soon()

    def look_soon(self) -> None:
        """Read the rows now, not with the next regular look."""
        with self._changed:
            self._look_at = 0.0
            self._changed.notify()

    def mark(self, lease: Lease, run: RunMark | None) -> None:
        """Write soon which run is going on."""
        with self._changed:
            lease.run = run
            # Its text is made when it is written: of many marks the last one counts.
            lease.pending["record"] = ""
            self._changed.notify()

    def save(self, lease: Lease, document: str) -> None:
        """Write the document; wait for that, unless the database is away."""
        lease.document = document
        self._write_now(lease, {"document": document}, is_last=False)

    def release(self, lease: Lease) -> None:
        """Give it up, whether it is held or not; wait as `save` does."""
        values = {"record": "", "lease_until": rows.Clock()}
        self._write_now(lease, values, is_last=True)

    def _write_now(
        self, lease: Lease, values: dict[str, Any], *, is_last: bool
    ) -> None:
        with self._changed:
            lease.pending.update(values)
            lease.is_released = lease.is_released or is_last
            lease.written.clear()
            self._changed.notify()
        if self._failed_at is None and threading.current_thread() is not self._thread:
            lease.written.wait(TIMEOUT_S)

    def known(self, name: str) -> Lease | None:
        """Return the lease of a chain that this process holds or wants."""
        with self._changed:
            known = [one for one in self._leases if one.name == name]
        return next((one for one in known if not one.is_released), None)

    def problem(self, patience: float = SILENCE_S) -> str | None:
        """Say why the database has failed for `patience` seconds. None: it has not."""
        failed_at = self._failed_at
        if failed_at is None or boottime() - failed_at < patience:
            return None
        return (
            f"The database {rows.alias()!r}, in which the leases of chains are, cannot "
            f"be used: {self._error} No machine runs the chain without it."
        )

    def taken_fd(self, lease: Lease) -> int:
        """Return a descriptor that is readable once it may be held; to be closed."""
        with self._changed:
            if self._pipe is None:
                self._pipe = os.pipe()
            descriptor = os.dup(self._pipe[0])
        if lease.holder:
            # It was taken a moment ago.
            self._close_pipe()
        return descriptor

    def _close_pipe(self) -> None:
        with self._changed:
            descriptors, self._pipe = self._pipe or (), None
        # Without its other end, each copy of the one that is waited for is readable.
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def restart_in_child(self) -> None:
        """Begin anew in a forked child: what the parent holds is not the child's."""
        self._changed = threading.Condition()
        self._close_pipe()
        self.__init__()  # type: ignore[misc]

    # For its own thread.

    def _run(self) -> None:
        while self._is_needed():
            try:
                self._work()
            except Exception as exc:
                self._fail(exc)
            with contextlib.suppress(Exception):
                self._sleep()
        self._disconnect()

    def _is_needed(self) -> bool:
        with self._changed:
            for lease in [one for one in self._leases if one.is_over()]:
                self._leases.remove(lease)
                lease.written.set()
            if not self._leases:
                self._thread = None
            return bool(self._leases)

    def _work(self) -> None:
        self._connect()
        if self._must_renew():
            self._renew_all()
        for lease in self._all():
            if lease.is_ours and boottime() >= lease.write_at():
                with pass_over_locks():
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
            self._disconnect()
            # For this thread alone.
            connections[alias] = open_connection(alias)
            self._alias = alias

    def _disconnect(self) -> None:
        alias, self._alias = self._alias, ""
        if alias:
            with contextlib.suppress(Exception):
                connections[alias].close()
            del connections[alias]

    def _fail(self, exc: Exception) -> None:
        # Whatever it was: with a new connection there is nothing left of it.
        self._disconnect()
        self._error = " ".join(f"{type(exc).__name__}: {exc}".split())[:500]
        if self._failed_at is None:
            self._failed_at = boottime()
            logger.warning(
                "The leases of chains cannot be renewed now, and no run begins %g "
                "seconds after the last renewal: %s",
                SILENCE_S,
                self._error,
                extra={"action": "leases_failed"},
            )
        for lease in self._all():
            lease.looked.set()
            lease.written.set()
            # That its row is locked is not what is wrong now.
            lease.locked_at = None

    def _all(self) -> list[Lease]:
        with self._changed:
            return list(self._leases)

    def _must_renew(self) -> bool:
        return boottime() >= self._renew_at and bool(self._renewable())

    def _renewable(self) -> list[Lease]:
        return [one for one in self._all() if one.is_ours and not one.is_released]

    def _renew_all(self) -> None:
        leases, now = self._renewable(), boottime()
        with pass_over_locks():
            if self._renew(leases):
                self._renew_at = now + RENEW_EVERY_S
                return
        # One row names another holder, or is locked by a session that is not ours.
        for lease in leases:
            with pass_over_locks():
                lease.is_lost = not self._renew([lease])
        self._renew_at = boottime() + RETRY_S

    def _renew(self, leases: list[Lease]) -> bool:
        """Renew all of them in one statement; say whether all are ours still."""
        sent = boottime()
        count = rows.renew({lease.name: lease.holder for lease in leases})
        if count < len(leases):
            return False
        for lease in leases:
            lease.until = sent + SILENCE_S
        return True

    def _write(self, lease: Lease) -> None:
        with self._changed:
            values, lease.pending = lease.pending, {}
            if "record" in values:
                values["record"] = lease.encoded_record()
        try:
            lease.is_lost = not rows.write(lease.name, lease.holder, **values)
        except Exception:
            with self._changed:
                lease.pending = {**values, **lease.pending}
            raise
        lease.written_at = boottime()
        with self._changed:
            if not lease.pending:
                lease.written.set()

    def _look(self) -> None:
        with self._changed:
            leases = [one for one in self._leases if not one.is_released]
            # Whoever calls `look_soon` from now on wants another look.
            self._look_at = boottime() + RETRY_S
        names = {lease.name for lease in leases}
        found = rows.look(names)
        if len(found) < len(names):
            rows.make(names - set(found))
            found = rows.look(names)
        for lease in leases:
            lease.row = row = found[lease.name]
            if not lease.holder:
                lease.locked_at = lease.locked_at or boottime()
                with pass_over_locks():
                    self._take_or_ask(lease, row)
                    lease.locked_at = None
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

    def _take_or_ask(self, lease: Lease, row: Row) -> None:
        if may_take(row, lease.root, lease.request):
            self._take(lease, row)
        elif lease.request and row.request() in (None, lease.request):
            rows.ask(lease.name, lease.request)

    def _take(self, lease: Lease, row: Row) -> None:
        # Of a database that lost what it had committed, this process may know more.
        token = max(row.token, self._tokens.get(lease.name, 0)) + 1
        lease.record = replace(lease.record, seq=token, since=time.time())
        # What was interrupted stays in the record until the first mark.
        lease.run = None if row.record is None else row.record.run
        holder, sent = uuid.uuid4().hex, boottime()
        text = lease.encoded_record()
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
        self._close_pipe()

    def _sleep(self) -> None:
        with self._changed:
            moments = [self._look_at]
            for lease in self._leases:
                if lease.is_over():
                    moments.append(0.0)
                elif lease.is_ours:
                    moments += [self._renew_at, lease.write_at()]
            if self._failed_at is not None:
                self._changed.wait(RETRY_S)
            elif (pause := min(moments) - boottime()) > 0:
                self._changed.wait(pause)


keeper = Keeper()
"""The one of this process."""

renew_in_child("ownership", keeper.restart_in_child)
