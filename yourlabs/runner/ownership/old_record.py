"""The block of the pidfile as the implementation that is being replaced writes it."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import asdict

from yourlabs.runner.ownership.record import VERSION, OwnerRecord

SINCE_WIDTH = 15
READ_SIZE = 65_536


def encode_head(record: OwnerRecord) -> bytes:
    """Return the part of the record that stays as it is while the owner owns."""
    values = {
        "version": VERSION,
        **asdict(record.owner),
        "seq": record.seq,
        "since": round(record.since, 3),
        "functions": list(record.functions),
    }
    # The closing brace is left for the tail.
    return f"{record.owner.pid}\n{json.dumps(values)[:-1]}, ".encode()


@functools.lru_cache(maxsize=256)
def encode_tail(width: int, *, released: bool) -> bytes:
    """Return the end of a record while nothing is run, padded to `width` bytes."""
    tail = b'"released": %s, "run": null}' % (b"true" if released else b"false")
    return tail.ljust(width) + b"\n"


def run_tail(task: str, index: int, width: int) -> bytes:
    """Return the end of a record while a task is run, as a format of the time.

    It is filled with ``%`` before each run: that costs a tenth of encoding it, and
    makes `width` bytes and a line break of it as well.
    """
    path = json.dumps(task).replace("%", "%%")
    run = f'{{"task": {path}, "index": {index}, "since": %{SINCE_WIDTH}.3f}}'
    tail = f'"released": false, "run": {run}}}'
    missing = width - len(tail % 0)
    return f"{tail}{' ' * missing}\n".encode()


def tail_width(functions: Sequence[str]) -> int:
    """Return a width, in bytes, in which the tail of every run of them fits."""
    longest = max((len(json.dumps(path)) for path in functions), default=0)
    return longest + len(str(len(functions))) + 90
