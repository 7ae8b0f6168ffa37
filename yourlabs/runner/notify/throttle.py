"""
When a report is due: the difference between what is and what a channel has told.

Nothing is queued. `owed` compares a `Downtime` with `Told` when something is about to
be sent, and `delivered` returns the new `Told` afterwards. Two buckets bound the number
of reports: one for *news* (exceptions that were not reported), one for *changes* (down
again, up again, hangs, goes on). What does not fit comes later, with its counts.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import NamedTuple

from yourlabs.runner.failures.downtime import Downtime, Tally
from yourlabs.runner.notify.told import MAX_KNOWN, Told, baseline

CHANGES_AT_ONCE = 4
"""How many changes of a task are reported at once; then one a period."""

MAX_NEW = 100
"""A larger `max_new_exceptions` counts as this one."""

TOLERANCE = 0.05
"""A downtime that lacks so much at the most has reached its limit, in seconds: a
thread's sleep is never exact to the last millisecond."""


class Kind(str, Enum):
    """Why a report is sent."""

    FIRST = "first"
    """The first failure since the chain was started."""
    NEW = "new"
    """An exception that was not reported before."""
    AGAIN = "again"
    """Down with known exceptions, after it was reported that the task is up."""
    REACHED = "reached"
    """Down for longer than `non_recoverable_downtime`."""
    REACHED_AGAIN = "reached_again"
    """Down for as long once more."""
    HEALED = "healed"
    """A success after failures that were reported."""
    STALLED = "stalled"
    """A run takes longer than `max_duration`."""
    RESUMED = "resumed"
    """Such a run has ended after all."""


_NEWS = frozenset((Kind.FIRST, Kind.NEW))
_REMINDERS = frozenset((Kind.REACHED, Kind.REACHED_AGAIN))


class Reason(NamedTuple):
    """One thing that a report is about."""

    kind: Kind
    message: str = ""
    """Of the exception; empty for other reasons."""


class Limits(NamedTuple):
    """The settings of a task that limit its reports."""

    period: float = 43_200.0
    """Its `non_recoverable_downtime`, in seconds."""
    max_new: int = 5
    """How many new exceptions are reported at once, after the first one."""

    @property
    def news_at_once(self) -> int:
        """How many reports of news may be sent at once."""
        return 1 + min(self.max_new, MAX_NEW)


class Owed(NamedTuple):
    """What is to be reported."""

    reasons: tuple[Reason, ...] = ()
    """Those of a report that is due now. Empty: none is."""
    wait: float | None = None
    """In how many seconds one is due. None: not before something happens."""


def owed(downtime: Downtime, told: Told, now: float, limits: Limits) -> Owed:
    """Return what is to be reported of a task `now`, in seconds since the epoch."""
    news = told.news.missing(now, limits.news_at_once, limits.period)
    changes = told.changes.missing(now, CHANGES_AT_ONCE, limits.period)
    # Each with its place in the report, a number of its own, and the seconds until
    # its bucket has room. First comes the present state of the task.
    due: list[tuple[int, Reason, float]] = []
    failing, is_latest = _failing(downtime, told)
    if failing is not None:
        wait = changes
        if failing.kind is not Kind.AGAIN:
            wait = max(news, _wait_for_reminder(downtime, told, now, limits))
        if downtime.is_down and not told.is_down:
            # It is down, and the reader believes that it is up.
            wait = min(news, changes)
        due.append((2 if is_latest else 4, failing, wait))
    before = _reminders(told.lasted, limits) if told.since == downtime.since else 0
    if downtime.is_down and _reminders(downtime.lasted, limits) > before:
        # It was due with the last failure: never by the clock.
        due.append((3, Reason(Kind.REACHED_AGAIN if before else Kind.REACHED), news))
    if not downtime.is_down and (told.is_down or due):
        # What is over by now is reported with its end.
        due.append((1, Reason(Kind.HEALED), changes if told.is_down else news))
    if downtime.stalls > told.stalls:
        due.append((0 if downtime.hangs else 6, Reason(Kind.STALLED), changes))
    is_over = downtime.hang is not None and not downtime.hangs
    if is_over and (told.hangs or downtime.stalls > told.stalls):
        due.append((5, Reason(Kind.RESUMED), changes))
    waits = [wait for _, _, wait in due]
    if all(waits):
        return Owed((), min(waits, default=None))
    # A report that is sent contains all there is.
    return Owed(tuple(reason for _, reason, _ in sorted(due)))


def news(downtime: Downtime, told: Told) -> list[Tally]:
    """Return the exceptions that were not reported, the one raised last at the end."""
    return [
        one
        for one in downtime.seen
        if told.new_failures_of(one) and one.fingerprint not in told.known
    ]


def _failing(downtime: Downtime, told: Told) -> tuple[Reason | None, bool]:
    """Return the reason to report failures, and whether the newest one is meant."""
    latest, new = downtime.latest, news(downtime, told)
    if latest is None or not (new or (downtime.is_down and not told.is_down)):
        return None, False
    is_latest = not new or new[-1].fingerprint == latest.fingerprint
    kind = (Kind.NEW if new else Kind.AGAIN) if told.known else Kind.FIRST
    return Reason(kind, latest.message if is_latest else new[-1].message), is_latest


def _reminders(lasted: float, limits: Limits) -> int:
    return int((lasted + min(limits.period / 100, TOLERANCE)) // limits.period)


def next_reminder(downtime: Downtime, limits: Limits) -> float:
    """Return when the reminder after the present one is due."""
    return downtime.since + (_reminders(downtime.lasted, limits) + 1) * limits.period


def _wait_for_reminder(
    downtime: Downtime, told: Told, now: float, limits: Limits
) -> float:
    """
    Return how many seconds news have to wait, so that they leave room for a reminder.

    They come with the reminder, which comes with a failure; without it, if the task
    has not failed half a period later.
    """
    due = next_reminder(downtime, limits)
    left = told.news.take(now, limits.news_at_once, limits.period)
    is_enough = not left.missing(max(now, due), limits.news_at_once, limits.period)
    if not downtime.is_down or is_enough:
        return 0.0
    return max(0.0, due + limits.period / 2 - now)


def delivered(
    downtime: Downtime,
    told: Told,
    reasons: tuple[Reason, ...],
    now: float,
    limits: Limits,
) -> Told:
    """Return what the channel has told after a report on `downtime` was delivered."""
    kinds = {reason.kind for reason in reasons}
    news, changes = told.news, told.changes
    has_news = not news.missing(now, limits.news_at_once, limits.period)
    if kinds & (_NEWS | _REMINDERS):
        news = news.take(now, limits.news_at_once, limits.period)
    if kinds - (_NEWS | _REMINDERS) or not has_news:
        changes = changes.take(now, CHANGES_AT_ONCE, limits.period)
    fresh = [one.fingerprint for one in downtime.seen if told.new_failures_of(one)]
    known = [*(one for one in told.known if one not in fresh), *fresh]
    return replace(
        baseline(downtime),
        is_down=downtime.is_down,
        hangs=downtime.hangs,
        known=tuple(known[-MAX_KNOWN:]),
        since=downtime.since,
        lasted=downtime.lasted,
        news=news,
        changes=changes,
        at=now,
        mails=told.mails + 1,
        thread=thread_of(downtime, told),
        position=told.position + 1 if told.is_down or told.hangs else 1,
        start="" if kinds & _NEWS else told.start,
    )


def thread_of(downtime: Downtime, told: Told) -> str:
    """Return the key that the next mail shares with the other mails of its thread."""
    # A thread goes on while the reader believes that the task is down or hangs.
    if (told.is_down or told.hangs) and told.thread:
        return told.thread
    hung_since = downtime.hang.started_at if downtime.hang else 0.0
    return f"{max(downtime.since, hung_since):.3f}.{told.mails}"
