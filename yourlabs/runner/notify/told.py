"""What one channel was told of one task, and how much more it may be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from yourlabs.runner.failures.downtime import Downtime, Seen, check_fields, check_types

MAX_KNOWN = 100
"""How many fingerprints are remembered as told."""


class Bucket(NamedTuple):
    """So many mails at once, then one a period."""

    spent: float = 0.0
    """How many of them were gone at `at`."""
    at: float = 0.0
    """In seconds since the epoch."""

    def missing(self, now: float, size: int, period: float) -> float:
        """Return how many seconds it takes until one can be sent; 0: it can."""
        # A fraction that grew in many steps is not exact to the last of them.
        lack = self._spent(now, period) + 1 - size
        return lack * period if lack > 1e-6 else 0.0

    def take(self, now: float, size: int, period: float) -> Bucket:
        """Return it after one was sent; it is never emptier than empty."""
        return Bucket(min(size, self._spent(now, period) + 1), now)

    def _spent(self, now: float, period: float) -> float:
        # A clock that was set back gives nothing.
        return max(0.0, self.spent - max(0.0, now - self.at) / period)


@dataclass(frozen=True)
class Told:
    """What one channel was told of one task."""

    is_down: bool = False
    hangs: bool = False
    failures: int = 0
    """How many failures it was told of, ever; the same of what follows."""
    recoveries: int = 0
    stalls: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    """Of the exceptions, by fingerprint."""
    known: tuple[str, ...] = ()
    """Fingerprints that are no news: the last `MAX_KNOWN`, the oldest first."""
    since: float = 0.0
    """When the downtime began that it was told of last."""
    lasted: float = 0.0
    """How long that had lasted then, in seconds."""
    news: Bucket = Bucket()  # noqa: RUF009
    changes: Bucket = Bucket()  # noqa: RUF009
    at: float = 0.0
    """When it was told something last, in seconds since the epoch."""
    mails: int = 0
    """How many reports it took."""
    copies: int = 0
    """How often the next one was sent, so that it may have arrived."""
    thread: str = ""
    """What the mails of one conversation share."""
    position: int = 0
    """How many of them were sent."""
    start: str = ""
    """Why what was known is news again; empty when it is not, or was told."""

    def new_failures_of(self, one: Seen) -> int:
        """Return how often an exception was raised since it was told of."""
        known = self.counts.get(one.fingerprint, 0) if one.first <= self.failures else 0
        return max(0, one.count - known)


def baseline(downtime: Downtime) -> Told:
    """Return what a channel knows that is new here: nothing of what is over."""
    return Told(
        failures=downtime.failures,
        recoveries=downtime.recoveries,
        stalls=downtime.stalls,
        counts={one.fingerprint: one.count for one in downtime.seen},
    )


def started_anew(told: Told, downtime: Downtime, why: str) -> Told:
    """
    Return it after a new start: what fails from now on is news again.

    What failed before, and is known, is none: it may have been mended. The buckets stay
    as they are.
    """
    seen = {one.fingerprint: one.count for one in downtime.seen}
    counts = {one: count for one, count in seen.items() if one in told.known}
    return replace(
        told,
        known=(),
        counts={**told.counts, **counts},
        start=why if told.mails else "",
    )


def as_of(told: Told, downtime: Downtime, now: float) -> Told:
    """Return it without what cannot be: counts and moments that are still to come."""
    if told.failures > downtime.failures or told.stalls > downtime.stalls:
        # What the chain had counted was lost.
        lost: dict[str, Any] = {
            "failures": 0,
            "recoveries": 0,
            "stalls": 0,
            "counts": {},
        }
        told = replace(told, is_down=False, hangs=False, **lost)
    # Where the clock was set back, they fill up from now on, not from then.
    news, changes = (
        one._replace(at=min(now, one.at)) for one in (told.news, told.changes)
    )
    return replace(told, news=news, changes=changes)


def told_from_json(value: Any) -> Told:
    """
    Return what was written as `dataclasses.asdict`.

    Raises:
        ValueError: It is something else.
    """
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
