"""A lease of this process, and the clock that says for how long it may be relied on."""

from __future__ import annotations

import threading
import time
from typing import Any

from yourlabs.runner.cluster.rules import MARK_EVERY_S, Row
from yourlabs.runner.ownership.record import (
    OwnerRecord,
    RunMark,
    encode_block,
    encode_head,
)


def boottime() -> float:
    """Return seconds since boot, including those in which the machine was suspended."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Lease:
    """
    A lease that this process wants or holds, while it has the file lock of the chain.

    The keeper's thread changes it; the threads of the chain read it.

    Attributes:
        name: Of the chain.
        root: Identifies the RUN_ROOT that the file lock is in.
        record: What the row will say of this process as the holder.
        request: The id with which this process asks for it. None: it does not ask.
        row: What the last look found. None: there was none yet.
        before: The row as it was when the lease was taken.
        holder: The random name of this ownership. Empty: it is not held.
        until: When no run may begin any more, by `boottime`.
        locked_at: Since when its row could not be taken: another session locks it.
        is_lost: Another process has taken it.
        is_released: It is to be given up.
        document: What was saved last, as JSON.
        run: The run that is going on.
        pending: The columns that are still to be written.
        looked: Set after a look, or a failed one.
        written: Set when nothing is pending any more, or the database has failed.
    """

    def __init__(self, name: str, root: str, record: OwnerRecord) -> None:
        self.name, self.root, self.record = name, root, record
        self.request: str | None = None
        self.row: Row | None = None
        self.before: Row | None = None
        self.holder = ""
        self.until = self.written_at = 0.0
        self.locked_at: float | None = None
        self.is_lost = self.is_released = False
        self.document = "{}"
        self.run: RunMark | None = None
        self.pending: dict[str, Any] = {}
        self.looked, self.written = threading.Event(), threading.Event()

    @property
    def is_ours(self) -> bool:
        """The row names this process as the holder, as far as is known."""
        return bool(self.holder) and not self.is_lost

    def is_held(self) -> bool:
        """Say whether a run may begin now."""
        return self.is_ours and boottime() < self.until

    def is_over(self) -> bool:
        """Say whether it was given up, and nothing is left to write."""
        return self.is_released and not (self.is_ours and self.pending)

    def write_at(self) -> float:
        """Return when to write what is pending: marks of runs wait for each other."""
        if not self.pending:
            return float("inf")
        return self.written_at + MARK_EVERY_S if {*self.pending} == {"record"} else 0.0

    def encoded_record(self) -> str:
        """Return what the row is to say of the holder."""
        head = encode_head(self.record)
        block = encode_block(head, self.run, released=self.is_released)
        return block.decode().rstrip()
