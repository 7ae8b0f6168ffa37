"""
What of the events of a task is to be told.

Each event makes a new `History`. What is to be told waits in `History.pending` until it
was delivered (see `telling`): what was only decided is decided still after a restart.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from yourlabs.runner.failures.records import Failure, Stall
from yourlabs.runner.failures.text import one_line
from yourlabs.runner.notify.allowance import Allowance
from yourlabs.runner.notify.histories import (
    MAX_NEW,
    MESSAGE,
    History,
    Rules,
)
from yourlabs.runner.notify.report import (
    FAILING,
    Evidence,
    Kind,
    Reason,
    duration,
)

TOLERANCE = timedelta(milliseconds=50)
"""A downtime that lacks so much at the most has reached its limit: two clocks and a
thread's sleep are never exact to the last millisecond."""


_SHOWN = FAILING | {Kind.REACHED, Kind.REACHED_AGAIN}
"""The reasons whose mail shows the last failure with its traceback."""


def begin(
    history: History, at: datetime, rules: Rules, *, start: str = "", more: bool = True
) -> History:
    """
    Return the history with which a chain begins, or goes on.

    Args:
        history: What the last owner knew.
        at: Now.
        rules: Of the task.
        start: Why this is a new start, so that the first exception is due again.
            Empty when it is none: a process goes on with what another one began.
        more: A new start may send as many mails as the first one. False: it may be one
            of many, that a timer makes or a supervisor.
    """
    if start:
        return history._replace(
            is_first_told=False,
            known={},
            new_at=(),
            changes=(),
            allowance=Allowance() if more else history.allowance,
            start=start,
        )
    if _is_forgotten(history, at, rules):
        return history._replace(is_first_told=False, known={}, new_at=(), changes=())
    return history


def record_failure(
    history: History, failure: Failure, rules: Rules, *, where: str = ""
) -> History:
    """Return `history` after `failure`; when reasons were added, they are pending."""
    if history.down_since != failure.down_since or not history.is_down:
        history = _go_on_or_down(history, failure, rules)
    latest = Evidence(
        failure.exception_type,
        failure.message,
        failure.traceback,
        failure.fingerprint,
        failure.failed_at,
        where,
    )
    history = history._replace(
        tally=history.tally.add(failure),
        downtime=failure.downtime,
        consecutive=failure.consecutive,
        latest=latest,
    )
    history = _remind_if_due(history, failure, rules)
    kind = _kind_of_failure(history, failure, rules)
    if kind is not None:
        history = add(
            history, kind, failure.failed_at, failure.message, failure.fingerprint
        )
    return history


def record_recovery(
    history: History, recovered_at: datetime, downtime: timedelta, rules: Rules
) -> History:
    """Return `history` after the first success since the task went down."""
    if not history.is_down:
        return history
    history = history._replace(
        is_down=False,
        downtime=downtime,
        changes=(*history.changes, recovered_at)[-rules.turns :],
        tally=history.tally._replace(recoveries=history.tally.recoveries + 1),
    )
    return settle(history, recovered_at)


def record_stall(history: History, stall: Stall) -> History:
    """Return `history` after a run was found to hang."""
    if history.stalled_since == stall.started_at:
        return history
    at = stall.started_at + stall.running_for
    if not history.is_down and not history.pending:
        history = _new_thread(history, at)
    history = history._replace(
        stalled_since=stall.started_at,
        stack=stall.stack,
        tally=history.tally._replace(stalls=history.tally.stalls + 1),
    )
    return add(history, Kind.STALLED, at)


def record_stall_end(
    history: History, at: datetime, took: timedelta | None = None
) -> History:
    """
    Return `history` after the run that hung has ended, in whatever way.

    Args:
        history: In which it hangs still.
        at: When it ended.
        took: How long it took in all. None: what the clock on the wall says.
    """
    if history.stalled_since is None:
        return history
    length = at - history.stalled_since if took is None else took
    text = f"after {duration(length)}"
    return add(history._replace(stalled_since=None), Kind.RESUMED, at, text)


def is_flapping(history: History, at: datetime, rules: Rules) -> bool:
    """Say whether the task fails and recovers in turns, instead of being down."""
    changes = history.changes[-rules.turns :]
    return (
        len(changes) == rules.turns
        and timedelta() <= at - changes[0] < rules.non_recoverable_downtime
    )


def _is_forgotten(history: History, at: datetime, rules: Rules) -> bool:
    """Say whether nothing was told or has failed for so long that nothing counts."""
    if history.told_at is None or history.pending:
        return False
    last = history.told_at
    if history.latest is not None:
        last = max(last, history.latest.at)
    return at - last > rules.expiry


def _go_on_or_down(history: History, failure: Failure, rules: Rules) -> History:
    if history.is_down and history.down_since is not None:
        # Both were written to files and read again, maybe not to the last digit.
        difference = abs(history.down_since - failure.down_since)
        if difference < timedelta(seconds=1):
            return history._replace(down_since=failure.down_since)
    return _go_down(history, failure, rules)


def _go_down(history: History, failure: Failure, rules: Rules) -> History:
    """Return `history` at the beginning of a downtime."""
    at = failure.failed_at
    changes = history.changes
    if changes:
        changes = (*changes, at)[-rules.turns :]
    if not is_flapping(history, at, rules):
        # All the mails of a task that flaps are one conversation.
        history = _new_thread(history, at)
    return history._replace(
        is_down=True,
        down_since=failure.down_since,
        reminders=0,
        changes=changes,
        pending=tuple(one for one in history.pending if one.kind is not Kind.HEALED),
    )


def _new_thread(history: History, at: datetime) -> History:
    return history._replace(thread=f"{at.timestamp():.6f}", position=0)


def _remind_if_due(history: History, failure: Failure, rules: Rules) -> History:
    if not history.reminders and (
        failure.downtime + TOLERANCE < rules.non_recoverable_downtime
    ):
        return history
    reached = reminders_until(failure.downtime, rules)
    if reached > history.reminders:
        return remind(history, reached, failure.failed_at)
    if reached < history.reminders - 1:
        # The period is another one now, or a clock was wrong for a while.
        return history._replace(reminders=reached)
    return history


def reminders_until(downtime: timedelta, rules: Rules) -> int:
    """Return how many reminders are due within `downtime`."""
    period = rules.non_recoverable_downtime
    return (downtime + min(period / 100, TOLERANCE)) // period


def remind(history: History, reached: int, at: datetime) -> History:
    """Return `history` with a reminder; however many were missed, it is one."""
    kind = Kind.REACHED_AGAIN if history.reminders else Kind.REACHED
    history = history._replace(reminders=reached)
    if any(one.kind in (Kind.REACHED, Kind.REACHED_AGAIN) for one in history.pending):
        return history
    return add(history, kind, at)


def _kind_of_failure(history: History, failure: Failure, rules: Rules) -> Kind | None:
    """Return as what this failure is to be told, or None."""
    pending = history.pending
    is_pending = any(one.kind in FAILING for one in pending)
    if not history.is_first_told and not any(one.kind is Kind.FIRST for one in pending):
        return Kind.FIRST
    if _is_new(history, failure, rules) and _may_be_new(history, failure, rules):
        return Kind.NEW
    if history.is_told_down or is_pending:
        return None
    return Kind.AGAIN


def _is_new(history: History, failure: Failure, rules: Rules) -> bool:
    told_at = history.known.get(failure.fingerprint)
    if told_at is not None:
        if failure.failed_at - told_at <= rules.expiry:
            return False
        # It was counted meanwhile, as one that is known.
        if any(
            item.fingerprint == failure.fingerprint and item.count > 1
            for item in history.tally.exceptions
        ):
            return False
    return all(one.fingerprint != failure.fingerprint for one in history.pending)


def _may_be_new(history: History, failure: Failure, rules: Rules) -> bool:
    lately = failure.failed_at - rules.non_recoverable_downtime
    # What is told of the time to come was told by a clock that was ahead.
    told_new = sum(lately < at <= failure.failed_at for at in history.new_at)
    waiting = sum(one.kind is Kind.NEW for one in history.pending)
    return told_new + waiting < min(rules.max_new_exceptions, MAX_NEW)


def add(
    history: History,
    kind: Kind,
    at: datetime,
    message: str = "",
    fingerprint: str = "",
) -> History:
    """Return `history` with one more reason to tell something."""
    number = history.number + 1
    reason = Reason(kind, number, at, one_line(message, MESSAGE), fingerprint)
    pending = tuple(
        one
        for one in history.pending
        # Of those that would say the same, the last one says it.
        if one.kind is not kind or kind is Kind.NEW
    )
    return history._replace(
        number=number,
        pending=(*pending, reason),
        evidence=history.latest if kind in _SHOWN else history.evidence,
    )


def settle(history: History, at: datetime) -> History:
    """Compare what is with what the admins know, or will know; add what differs."""
    is_failure_pending = any(one.kind in FAILING for one in history.pending)
    if not history.is_down:
        is_healed_pending = any(one.kind is Kind.HEALED for one in history.pending)
        if (history.is_told_down or is_failure_pending) and not is_healed_pending:
            return add(history, Kind.HEALED, at)
        return history
    if history.is_told_down or is_failure_pending or history.latest is None:
        return history
    latest = history.latest
    kind = Kind.AGAIN if history.is_first_told else Kind.FIRST
    return add(history, kind, at, latest.message, latest.fingerprint)
