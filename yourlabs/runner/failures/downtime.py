"""
The failures of one task: since when it is down, how often, with which exceptions.

A `Downtime` is a value. The chain keeps one for each task, over all its owners;
channels compare it with what they have told. Instants are seconds since the epoch,
lengths are seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any

from yourlabs.runner.failures.records import ExceptionCount
from yourlabs.runner.failures.redact import redact
from yourlabs.runner.failures.text import cut, first_line, printable

MAX_DISTINCT = 20
"""How many distinct exceptions are counted apart: the last ones."""

MAX_MESSAGE = 200
"""How much of a message is remembered with its count, in characters."""

MAX_LATEST = 2_000
"""How much of the newest failure's message is remembered, in characters."""

MAX_STORED = 16_000
"""How much text of one task is written for the next owner, in bytes."""

MAX_NUMBER = 253_402_300_800.0
"""No count and no instant that was written is as large: the year 10,000."""

INTERRUPTED_LIMIT = timedelta(hours=1)
"""Longest wait that repeated crashes of the process can grow a cooldown to."""


@dataclass(frozen=True)
class Tally(ExceptionCount):
    """One distinct exception of a task, and how often it was raised since `first`."""

    before: int = 0
    """How many of `count` were before this downtime."""
    first: int = 1
    """Number of the task's failure that it is counted from: an exception that was
    dropped for others and comes again is counted anew."""


@dataclass(frozen=True)
class Described:
    """An exception as plain facts."""

    exception_type: str
    """Dotted path of the class."""
    message: str
    """`str(exception)`, printable and bounded."""
    traceback: str
    """As Python prints it, but for the marks below a line; bounded at both ends."""
    fingerprint: str
    """Key that equal failures share."""


@dataclass(frozen=True)
class Latest(Described):
    """The newest failure, as it is shown in full."""

    at: float


@dataclass(frozen=True)
class Hang:
    """The last run that took too long."""

    started_at: float
    limit: float
    """The task's `max_duration` then."""
    running_for: float
    """How long it had been running when it was found."""
    stack: str
    """Where its thread was then."""
    took: float | None = None
    """How long it took in all. None: it still hangs, or ended with its process."""


@dataclass(frozen=True)
class Downtime:
    """The present or last downtime of a task, with what was counted before."""

    is_down: bool = False
    """The last run failed."""
    since: float = 0.0
    """When this downtime began, or the last one. 0: the task has never failed."""
    lasted: float = 0.0
    """How long it had lasted at its last failure, or until its end."""
    consecutive: int = 0
    """How many runs failed in it."""
    interrupted: int = 0
    """How many of the last failures in a row ended their process."""
    failures: int = 0
    """How many runs ever failed, over all owners of the chain."""
    recoveries: int = 0
    """How many downtimes ever ended."""
    seen: tuple[Tally, ...] = ()
    """Distinct exceptions, the one raised last at the end; at most `MAX_DISTINCT`."""
    latest: Latest | None = None
    hangs: bool = False
    """A run has been found to take too long, and goes on."""
    stalls: int = 0
    """How many runs ever took too long."""
    hang: Hang | None = None

    def failed(
        self, latest: Latest, *, lasted: float, interrupted: int = 0
    ) -> Downtime:
        """
        Return the state after one more failure.

        `lasted` is how long the task has been down, `interrupted` how many failures in
        a row, with this one, ended their process.
        """
        # Before it is cut again: half a password would not be recognised.
        message = redact(latest.message[:MAX_LATEST])
        if message != latest.message:
            latest = replace(latest, message=message)
        since, consecutive, seen = self.since, self.consecutive, self.seen
        if not self.is_down:
            since, consecutive, lasted = latest.at, 0, 0.0
            seen = tuple(replace(one, before=one.count) for one in seen)
        return replace(
            self,
            is_down=True,
            since=since,
            lasted=max(0.0, lasted),
            consecutive=consecutive + 1,
            interrupted=interrupted,
            failures=self.failures + 1,
            seen=_one_more(seen, latest, self.failures + 1),
            latest=latest,
        )

    def recovered(self, *, lasted: float) -> Downtime:
        """Return the state after a success, which came after `lasted` seconds."""
        if not self.is_down:
            return self
        return replace(
            self,
            is_down=False,
            interrupted=0,
            lasted=max(0.0, lasted),
            recoveries=self.recoveries + 1,
        )

    def stalled(self, hang: Hang) -> Downtime:
        """Return the state after a run was found to take too long."""
        return replace(self, hangs=True, stalls=self.stalls + 1, hang=hang)

    def hang_ended(self, took: float | None) -> Downtime:
        """
        Return the state after the hanging run ended.

        `took`: How long that run took, in seconds. None: its process died.
        """
        if not self.hangs or self.hang is None:
            return self
        return replace(self, hangs=False, hang=replace(self.hang, took=took))

    def lasts(self, now: float) -> float:
        """Return how long it had lasted when another owner finds it at `now`."""
        return max(self.lasted, now - self.since)

    def exceptions(self) -> tuple[ExceptionCount, ...]:
        """Return the distinct exceptions of this downtime, most frequent first."""
        return counted(self.seen, lambda one: one.count - one.before)

    def to_json(
        self, room: int = MAX_STORED, distinct: int = MAX_DISTINCT
    ) -> dict[str, Any]:
        """
        Return the state as plain values, with the last `distinct` exceptions.

        The traceback and the like have at most `room` bytes; with 0 they are left out,
        and messages are short.
        """
        latest, hang = self.latest, self.hang
        seen = self.seen[-distinct:]
        if not room:
            seen = tuple(replace(one, message=one.message[:50]) for one in seen)
        return {
            **vars(self),
            "seen": [list(vars(one).values()) for one in seen],
            "latest": None if latest is None else _shortened(latest, room // 2),
            "hang": None if hang is None else _shortened(hang, room // 4),
        }


def counted(
    seen: Iterable[Tally], count_of: Callable[[Tally], int]
) -> tuple[ExceptionCount, ...]:
    """Return the exceptions that `count_of` gives a number, most frequent first."""
    found = [
        ExceptionCount(one.exception_type, one.message, one.fingerprint, count)
        for one in seen
        if (count := count_of(one)) > 0
    ]
    return tuple(sorted(found, key=lambda one: -one.count))


def _one_more(
    seen: tuple[Tally, ...], latest: Latest, number: int
) -> tuple[Tally, ...]:
    others = tuple(one for one in seen if one.fingerprint != latest.fingerprint)
    known = [one for one in seen if one.fingerprint == latest.fingerprint]
    if known:
        return (*others, replace(known[0], count=known[0].count + 1))
    texts = latest.exception_type[:MAX_MESSAGE], first_line(latest.message, MAX_MESSAGE)
    new = Tally(*texts, latest.fingerprint, 1, 0, number)
    return (*others[-MAX_DISTINCT + 1 :], new)


def _shortened(value: Latest | Hang, room: int) -> dict[str, Any]:
    texts = {
        name: cut(printable(item), max(room, 200)) if isinstance(item, str) else item
        for name, item in vars(value).items()
    }
    long = () if room else {"traceback", "stack"} & texts.keys()
    return texts | dict.fromkeys(long, "")


def downtimes_from_json(value: Any) -> dict[str, Downtime]:
    """Return the downtimes that were written with `to_json`; else raise ValueError."""
    try:
        return {str(key): _from_json(item) for key, item in value.items()}
    except (AttributeError, KeyError, TypeError) as exc:
        msg = f"expected the downtimes of tasks ({type(exc).__name__}: {exc})"
        raise ValueError(msg) from exc


def _from_json(value: Any) -> Downtime:
    values = {**value, "seen": tuple(Tally(*item) for item in value["seen"])}
    for name, kind in (("latest", Latest), ("hang", Hang)):
        if values[name] is not None:
            values[name] = kind(**values[name])
    downtime = Downtime(**values)
    parts = [downtime, *downtime.seen, downtime.latest, downtime.hang]
    for part in filter(None, parts):
        check_fields(part)
    if len(downtime.seen) > MAX_DISTINCT:
        msg = f"there are more than {MAX_DISTINCT} exceptions"
        raise ValueError(msg)
    return downtime


_PLAIN: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "float | None": (int, float, type(None)),
}


def check_fields(value: Any) -> None:
    """Raise ValueError where a plain field does not hold what its annotation says."""
    for one in fields(value):
        if one.type in _PLAIN:
            check_types(_PLAIN[one.type], (getattr(value, one.name),))


def check_types(kinds: type | tuple[type, ...], items: Iterable[Any]) -> None:
    """Raise ValueError where an item is of another type, or a number that cannot be."""
    kinds = kinds if isinstance(kinds, tuple) else _PLAIN[kinds.__name__]
    for item in items:
        is_one = isinstance(item, kinds) and isinstance(item, bool) == (bool in kinds)
        # NaN and infinity are not between these two either.
        is_sane = isinstance(item, str) or item is None or 0 <= item < MAX_NUMBER
        if not is_one or not is_sane:
            msg = f"{str(item)[:100]!r} is not what was written"
            raise ValueError(msg)


def interrupted_cooldown(fail_cooldown: timedelta, interrupted: int) -> timedelta:
    """
    Return the wait after a run that its process did not survive.

    It doubles with each such run in a row, up to an hour or the task's own longer
    cooldown: a task that crashes its process must not take all of them.
    """
    if fail_cooldown >= INTERRUPTED_LIMIT:
        return fail_cooldown
    base = max(fail_cooldown, timedelta(seconds=1))
    return min(INTERRUPTED_LIMIT, base * 2.0 ** min(interrupted - 1, 12))
