"""
When the admins are told what is pending, and what is so when they were.

A mail goes out when the `Allowance` has one left, and until then everything that
happens is counted into it. Nothing is told before the mail server took it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from yourlabs.runner.notify.histories import MAX_KNOWN, MAX_NEW, History, Rules
from yourlabs.runner.notify.notifications import (
    is_flapping,
    remind,
    reminders_until,
    settle,
)
from yourlabs.runner.notify.report import FAILING, Kind, Report


def wait(history: History, at: datetime, rules: Rules) -> timedelta | None:
    """Return how long what is pending has to wait; None: nothing is pending."""
    if not history.pending:
        return None
    # What is told would change what the admins believe.
    borrow = history.is_down != history.is_told_down
    return history.allowance.wait(
        at, size=rules.size, period=rules.non_recoverable_downtime, borrow=borrow
    )


def make_report(
    history: History,
    at: datetime,
    rules: Rules,
    *,
    chain: str = "",
    task: str = "",
    where: str = "",
) -> tuple[History, Report | None]:
    """
    Return what is to be told at `at`, with everything counted until then.

    Returns:
        The history, with a reminder in it when one is due by now, and the report.
        None: nothing is pending, or it has to wait.
    """
    counted_at = history.allowance.at
    if counted_at is not None and counted_at > at:
        # The clock was set back. It grows from now on, not from then.
        history = history._replace(allowance=history.allowance._replace(at=at))
    length = wait(history, at, rules)
    if length is None or length:
        return history, None
    downtime = history.downtime
    if history.is_down and history.latest is not None:
        # When it was held back, time has passed since the last failure.
        downtime += max(timedelta(), at - history.latest.at)
        reached = reminders_until(downtime, rules)
        if reached > history.reminders:
            history = remind(history, reached, at)
    evidence, tally = history.evidence, history.tally
    if evidence is None and not history.is_down and history.latest is not None:
        # What it was that has been overcome; how it came about was told before.
        evidence = history.latest._replace(traceback="")
    return history, Report(
        chain=chain,
        task=task,
        at=at,
        reasons=history.pending,
        is_down=history.is_down,
        down_since=history.down_since,
        downtime=downtime,
        consecutive=history.consecutive,
        failures=tally.failures,
        since=tally.since,
        exceptions=tally.exceptions,
        recoveries=tally.recoveries,
        stalls=tally.stalls,
        evidence=evidence,
        stack=history.stack,
        is_flapping=is_flapping(history, at, rules),
        start=history.start,
        next_at=_next_at(history, at, rules),
        where=(history.evidence.where if history.evidence else "") or where,
        thread=history.thread,
        position=history.position,
    )


def told(history: History, report: Report, at: datetime, rules: Rules) -> History:
    """Return `history` after `report` was delivered, at `at`."""
    number = max(reason.number for reason in report.reasons)
    if number <= history.told_number:
        # It was given up, sent again, and then arrived after all.
        return history
    kinds = {reason.kind for reason in report.reasons}
    pending = tuple(one for one in history.pending if one.number > number)
    new_at = history.new_at
    if Kind.NEW in kinds:
        new_at = (*new_at, at)[-MAX_NEW:]
    history = history._replace(
        pending=pending,
        told_number=number,
        tally=history.tally.without(report),
        told_at=at,
        known=_known(history, report, at, rules),
        new_at=new_at,
        allowance=history.allowance.spend(
            at, size=rules.size, period=rules.non_recoverable_downtime
        ),
        position=history.position + (report.thread == history.thread),
        evidence=history.evidence if pending else None,
        stack=history.stack if history.stalled_since or pending else "",
    )
    if kinds & FAILING:
        history = history._replace(is_first_told=True, start="")
    if kinds & FAILING or Kind.HEALED in kinds:
        history = history._replace(is_told_down=report.is_down)
    return settle(history, at)


def _known(
    history: History, report: Report, at: datetime, rules: Rules
) -> dict[str, datetime]:
    known = {
        fingerprint: told_at
        for fingerprint, told_at in history.known.items()
        if at - told_at <= rules.expiry
    }
    shown = [item.fingerprint for item in report.exceptions]
    for fingerprint in shown + [reason.fingerprint for reason in report.reasons]:
        if fingerprint:
            # Again at the end: the oldest are forgotten first.
            known.pop(fingerprint, None)
            known[fingerprint] = at
    for fingerprint in list(known)[:-MAX_KNOWN]:
        del known[fingerprint]
    return known


def _next_at(history: History, at: datetime, rules: Rules) -> datetime | None:
    """Return when the next reminder is due after a mail at `at`."""
    if not history.is_down or history.down_since is None:
        return None
    period = rules.non_recoverable_downtime
    due = history.down_since + (history.reminders + 1) * period
    after = history.allowance.spend(at, size=rules.size, period=period)
    left = after.wait(at, size=rules.size, period=period, borrow=False)
    return max(due, at + left)
