"""
The record in a pidfile: who owns the chain, and what it is running.

A record proves nothing: only the lock on the file does. So it is read with suspicion,
and whatever is not whole is no record.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from yourlabs.runner.chain.task import Chain
from yourlabs.runner.exceptions import ChainNameTaken

VERSION = 1

SINCE_WIDTH = 15
"""How many characters a time has in a mark: some more than it needs."""

MAX_PID = 2**22
"""Linux's largest pid."""

HOSTED = "hosted"
"""The owner is a thread in a process that has other work, like a web worker."""

COMMAND = "command"
"""The owner is a process of its own, `run_functions`."""

READ_SIZE = 65_536
"""No record is longer, in bytes."""


END_OF_TIME = 253_402_300_800
"""Seconds since the epoch that no `datetime` can hold: the year 10,000."""


@dataclass(frozen=True)
class Identity:
    """One process, told apart from every other that ever had its pid."""

    pid: int
    start: int | None
    """Clock ticks from boot to its start. None where /proc does not say."""
    boot: str
    """Which boot of the machine. Empty where it is not known."""
    pidns: int
    """Inode of its pid namespace. 0 where there are none."""
    host: str
    kind: str
    """`HOSTED` or `COMMAND`."""


@dataclass(frozen=True)
class RunMark:
    """A run that was begun and not ended."""

    task: str
    """Dotted path of the function."""
    since: float
    """Seconds since the epoch."""
    index: int = 0
    """Where the function was in the chain, which may have it twice."""


@dataclass(frozen=True)
class OwnerRecord:
    """What an owner wrote of itself."""

    owner: Identity
    seq: int
    """Rises with each owner: a fencing number."""
    since: float
    """When it became the owner, in seconds since the epoch."""
    functions: tuple[str, ...]
    """Dotted paths of the chain's functions, in order."""
    released: bool = False
    """It let go of the chain in good order."""
    run: RunMark | None = None
    """What it is running. Of one that let go: what an owner before it did not live to
    end, and what is not booked yet."""


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


def parse_record(raw: bytes) -> OwnerRecord | None:
    """Return the record in the first lines of a pidfile, or None: not a whole one."""
    try:
        pid_line, body = raw.split(b"\n", 2)[:2]
        values = json.loads(body)
        record = OwnerRecord(
            owner=_identity(values),
            seq=_whole(values["seq"], 1, 2**63),
            since=_time(values["since"]),
            functions=_texts(values["functions"]),
            released=values["released"] is True,
            run=_run(values["run"]),
        )
        if values["version"] != VERSION or int(pid_line) != record.owner.pid:
            return None
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError):
        return None
    return record


def _identity(values: Any) -> Identity:
    start = values["start"]
    kind = values["kind"]
    if kind not in (HOSTED, COMMAND):
        msg = f"{kind!r} is no kind of owner"
        raise ValueError(msg)
    return Identity(
        pid=_whole(values["pid"], 1, MAX_PID),
        start=None if start is None else _whole(start, 0, 2**63),
        boot=_text(values["boot"]),
        pidns=_whole(values["pidns"], 0, 2**63),
        host=_text(values["host"]),
        kind=kind,
    )


def _run(value: Any) -> RunMark | None:
    if value is None:
        return None
    # Records that were written before had no index.
    index = _whole(value.get("index", 0), 0, 2**63)
    return RunMark(_text(value["task"]), _time(value["since"]), index)


def _whole(value: object, low: int, high: int) -> int:
    # bool is an int, and 1.0 equals 1: neither was written by an owner.
    if type(value) is not int or not low <= value <= high:
        msg = f"{value!r} is no whole number from {low} to {high}"
        raise ValueError(msg)
    return value


def _time(value: object) -> float:
    # Compared before it is converted: JSON has NaN, and integers of any size.
    if type(value) not in (int, float) or not 0 <= value < END_OF_TIME:  # type: ignore[operator]
        msg = f"{type(value).__name__} is no time"
        raise ValueError(msg)
    return float(value)  # type: ignore[arg-type]


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        msg = f"{type(value).__name__} is no list"
        raise TypeError(msg)
    return tuple(_text(item) for item in value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        msg = f"{value!r} is no text"
        raise TypeError(msg)
    return value


def pid_of(raw: bytes) -> int | None:
    """Return the pid on the first line, or None when there is none that can be one."""
    line = raw.split(b"\n", 1)[0].strip()
    if not line.isdigit() or len(line) > len(str(MAX_PID)):
        return None
    pid = int(line)
    return pid if 1 <= pid <= MAX_PID else None


def describe_owner(record: OwnerRecord | None, now: float) -> str:
    """Return who the owner is, for a person; `now` is seconds since the epoch."""
    if record is None:
        return "an unknown process (its pidfile cannot be read)"
    kind = "run_functions" if record.owner.kind == COMMAND else "hosted"
    text = f"process {record.owner.pid} on {record.owner.host} ({kind}"
    if record.run is not None:
        text += f", in {record.run.task} for {max(0.0, now - record.run.since):.0f} s"
    return f"{text})"


def check_functions(chain: Chain, record: OwnerRecord, now: float) -> None:
    """
    Check that the owner of the chain's pidfile runs the same functions.

    Raises:
        ChainNameTaken: It runs others.
    """
    if record.functions == chain.paths:
        return
    # Without its run: the message stays the same from one look to the next.
    owner = describe_owner(replace(record, run=None), now)
    msg = (
        f"The name {chain.name} is taken: {owner} runs "
        f"{', '.join(record.functions)} under it, this is a chain of "
        f"{', '.join(chain.paths)}. Give one of them another name, with name= or "
        "--name."
    )
    raise ChainNameTaken(msg)
