"""The text of a mail: its subject and its body. Other channels send the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from yourlabs.runner.failures.downtime import Downtime, Hang, counted
from yourlabs.runner.failures.redact import redact
from yourlabs.runner.failures.text import cut, first_line, one_line, printable
from yourlabs.runner.notify.throttle import Kind, Reason, thread_of
from yourlabs.runner.notify.told import Told

MAX_SUBJECT = 180
"""Longest subject, in characters."""

MAX_BODY = 30_000
"""Longest body, in bytes of UTF-8: three times as much in a mail, at the worst."""

MAX_MESSAGE = 120
"""How much of an exception's message a subject has, in characters."""

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
"""The words for each reason, in subjects and bodies."""

_OF_STALLS = frozenset((Kind.STALLED, Kind.RESUMED))
_ADDRESS = re.compile(r" at 0x[0-9a-f]+", re.IGNORECASE)
_LIBRARY = re.compile(
    r"/site-packages/|/dist-packages/|/lib(64)?/python3\.|/yourlabs/runner/(?!tasks)"
    r"|<frozen "
)
_CALENDAR = 253_402_300_799.0


@dataclass(frozen=True)
class Report:
    """What is reported of one task at one time: a value, for any thread."""

    chain: str
    """Name of the chain."""
    task: str
    """Name of the task."""
    path: str
    """Dotted path of its function."""
    at: datetime
    """When it was made: aware, UTC, like every instant here."""
    reasons: tuple[Reason, ...]
    """Why it is sent, never empty; first the one about the present state."""
    what: Downtime
    """The present state."""
    told: Told
    """What the channel has reported before."""
    retry: timedelta = timedelta()
    """In how long it is tried again after a failure; zero: at once, or unknown."""
    next_at: datetime | None = None
    """When the next reminder is due; None: no sooner than something changes."""
    where: str = ""
    """Host, process and release that it comes from."""

    @property
    def is_down(self) -> bool:
        """The task's last run failed."""
        return self.what.is_down

    @property
    def down_since(self) -> datetime | None:
        """When the downtime began, this one or the last. None: there was none."""
        return instant(self.what.since) if self.what.consecutive else None

    @property
    def downtime(self) -> timedelta:
        """How long it has lasted, or lasted."""
        seconds = self.what.lasted
        if self.is_down and self.what.latest is not None:
            # Where it was held back, time has passed since the last failure.
            seconds += max(0.0, self.at.timestamp() - self.what.latest.at)
        return timedelta(seconds=min(seconds, _CALENDAR))

    @property
    def consecutive(self) -> int:
        """How many runs failed in this downtime."""
        return self.what.consecutive

    @property
    def failures(self) -> int:
        """How many failed since the last mail: no failure is in two mails, or none."""
        return self.what.failures - self.told.failures

    @property
    def thread(self) -> str:
        """Key that all the mails of one conversation share."""
        return thread_of(self.what, self.told)

    @property
    def position(self) -> int:
        """How many mails of this thread were sent before."""
        return self.told.position if self.thread == self.told.thread else 0

    @property
    def reason(self) -> str:
        """The first reason, on one line."""
        return one_line(self._phrase(self.reasons[0]), MAX_SUBJECT)

    @property
    def subject(self) -> str:
        """``[task] REASON``: one line, and not too long for any mail reader."""
        return one_line(f"[{self.task}] {self.reason}", MAX_SUBJECT)

    @property
    def body(self) -> str:
        """Plain text; the first screen says all that matters."""
        return cut(printable("\n".join(_body(self))), MAX_BODY, head=0.8) + "\n"

    def _phrase(self, reason: Reason) -> str:
        text = PHRASES[reason.kind]
        if reason.kind is Kind.RESUMED and self.what.hang is not None:
            took = self.what.hang.took
            known = f"after {duration(timedelta(seconds=took or 0))}"
            return f"{text}: {'with its process' if took is None else known}"
        # Further lines of a message are details, and a memory address helps nobody.
        message = _ADDRESS.sub("", first_line(reason.message, 2 * MAX_MESSAGE))
        message = one_line(message, MAX_MESSAGE)
        return f"{text}: {message}" if message else text


def redacted(downtime: Downtime, hook: Callable[[str], str]) -> Downtime:
    """Return `downtime` with its texts masked, and passed through `hook`."""

    def masked(value: Any, *names: str) -> Any:
        texts = ((name, getattr(value, name)) for name in names if value is not None)
        changes = {name: hook(redact(text)) for name, text in texts if text}
        return replace(value, **changes) if changes else value

    return replace(
        downtime,
        seen=tuple(masked(one, "message") for one in downtime.seen),
        latest=masked(downtime.latest, "message", "traceback"),
        hang=masked(downtime.hang, "stack"),
    )


def instant(epoch: float) -> datetime:
    """Return a moment, given in seconds since the epoch, if the calendar has it."""
    return datetime.fromtimestamp(min(max(epoch, 0.0), _CALENDAR), timezone.utc)


def _body(report: Report) -> Iterator[str]:
    kinds = {reason.kind for reason in report.reasons}
    latest, hang = report.what.latest, report.what.hang
    yield _headline(report, kinds)
    yield ""
    yield from (f"{name + ':':<30}{value}" for name, value in _facts(report, kinds))
    if others := _others(report):
        yield from ("", "Exceptions since the last mail:", *others)
    if report.failures and latest is not None and latest.traceback:
        traceback = latest.traceback.rstrip("\n")
        yield from ("", f"Failure at {_moment(instant(latest.at))}:", "", traceback)
    if hang is not None and Kind.STALLED in kinds:
        stack = cut(printable(hang.stack), 20_000).rstrip("\n")
        yield from ("", "Where the run hung, the last call at the end:", "", stack)


def _headline(report: Report, kinds: set[Kind]) -> str:
    """Return the present state, and whether the task mends itself."""
    if report.what.hangs:
        return f"{report.task} hangs: a run takes longer than it may."
    if kinds <= _OF_STALLS and not report.is_down:
        return f"The run of {report.task} that hung has ended."
    text = f"{report.task} {'is down' if report.is_down else 'works again'}."
    times = report.what.recoveries - report.told.recoveries + report.is_down
    if times > 2:
        text += f" It flaps: it went down {times} times since the last mail."
    if report.is_down and report.retry:
        text += f" It is tried again {duration(report.retry)} after each failure."
    return text


def _facts(report: Report, kinds: set[Kind]) -> Iterator[tuple[str, str]]:
    for number, reason in enumerate(report.reasons):
        yield "Also" if number else "What happened", report._phrase(reason)
    yield "Task", report.path
    if kinds & _OF_STALLS and report.what.hang is not None:
        yield from _hang(report, report.what.hang)
    if kinds - _OF_STALLS or report.is_down:
        yield from _downtime(report)
    yield "Failures since the last mail", _rate(report)
    for name in ("recoveries", "stalls"):
        since = getattr(report.what, name) - getattr(report.told, name)
        if since > 1:
            yield f"{name.capitalize()} since then", str(since)
    if report.told.start and kinds & {Kind.FIRST, Kind.NEW}:
        yield "New start", report.told.start
    yield "Next mail", _next(report)
    yield "Chain", report.chain
    yield "Where", report.where


def _hang(report: Report, hang: Hang) -> Iterator[tuple[str, str]]:
    if (frame := own_frame(hang.stack)) and report.what.hangs:
        yield "Hangs in", frame
    yield "Running since", _moment(instant(hang.started_at))
    if report.what.hangs:
        seconds = max(hang.running_for, report.at.timestamp() - hang.started_at)
        yield "Running for", duration(timedelta(seconds=seconds))
    elif hang.took is not None:
        yield "It took", duration(timedelta(seconds=hang.took))
    yield "Limit (max_duration)", duration(timedelta(seconds=hang.limit))


def own_frame(stack: str) -> str:
    """Return the last call in a stack that is of the project itself, on one line."""
    lines = [line.strip() for line in stack.splitlines()]
    for line, below in reversed([*zip(lines, [*lines[1:], ""], strict=False)]):
        if line.startswith('File "') and not _LIBRARY.search(line):
            is_source = below and not below.startswith('File "')
            return one_line(f"{line}: {below}" if is_source else line, 300)
    return ""


def _downtime(report: Report) -> Iterator[tuple[str, str]]:
    latest = report.what.latest
    if latest is not None:
        last = "" if report.is_down else "Last "
        name = latest.exception_type.removeprefix("builtins.")
        yield f"{last}exception".capitalize(), name
        yield f"{last}message".capitalize(), one_line(latest.message, 1_000)
    if report.down_since is not None:
        yield "Down since", _moment(report.down_since)
        if not report.is_down:
            yield "Up since", _moment(instant(report.what.since + report.what.lasted))
        if report.downtime >= timedelta(seconds=1):
            yield "Downtime", duration(report.downtime)
        yield "Failures in this downtime", str(report.consecutive)


def _rate(report: Report) -> str:
    what, told = report.what, report.told
    # From one failure to the last; the first one that counts may be the beginning.
    since, gaps = told.at, report.failures
    if what.since > told.at:
        since, gaps = what.since, what.consecutive - 1
    if report.failures < 2 or gaps < 1 or what.latest is None:
        return str(report.failures)
    each = timedelta(seconds=max(0.0, what.latest.at - since) / gaps)
    if each <= timedelta():
        return str(report.failures)
    return f"{report.failures} (one every {duration(each)})"


def _next(report: Report) -> str:
    if not report.is_down:
        return "when something happens."
    if report.next_at is None:
        return "when something changes."
    return f"{_moment(report.next_at)} if it is still down, or sooner."


def _others(report: Report) -> list[str]:
    latest = report.what.latest
    exceptions = counted(report.what.seen, report.told.new_failures_of)
    left = report.failures - sum(one.count for one in exceptions)
    shown = [latest.fingerprint] if latest else []
    # At a new start known exceptions count as told: they are in `left`, and no news.
    is_known = not left or report.told.start
    if is_known and [one.fingerprint for one in exceptions] in ([], shown):
        return []
    lines = []
    for one in exceptions:
        name = one.exception_type.removeprefix("builtins.")
        new = "" if one.fingerprint in report.told.known else " (new)"
        text = one_line(f"{name}: {one.message}", 190)
        lines.append(f"{one.count:>7} x {text}{new}")
    others = "known before the new start" if report.told.start else "others"
    return [*lines, f"{left:>7} x {others}"] if left > 0 else lines


def _moment(at: datetime) -> str:
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
