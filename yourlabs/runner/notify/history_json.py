"""
Histories as plain JSON values, and back.

What is read is never trusted: whatever it is, a history comes of it, and what does
not make sense in it is as if it had not been written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from yourlabs.runner.failures.records import ExceptionCount
from yourlabs.runner.failures.text import cut, one_line, printable
from yourlabs.runner.notify.allowance import Allowance
from yourlabs.runner.notify.histories import (
    MAX_DISTINCT,
    MAX_KNOWN,
    MAX_NEW,
    MESSAGE,
    NOTHING,
    History,
    Tally,
)
from yourlabs.runner.notify.report import FAILING, Evidence, Kind, Reason

MAX_COUNT = 10**12
"""A larger count was never counted."""

MAX_PENDING = MAX_NEW + len(Kind)
"""There cannot be more reasons than that at once."""

MAX_TEXT = 20_000
"""Longest text that is read, in characters."""

SLACK = timedelta(days=1)
"""An instant that is further in the future was never seen."""


def history_to_json(history: History, *, text: int = 8_000) -> dict[str, Any]:
    """
    Return `history` as plain values.

    Args:
        history: Of one task.
        text: How much of the traceback and the stack is kept, in bytes.
    """
    return {
        "pending": [_reason_to_json(reason) for reason in history.pending],
        "number": history.number,
        "told_number": history.told_number,
        "tally": _tally_to_json(history.tally),
        "is_down": history.is_down,
        "down_since": _epoch(history.down_since),
        "downtime": history.downtime.total_seconds(),
        "consecutive": history.consecutive,
        "latest": _evidence_to_json(history.latest, 0),
        "evidence": _evidence_to_json(history.evidence, text),
        "reminders": history.reminders,
        "changes": [at.timestamp() for at in history.changes],
        "stalled_since": _epoch(history.stalled_since),
        "stack": cut(printable(history.stack), text) if history.stack else "",
        "is_first_told": history.is_first_told,
        "is_told_down": history.is_told_down,
        "told_at": _epoch(history.told_at),
        "known": {key: at.timestamp() for key, at in history.known.items()},
        "new_at": [at.timestamp() for at in history.new_at],
        "allowance": [history.allowance.left, _epoch(history.allowance.at)],
        "start": history.start,
        "thread": history.thread,
        "position": history.position,
    }


def history_from_json(value: Any, at: datetime) -> History:
    """Return the history that was written, as far as it makes sense at `at`."""
    if value is None:
        # Of most tasks; what it takes to make one stays with a chain's thread.
        return NOTHING
    read = _Reader(value, at)
    pending = tuple(
        reason
        for item in read.items("pending")[:MAX_PENDING]
        if (reason := _reason_from_json(item, at)) is not None
    )
    told_number = read.count("told_number")
    highest = max((reason.number for reason in pending), default=0)
    latest = _evidence_from_json(read.get("latest"), at)
    evidence = _evidence_from_json(read.get("evidence"), at)
    if evidence is None and any(reason.kind in FAILING for reason in pending):
        evidence = latest
    down_since = read.instant("down_since")
    return History(
        pending=tuple(reason for reason in pending if reason.number > told_number),
        number=max(read.count("number"), highest, told_number),
        told_number=told_number,
        tally=_tally_from_json(read.get("tally"), at),
        is_down=read.flag("is_down") and down_since is not None,
        down_since=down_since,
        downtime=read.length("downtime"),
        consecutive=read.count("consecutive"),
        latest=latest,
        evidence=evidence,
        reminders=read.count("reminders"),
        changes=read.instants("changes"),
        stalled_since=read.instant("stalled_since"),
        stack=read.text("stack"),
        is_first_told=read.flag("is_first_told"),
        is_told_down=read.flag("is_told_down"),
        told_at=read.instant("told_at"),
        known=read.known(),
        new_at=read.instants("new_at"),
        allowance=read.allowance(),
        start=one_line(read.text("start"), MESSAGE),
        thread=one_line(read.text("thread"), 40),
        position=read.count("position"),
    )


def _tally_to_json(tally: Tally) -> dict[str, Any]:
    return {
        "failures": tally.failures,
        "exceptions": [
            [item.exception_type, item.message, item.fingerprint, item.count]
            for item in tally.exceptions
        ],
        "recoveries": tally.recoveries,
        "stalls": tally.stalls,
        "since": _epoch(tally.since),
    }


def _tally_from_json(value: Any, at: datetime) -> Tally:
    read = _Reader(value, at)
    failures = read.count("failures")
    exceptions: dict[str, ExceptionCount] = {}
    for item in read.items("exceptions")[:MAX_DISTINCT]:
        if isinstance(item, list) and len(item) == 4:
            kind, message, fingerprint, count = item
            if all(isinstance(text, str) for text in item[:3]) and _is_count(count):
                exceptions[fingerprint] = ExceptionCount(
                    one_line(kind, MESSAGE),
                    one_line(message, MESSAGE),
                    one_line(fingerprint, MESSAGE),
                    count,
                )
    if sum(item.count for item in exceptions.values()) > failures:
        # What is told must add up, and what it is made of matters less.
        exceptions = {}
    return Tally(
        failures,
        tuple(exceptions.values()),
        read.count("recoveries"),
        read.count("stalls"),
        read.instant("since"),
    )


def _reason_to_json(reason: Reason) -> list[Any]:
    at = reason.at.timestamp()
    return [reason.kind.value, reason.number, at, reason.message, reason.fingerprint]


def _reason_from_json(value: Any, at: datetime) -> Reason | None:
    if not isinstance(value, list) or len(value) != 5:
        return None
    kind, number, epoch, message, fingerprint = value
    instant = _instant(epoch, at)
    if instant is None or not _is_count(number) or not isinstance(message, str):
        return None
    if not isinstance(fingerprint, str):
        return None
    try:
        known = Kind(kind)
    except (TypeError, ValueError):
        return None
    return Reason(
        known, number, instant, one_line(message, MESSAGE), fingerprint[:MESSAGE]
    )


def _evidence_to_json(evidence: Evidence | None, text: int) -> list[Any] | None:
    if evidence is None:
        return None
    return [
        evidence.exception_type,
        one_line(evidence.message, 1_000),
        cut(evidence.traceback, text) if text else "",
        evidence.fingerprint,
        evidence.at.timestamp(),
        evidence.where,
    ]


def _evidence_from_json(value: Any, at: datetime) -> Evidence | None:
    if not isinstance(value, list) or len(value) != 6:
        return None
    instant = _instant(value[4], at)
    texts = [*value[:4], value[5]]
    if instant is None or not all(isinstance(text, str) for text in texts):
        return None
    kind, message, traceback, fingerprint, where = (
        printable(text[:MAX_TEXT]) for text in texts
    )
    return Evidence(kind, message, traceback, fingerprint, instant, where)


def _epoch(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def _instant(value: Any, at: datetime) -> datetime | None:
    if not _is_number(value):
        return None
    try:
        instant = datetime.fromtimestamp(value, timezone.utc)
    except (OverflowError, OSError, ValueError):
        return None
    # The clock was set back, or was wrong when it was written.
    return instant if instant <= at + SLACK else at


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return -MAX_COUNT <= value <= MAX_COUNT and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return _is_number(value) and isinstance(value, int) and value >= 0


class _Reader:
    """Takes from a mapping what is of the type that is asked for."""

    def __init__(self, value: Any, at: datetime) -> None:
        self._values: Mapping[Any, Any] = value if isinstance(value, Mapping) else {}
        self._at = at

    def get(self, key: str) -> Any:
        return self._values.get(key)

    def flag(self, key: str) -> bool:
        return self._values.get(key) is True

    def count(self, key: str) -> int:
        value = self._values.get(key)
        return int(value) if value is not None and _is_count(value) else 0

    def length(self, key: str) -> timedelta:
        value = self._values.get(key)
        if not _is_number(value) or not value or not 0 < value < 10**11:
            return timedelta()
        return timedelta(seconds=value)

    def text(self, key: str) -> str:
        value = self._values.get(key)
        return printable(value[:MAX_TEXT]) if isinstance(value, str) else ""

    def items(self, key: str) -> list[Any]:
        value = self._values.get(key)
        return value if isinstance(value, list) else []

    def instant(self, key: str) -> datetime | None:
        return _instant(self._values.get(key), self._at)

    def instants(self, key: str) -> tuple[datetime, ...]:
        read = (_instant(item, self._at) for item in self.items(key)[-MAX_NEW:])
        return tuple(item for item in read if item is not None)

    def known(self) -> dict[str, datetime]:
        value = self._values.get("known")
        if not isinstance(value, Mapping):
            return {}
        read = {
            key[:MESSAGE]: _instant(item, self._at)
            for key, item in list(value.items())[-MAX_KNOWN:]
            if isinstance(key, str)
        }
        return {key: item for key, item in read.items() if item is not None}

    def allowance(self) -> Allowance:
        value = self.items("allowance")
        if len(value) != 2 or not _is_number(value[0]):
            return Allowance()
        at = _instant(value[1], self._at)
        # One mail may be borrowed, no more.
        return Allowance(max(-1.0, float(value[0])), at) if at else Allowance()
