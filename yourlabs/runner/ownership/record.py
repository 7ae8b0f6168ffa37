"""
The content of a pidfile, and of a request to yield: the process, and what it runs.

It proves nothing: only the lock on the file does. So all of it is checked when it is
read, and a record that is not whole is ignored.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from yourlabs.runner.chain.task import Chain
from yourlabs.runner.exceptions import ChainNameTaken

VERSION = 1

MAX_PID = 2**22  # Linux's largest pid

MAX_TOKEN = 2**53  # tokens are lower: larger integers are not exact in every JSON

HOSTED, COMMAND = "hosted", "command"  # the kinds of owners, as records name them


class Mode(enum.Enum):
    """What the process of a chain is for."""

    HOSTED = enum.auto()
    """It has other work, like a web worker: the chain is its guest."""

    COMMAND = enum.auto()
    """It runs the chain and nothing else: a person or a supervisor started it."""

    ONCE = enum.auto()
    """As `COMMAND`, and it ends when each task was run once."""

    @property
    def kind(self) -> str:
        """What the owner's record calls it."""
        return HOSTED if self is Mode.HOSTED else COMMAND


# Size of a record in bytes, one page of memory: a process that is killed while it
# writes leaves the old record or the new one.
BLOCK = 4_096
# Longest parts of a record, in bytes of JSON. With the rest they fit into a `BLOCK`.
MAX_FUNCTIONS, MAX_TASK, MAX_NAME = 1_200, 1_000, 200
END_OF_TIME = 253_402_300_800  # the year 10,000, in seconds: no `datetime` is as late


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


class RunMark(NamedTuple):
    """A run that was begun and not ended."""

    task: str
    """Dotted path of the function."""
    since: float
    """Seconds since the epoch."""
    position: int = 0
    """Where the function was in the chain, which may have it twice."""


@dataclass(frozen=True)
class OwnerRecord:
    """What an owner wrote of itself."""

    owner: Identity
    seq: int
    """The token of its claim: rises with each owner, a fencing number."""
    since: float
    """When it became the owner, in seconds since the epoch."""
    functions: tuple[str, ...]
    """Dotted paths of the chain's functions, in order: the first of very many."""
    released: bool = False
    """It let go of the chain in good order."""
    run: RunMark | None = None
    """What it is running. Of one that let go: what an owner before it did not live to
    end, and what is not booked yet."""
    digest: str = ""
    """Of all functions. Empty: `functions` are all."""
    borrows: bool = False
    """It gives the chain back soon: it runs each function once."""


@dataclass(frozen=True)
class Request:
    """What a process wrote that wants the chain."""

    id: str
    candidate: Identity


def digest_of(functions: Sequence[str]) -> str:
    """Return what identifies the functions of a chain."""
    return hashlib.sha256("\n".join(functions).encode("utf-8", "replace")).hexdigest()


def fit(text: str, size: int) -> str:
    """Return `text`, or as much of its beginning as has `size` bytes in JSON."""
    while len(json.dumps(text)) > size:
        text = text[: len(text) * 3 // 4]
    return text


def encode_head(record: OwnerRecord) -> bytes:
    """Return the part of the record that stays as it is while the owner owns."""
    values = {
        "version": VERSION,
        **_identity_values(record.owner),
        "seq": record.seq,
        "since": round(record.since, 3),
        "functions": list(_first(record.functions)),
        "digest": digest_of(record.functions),
        "borrows": record.borrows,
    }
    # The closing brace comes with the rest.
    return f"{record.owner.pid}\n{json.dumps(values)[:-1]}, ".encode()


def _identity_values(identity: Identity) -> dict[str, Any]:
    values = asdict(identity)
    return {**values, **{key: fit(values[key], MAX_NAME) for key in ("boot", "host")}}


def _first(functions: Sequence[str]) -> Iterator[str]:
    left = MAX_FUNCTIONS
    for path in functions:
        left -= len(json.dumps(path)) + 2
        if left < 0:
            return
        yield path


def encode_block(head: bytes, run: RunMark | None, *, released: bool = False) -> bytes:
    """Return the whole record, in one `BLOCK`."""
    mark = None
    if run is not None:
        task = fit(run.task, MAX_TASK)
        mark = {"task": task, "since": run.since, "index": run.position}
    tail = json.dumps({"released": released, "run": mark})[1:]
    return (head + tail.encode()).ljust(BLOCK - 1) + b"\n"


def encode_request(request: Request) -> bytes:
    """Return what stands in the file of a request."""
    values = {"id": request.id, **_identity_values(request.candidate)}
    block = f"{request.candidate.pid}\n{json.dumps(values)}"
    return block.encode().ljust(BLOCK - 1) + b"\n"


def parse_record(raw: bytes) -> OwnerRecord | None:
    """Return the record in the first lines of a pidfile, or None: not a whole one."""
    try:
        values = _values(raw)
        run = values["run"]
        if values["version"] != VERSION or not isinstance(values["functions"], list):
            return None
        return OwnerRecord(
            owner=_identity(values),
            seq=_whole(values["seq"], 1, MAX_TOKEN),
            since=as_time(values["since"]),
            functions=tuple(_text(path) for path in values["functions"]),
            released=values["released"] is True,
            run=None if run is None else _run(run),
            digest=_text(values.get("digest", "")),
            borrows=values.get("borrows") is True,
        )
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError):
        return None


def parse_request(raw: bytes) -> Request | None:
    """Return the request in a take-over file, or None: not a whole one."""
    try:
        values = _values(raw)
        request = Request(_text(values["id"]), _identity(values))
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError):
        return None
    return request if request.id else None


def _values(raw: bytes) -> Any:
    pid, body = raw.split(b"\n", 2)[:2]
    values = json.loads(body)
    return values if values["pid"] == int(pid) else {}


def _identity(values: Any) -> Identity:
    start, kind = values["start"], values["kind"]
    if kind not in (HOSTED, COMMAND):
        raise ValueError(kind)
    return Identity(
        pid=_whole(values["pid"], 1, MAX_PID),
        start=None if start is None else _whole(start),
        boot=_text(values["boot"]),
        pidns=_whole(values["pidns"]),
        host=_text(values["host"]),
        kind=kind,
    )


def _run(value: Any) -> RunMark:
    index = _whole(value.get("index", 0))
    return RunMark(_text(value["task"]), as_time(value["since"]), index)


def _whole(value: Any, low: int = 0, high: int = 2**63) -> int:
    # bool is an int, and 1.0 equals 1: neither was written by an owner.
    if type(value) is not int or not low <= value <= high:
        raise ValueError(value)
    return value


def as_time(value: Any) -> float:
    """Return seconds since the epoch, read from JSON; raise ValueError: it is none."""
    # Compared before it is converted: JSON has NaN, and integers of any size.
    if type(value) not in (int, float) or not 0 <= value < END_OF_TIME:
        raise ValueError(value)
    return float(value)


def _text(value: Any) -> str:
    # It is shown to people: no control characters.
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(value)
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
    """Raise `ChainNameTaken` where the owner of the chain runs other functions."""
    if digest_of(chain.paths) == (record.digest or digest_of(record.functions)):
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
