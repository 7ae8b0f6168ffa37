"""What the admins read: the subject and the body of a mail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple

from yourlabs.runner.failures.records import ExceptionCount
from yourlabs.runner.failures.text import cut, one_line, printable

MAX_SUBJECT = 180
"""Longest subject, in characters."""

MAX_BODY = 30_000
"""Longest body, in bytes of UTF-8: three times as much in a mail, at the worst."""

MAX_MESSAGE = 120
"""How much of an exception's message a subject has, in characters."""


class Kind(str, Enum):
    """Why a mail is sent."""

    FIRST = "first"
    """The first failure since the chain was started."""
    NEW = "new"
    """An exception that nobody was told of."""
    AGAIN = "again"
    """A failure after a recovery that was told."""
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


PHRASES = {
    Kind.FIRST: "First exception caught",
    Kind.NEW: "New exception caught",
    Kind.AGAIN: "Failing again",
    Kind.REACHED: "Non recoverable downtime reached",
    Kind.REACHED_AGAIN: "Non recoverable downtime reached again",
    Kind.HEALED: "Process healed",
    Kind.STALLED: "Task stalled",
    Kind.RESUMED: "Stalled task ended",
}
"""What a subject says, in the order in which several reasons are said."""

FAILING = frozenset(
    (Kind.FIRST, Kind.NEW, Kind.AGAIN, Kind.REACHED, Kind.REACHED_AGAIN)
)
"""The reasons that tell the task is down."""


_OF_STALLS = frozenset((Kind.STALLED, Kind.RESUMED))


class Reason(NamedTuple):
    """One thing that is to be told of a task."""

    kind: Kind
    number: int
    """Grows with each reason of the task."""
    at: datetime
    message: str = ""
    """Of the exception, on one line."""
    fingerprint: str = ""
    """Of the exception; empty when it is not about one."""


class Evidence(NamedTuple):
    """One failure as it is shown."""

    exception_type: str
    message: str
    traceback: str
    fingerprint: str
    at: datetime
    where: str = ""
    """Host, process and release it happened in."""


@dataclass(frozen=True)
class Report:
    """
    What is told of one task at one time.

    It is a value without live objects: it may be kept, and sent from any thread.
    """

    chain: str
    """Name of the chain."""
    task: str
    """Name of the task."""
    at: datetime
    """When it was made: aware, UTC, like every instant here."""
    reasons: tuple[Reason, ...]
    """Why it is sent; the oldest first, never empty."""
    is_down: bool
    """The task's last run failed."""
    down_since: datetime | None = None
    """When the downtime began, this one or the last. None: there was none."""
    downtime: timedelta = timedelta()
    """How long it has lasted, or lasted."""
    consecutive: int = 0
    """How many runs failed in this downtime."""
    failures: int = 0
    """How many failed since the last mail: no failure is in two mails, or in none."""
    since: datetime | None = None
    """When the first of these failed."""
    exceptions: tuple[ExceptionCount, ...] = ()
    """The distinct exceptions of these, with counts; bounded."""
    recoveries: int = 0
    """How many downtimes ended since the last mail."""
    stalls: int = 0
    """How many runs stalled since the last mail."""
    evidence: Evidence | None = None
    """The failure that is told."""
    stack: str = ""
    """Where a stalled run is, or was."""
    is_flapping: bool = False
    """The task fails and recovers in turns."""
    start: str = ""
    """Why what was told before no longer counts; empty when it does."""
    next_at: datetime | None = None
    """When the next reminder is due; None: no sooner than something changes."""
    where: str = ""
    """Host, process and release that it is told of."""
    thread: str = ""
    """Key that all the mails of one downtime share."""
    position: int = 0
    """How many mails of this thread were sent before."""

    @property
    def reason(self) -> str:
        """The reasons on one line."""
        return one_line("; ".join(_phrases(self)), MAX_SUBJECT)

    @property
    def subject(self) -> str:
        """``[task] REASON``: one line, and not too long for any mail reader."""
        return one_line(f"[{self.task}] {self.reason}", MAX_SUBJECT)

    @property
    def body(self) -> str:
        """Plain text; the first screen says all that matters."""
        return cut(printable("\n".join(_body(self))), MAX_BODY, head=0.8) + "\n"


def _phrases(report: Report) -> Iterator[str]:
    flapping = "Flapping: " if report.is_flapping else ""
    for kind, phrase in PHRASES.items():
        reasons = [reason for reason in report.reasons if reason.kind is kind]
        if not reasons:
            continue
        text = f"{flapping}{phrase}"
        flapping = ""
        if reasons[0].message:
            text += f": {one_line(reasons[0].message, MAX_MESSAGE)}"
        if len(reasons) > 1:
            text += f" (and {len(reasons) - 1} more)"
        yield text


def _body(report: Report) -> Iterator[str]:
    yield _headline(report)
    yield ""
    yield from (f"{name + ':':<30}{value}" for name, value in _facts(report) if value)
    others = _others(report)
    if others:
        yield ""
        yield "Exceptions since the last mail:"
        yield from others
    if report.evidence is not None and report.evidence.traceback:
        yield ""
        yield f"Failure at {_instant(report.evidence.at)}:"
        yield ""
        yield report.evidence.traceback.rstrip("\n")
    if report.stack:
        yield ""
        yield "Where the run hung, the last call at the end:"
        yield ""
        yield cut(printable(report.stack), 20_000).rstrip("\n")


def _headline(report: Report) -> str:
    kinds = {reason.kind for reason in report.reasons}
    if report.is_flapping:
        now = "down" if report.is_down else "up"
        return f"{report.task} fails and recovers in turns; now it is {now}."
    if report.is_down:
        return f"{report.task} is down."
    if Kind.HEALED in kinds:
        return f"{report.task} works again."
    if Kind.RESUMED in kinds:
        return f"The run of {report.task} that hung has ended."
    return f"{report.task} hangs: a run takes longer than max_duration."


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    yield "What happened", "; ".join(_phrases(report))
    if any(reason.kind not in _OF_STALLS for reason in report.reasons):
        yield from _downtime(report)
    yield "Failures since the last mail", _rate(report)
    if report.recoveries > 1:
        yield "Recoveries since then", str(report.recoveries)
    yield "Stalled runs since then", str(report.stalls or "")
    if any(reason.kind is Kind.FIRST for reason in report.reasons):
        yield "New start", report.start
    yield "Next mail", _next(report)
    yield "Chain", report.chain
    yield "Where", report.where


def _downtime(report: Report) -> Iterator[tuple[str, str]]:
    evidence = report.evidence
    if evidence is not None:
        yield "Exception", evidence.exception_type.removeprefix("builtins.")
        yield "Message", one_line(evidence.message, 1_000)
    if report.down_since is not None:
        yield "Down since", _instant(report.down_since)
        if not report.is_down:
            yield "Up since", _instant(report.down_since + report.downtime)
        if report.downtime >= timedelta(seconds=1):
            yield "Downtime", duration(report.downtime)
        yield "Failures in this downtime", str(report.consecutive)


def _rate(report: Report) -> str:
    if report.failures < 2 or report.since is None:
        return str(report.failures)
    end = report.at
    if not report.is_down and report.down_since is not None:
        end = report.down_since + report.downtime
    each = (end - report.since) / (report.failures - 1)
    if each <= timedelta():
        return str(report.failures)
    return f"{report.failures} (one every {duration(each)})"


def _next(report: Report) -> str:
    if not report.is_down:
        return "when something happens."
    if report.next_at is None:
        return "when something changes."
    return f"{_instant(report.next_at)} if it is still down, or sooner."


def _others(report: Report) -> list[str]:
    counted = sum(item.count for item in report.exceptions)
    if report.failures < 2 and len(report.exceptions) < 2:
        return []
    lines = []
    for item in sorted(report.exceptions, key=lambda item: -item.count):
        name = item.exception_type.removeprefix("builtins.")
        lines.append(f"{item.count:>7} x {one_line(f'{name}: {item.message}', 190)}")
    if report.failures > counted:
        lines.append(f"{report.failures - counted:>7} x others")
    return lines


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def duration(length: timedelta) -> str:
    """Return `length` in words, with two units at the most: ``2 days 3 hours``."""
    seconds = length.total_seconds()
    if seconds < 10:
        text = f"{max(seconds, 0):.1f}".removesuffix(".0")
        return f"{text} second{'s' * (text != '1')}"
    parts = []
    left = round(seconds)
    for name, size in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}{'s' * (count > 1)}")
    return " ".join(parts[:2])
