"""Downtimes: consecutive failures of one task, from the first to the recovery."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from yourlabs.runner.failures.records import ExceptionCount

MAX_DISTINCT = 50
"""How many distinct exceptions of one downtime are remembered."""

MAX_MESSAGE = 500
"""How much of a message is remembered with them, in characters."""

INTERRUPTED_LIMIT = timedelta(hours=1)
"""Longest wait that repeated crashes of the process can grow a cooldown to."""


@dataclass
class Incident:
    """
    One downtime of one task.

    It belongs to the thread of the chain, which alone changes it.
    """

    down_since: datetime
    began: float = 0.0
    """When it began on this process's monotonic clock, in seconds."""
    failures: int = 0
    interrupted: int = 0
    """How many of the last failures in a row took their process with them."""
    exceptions: dict[str, ExceptionCount] = field(default_factory=dict)
    """By fingerprint; the first `MAX_DISTINCT` of them."""

    def add(self, exception_type: str, message: str, fingerprint: str) -> None:
        """Count one more failure."""
        self.failures += 1
        known = self.exceptions.get(fingerprint)
        if known is None and len(self.exceptions) >= MAX_DISTINCT:
            return
        if known is None:
            known = ExceptionCount(
                exception_type, message[:MAX_MESSAGE], fingerprint, 0
            )
        self.exceptions[fingerprint] = ExceptionCount(
            known.exception_type, known.message, fingerprint, known.count + 1
        )

    def downtime(self, monotonic: float) -> timedelta:
        """Return how long it has lasted, at `monotonic` of this process's clock."""
        return timedelta(seconds=max(0.0, monotonic - self.began))

    def distinct(self) -> tuple[ExceptionCount, ...]:
        """Return the distinct exceptions, most frequent first."""
        return tuple(
            sorted(self.exceptions.values(), key=lambda item: item.count, reverse=True)
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "down_since": self.down_since.timestamp(),
            "failures": self.failures,
            "interrupted": self.interrupted,
            "exceptions": [
                [item.exception_type, item.message, item.fingerprint, item.count]
                for item in self.exceptions.values()
            ],
        }


def resumed(down_since: float, *, now: float, monotonic: float) -> Incident:
    """
    Return the incident of a downtime that another owner saw begin.

    Args:
        down_since: When it began, in seconds since the epoch.
        now: Seconds since the epoch.
        monotonic: The same moment on this process's monotonic clock, in seconds.
    """
    began = monotonic - max(0.0, now - down_since)
    return Incident(datetime.fromtimestamp(down_since, timezone.utc), began)


def incident_from_json(value: Any, *, now: float, monotonic: float) -> Incident | None:
    """
    Return the incident that `to_json` wrote, or None when it is not one.

    Args:
        value: What was read.
        now: As for `resumed`.
        monotonic: As for `resumed`.
    """
    try:
        incident = resumed(float(value["down_since"]), now=now, monotonic=monotonic)
        incident.failures = _count(value["failures"])
        incident.interrupted = _count(value["interrupted"])
        for exception_type, message, fingerprint, count in value["exceptions"]:
            incident.exceptions[str(fingerprint)] = ExceptionCount(
                str(exception_type), str(message), str(fingerprint), _count(count)
            )
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None
    if len(incident.exceptions) > MAX_DISTINCT or not incident.failures:
        return None
    return incident


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        msg = f"{value!r} is no count"
        raise ValueError(msg)
    return value


def incidents_from_json(
    value: Any, *, now: float, monotonic: float
) -> dict[str, Incident]:
    """Return the incidents by the keys of the tasks; what is not one is left out."""
    if not isinstance(value, Mapping):
        return {}
    read = {
        str(key): incident_from_json(item, now=now, monotonic=monotonic)
        for key, item in value.items()
    }
    return {key: incident for key, incident in read.items() if incident is not None}


def interrupted_cooldown(fail_cooldown: timedelta, interrupted: int) -> timedelta:
    """
    Return the wait after a run that its process did not survive.

    It doubles with each such run in a row, so that a task that crashes its process
    costs fewer and fewer of them, up to an hour or the task's own longer cooldown.
    """
    if fail_cooldown >= INTERRUPTED_LIMIT:
        return fail_cooldown
    base = max(fail_cooldown, timedelta(seconds=1))
    factor: int = 2 ** min(interrupted - 1, 12)
    return min(INTERRUPTED_LIMIT, base * factor)
