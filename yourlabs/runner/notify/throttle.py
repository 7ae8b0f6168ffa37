"""
When a report is due: the difference between what is and what a channel was told.

Nothing is queued. `owed` compares a `Downtime` with `Told` when something is about to
be sent, and `delivered` says what the channel knows after it was. Two buckets bound how
much that is: one of *news* (exceptions that nobody was told of), one of *changes* (down
again, up again, hanging, going on). What does not fit is told later, with its counts.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import NamedTuple

from yourlabs.runner.failures.downtime import Downtime, Seen
from yourlabs.runner.notify.told import MAX_KNOWN, Told, baseline

CHANGES_AT_ONCE = 4
"""How many changes of a task are told at once; then one a period."""

MAX_NEW = 100
"""The largest `max_new_exceptions` that is heeded."""

TOLERANCE = 0.05
"""A downtime that lacks so much at the most has reached its limit, in seconds: a
thread's sleep is never exact to the last millisecond."""


class Kind(str, Enum):
    """Why something is told."""

    FIRST = "first"
    """The first failure since the chain was started."""
    NEW = "new"
    """An exception that nobody was told of."""
    AGAIN = "again"
    """Down, with exceptions that are known, after it was told that the task is up."""
    REACHED = "reached"
    """Down for longer than `non_recoverable_downtime`."""
    REACHED_AGAIN = "reached_again"
    """Down for as long once more."""
    HEALED = "healed"
    """A success after failures that were told."""
    STALLED = "stalled"
    """A run takes longer than `max_duration`."""
    RESUMED = "resumed"
    """Such a run has ended after all."""


_NEWS = frozenset((Kind.FIRST, Kind.NEW))
_REMINDERS = frozenset((Kind.REACHED, Kind.REACHED_AGAIN))


class Reason(NamedTuple):
    """One thing that is to be told of a task."""

    kind: Kind
    message: str = ""
    """Of the exception, or how a stall ended; empty where there is nothing to say."""


class Rules(NamedTuple):
    """What can be set for a task."""

    period: float = 43_200.0
    """Its `non_recoverable_downtime`, in seconds."""
    max_new: int = 5
    """How many new exceptions are told at once, after the first one."""

    @property
    def news_at_once(self) -> int:
        """How many mails about news may be sent at once."""
        return 1 + min(self.max_new, MAX_NEW)


class Owed(NamedTuple):
    """What is to be told."""

    reasons: tuple[Reason, ...] = ()
    """Now; the one that says how the task fares comes first. Empty: nothing."""
    wait: float | None = None
    """In how many seconds more is to be told. None: not before something happens."""


def owed(downtime: Downtime, told: Told, now: float, rules: Rules) -> Owed:
    """
    Return what is to be told.

    Args:
        downtime: How the task fares.
        told: What the channel knows.
        now: In seconds since the epoch.
        rules: Of the task.
    """
    news = told.news.missing(now, rules.news_at_once, rules.period)
    changes = told.changes.missing(now, CHANGES_AT_ONCE, rules.period)
    # Each with the seconds until there is a mail left for it.
    due: list[tuple[Reason, float]] = []
    failing = _failing(downtime, told)
    if failing is not None:
        wait = changes
        if failing.kind is not Kind.AGAIN:
            wait = max(news, _wait_for_reminder(downtime, told, now, rules))
        if downtime.is_down and not told.is_down:
            # It is down, and the reader believes that it is up.
            wait = min(news, changes)
        due.append((failing, wait))
    before = _reminders(told.lasted, rules) if told.since == downtime.since else 0
    if downtime.is_down and _reminders(downtime.lasted, rules) > before:
        # It was due with the last failure: never by the clock.
        kind = Kind.REACHED_AGAIN if before else Kind.REACHED
        due.append((Reason(kind), news))
    if not downtime.is_down and (told.is_down or due):
        # What is over by now is told with its end, in one mail.
        due.append((Reason(Kind.HEALED), changes if told.is_down else news))
    if downtime.stalls > told.stalls:
        due.append((Reason(Kind.STALLED), changes))
    is_over = downtime.hang is not None and not downtime.hangs
    if is_over and (told.hangs or downtime.stalls > told.stalls):
        due.append((Reason(Kind.RESUMED), changes))
    if all(wait for _, wait in due):
        return Owed((), min((wait for _, wait in due), default=None))
    # A mail that is sent tells all there is to tell.
    reasons = [reason for reason, _ in due]
    return Owed(tuple(sorted(reasons, key=lambda reason: _rank(reason, downtime))))


def news(downtime: Downtime, told: Told) -> list[Seen]:
    """Return the exceptions that nobody was told of, the one raised last at the end."""
    return [
        one
        for one in downtime.seen
        if told.new_failures_of(one) and one.fingerprint not in told.known
    ]


def _failing(downtime: Downtime, told: Told) -> Reason | None:
    """Return as what the failures are told that nobody was told of."""
    latest, new = downtime.latest, news(downtime, told)
    if latest is None or not (new or (downtime.is_down and not told.is_down)):
        return None
    kind = Kind.NEW if new else Kind.AGAIN
    is_latest = not new or new[-1].fingerprint == latest.fingerprint
    message = latest.message if is_latest else new[-1].message
    return Reason(kind if told.known else Kind.FIRST, message)


def _reminders(lasted: float, rules: Rules) -> int:
    return int((lasted + min(rules.period / 100, TOLERANCE)) // rules.period)


def next_reminder(downtime: Downtime, rules: Rules) -> float:
    """Return when the next reminder is due after that which is told now."""
    return downtime.since + (_reminders(downtime.lasted, rules) + 1) * rules.period


def _wait_for_reminder(
    downtime: Downtime, told: Told, now: float, rules: Rules
) -> float:
    """
    Return how many seconds news have to wait, lest they take a reminder's place.

    They come with the reminder: with the failure in which it is due, and by themselves
    where the task has not failed half a period later.
    """
    due = next_reminder(downtime, rules)
    left = told.news.take(now, rules.news_at_once, rules.period)
    is_enough = not left.missing(max(now, due), rules.news_at_once, rules.period)
    if not downtime.is_down or is_enough:
        return 0.0
    return max(0.0, due + rules.period / 2 - now)


def _rank(reason: Reason, downtime: Downtime) -> int:
    """Return the place of a reason: first what says how the task fares now."""
    latest = downtime.latest.message if downtime.latest else ""
    if reason.kind is Kind.STALLED:
        return 0 if downtime.hangs else 6
    if reason.kind is Kind.HEALED:
        return 1
    if reason.kind in _REMINDERS:
        return 3
    if reason.kind is Kind.RESUMED:
        return 5
    # What was held back is not what fails now.
    return 2 if reason.message == latest else 4


def delivered(
    downtime: Downtime,
    told: Told,
    reasons: tuple[Reason, ...],
    now: float,
    rules: Rules,
) -> Told:
    """
    Return what the channel knows after a report was delivered.

    Args:
        downtime: As it was when the report was made: that is what it said.
        told: What the channel knew.
        reasons: Those of the report.
        now: In seconds since the epoch.
        rules: Of the task.
    """
    kinds = {reason.kind for reason in reasons}
    news, changes = told.news, told.changes
    has_news = not news.missing(now, rules.news_at_once, rules.period)
    if kinds & (_NEWS | _REMINDERS):
        news = news.take(now, rules.news_at_once, rules.period)
    if kinds - (_NEWS | _REMINDERS) or not has_news:
        changes = changes.take(now, CHANGES_AT_ONCE, rules.period)
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
    """
    Return what the next mail shares with those of its conversation.

    One goes on for as long as the reader believes that the task is down or hangs.
    """
    if (told.is_down or told.hangs) and told.thread:
        return told.thread
    hung_since = downtime.hang.started_at if downtime.hang else 0.0
    return f"{max(downtime.since, hung_since):.3f}.{told.mails}"
