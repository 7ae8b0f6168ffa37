"""What one channel has told of one task, and how many reports it may still send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from yourlabs.runner.failures.downtime import (
    Downtime,
    Tally,
    check_fields,
    check_types,
)

MAX_KNOWN = 100
"""How many fingerprints are remembered as told."""


class Bucket(NamedTuple):
    """A token bucket: so many reports at once, then one a period."""

    spent: float = 0.0
    """How many tokens were gone at `at`."""
    at: float = 0.0
    """In seconds since the epoch."""

    def missing(self, now: float, size: int, period: float) -> float:
        """Return how many seconds it takes until there is a token; 0: there is one."""
        # Fractions that are added up are not exact.
        lack = self._spent(now, period) + 1 - size
        return lack * period if lack > 1e-6 else 0.0

    def take(self, now: float, size: int, period: float) -> Bucket:
        """Return the bucket without one token; it is never emptier than empty."""
        return Bucket(min(size, self._spent(now, period) + 1), now)

    def _spent(self, now: float, period: float) -> float:
        # A clock that was set back adds nothing.
        return max(0.0, self.spent - max(0.0, now - self.at) / period)


@dataclass(frozen=True)
class Told:
    """What one channel has told of one task."""

    is_down: bool = False
    hangs: bool = False
    failures: int = 0
    """How many failures it has reported, ever."""
    recoveries: int = 0
    stalls: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    """How often it has reported each exception, by fingerprint."""
    known: tuple[str, ...] = ()
    """Fingerprints that are no news: the last `MAX_KNOWN`, the oldest first."""
    since: float = 0.0
    """When the downtime began that it has reported last."""
    lasted: float = 0.0
    """How long that had lasted then, in seconds."""
    news: Bucket = Bucket()  # noqa: RUF009
    changes: Bucket = Bucket()  # noqa: RUF009
    at: float = 0.0
    """When it has sent the last report, in seconds since the epoch."""
    mails: int = 0
    """How many reports were delivered."""
    copies: int = 0
    """How often the next one was sent already, without a confirmation."""
    thread: str = ""
    """Key that the mails of one thread share."""
    position: int = 0
    """How many mails of this thread were sent."""
    start: str = ""
    """Why known exceptions are news again; empty when they are not, or it was told."""

    def new_failures_of(self, one: Tally) -> int:
        """Return how often an exception was raised since it was reported."""
        known = self.counts.get(one.fingerprint, 0) if one.first <= self.failures else 0
        return max(0, one.count - known)


def baseline(downtime: Downtime) -> Told:
    """Return the state of a new channel, which reports nothing that is over."""
    return Told(
        failures=downtime.failures,
        recoveries=downtime.recoveries,
        stalls=downtime.stalls,
        counts={one.fingerprint: one.count for one in downtime.seen},
    )


def started_anew(told: Told, downtime: Downtime, why: str) -> Told:
    """Return `told` after a new start: what fails from now on is news again."""
    # Those that were reported before are not: they may have been mended.
    known = [one for one in downtime.seen if one.fingerprint in told.known]
    counts = {**told.counts, **{one.fingerprint: one.count for one in known}}
    return replace(told, known=(), counts=counts, start=why if told.mails else "")


def as_of(told: Told, downtime: Downtime, now: float) -> Told:
    """Return `told` without what cannot be: counts and instants of the future."""
    if told.failures > downtime.failures or told.stalls > downtime.stalls:
        # The counts of the chain were lost.
        lost: dict[str, Any] = {"failures": 0, "recoveries": 0, "stalls": 0}
        told = replace(told, is_down=False, hangs=False, counts={}, **lost)
    # After the clock was set back, the buckets fill up from now on.
    news, changes = (
        one._replace(at=min(now, one.at)) for one in (told.news, told.changes)
    )
    return replace(told, news=news, changes=changes)


def told_from_json(value: Any) -> Told:
    """Return what was written as `dataclasses.asdict`; else raise ValueError."""
    try:
        values = {**value, "known": tuple(value["known"])}
        for name in ("news", "changes"):
            values[name] = Bucket(*value[name])
        told = Told(**values)
        check_fields(told)
        check_types(float, told.news + told.changes)
        check_types(int, told.counts.values())
        check_types(str, (*told.counts, *told.known))
    except (AttributeError, KeyError, TypeError) as exc:
        msg = f"expected what was told ({type(exc).__name__}: {exc})"
        raise ValueError(msg) from exc
    return told
