"""What the signals carry: plain facts, with no live exception or frame in them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from yourlabs.runner.chain.task import Task


@dataclass(frozen=True)
class Run:
    """One call of one task."""

    task: Task
    chain: str
    """Name of the chain."""
    started_at: datetime
    """Aware, UTC; like every instant here."""
    ended_at: datetime | None = None
    """None while it is running."""
    duration: timedelta | None = None
    """Measured on the monotonic clock. None while it is running."""


@dataclass(frozen=True)
class Failure:
    """A run that raised, or that its process did not survive."""

    task: Task
    chain: str
    started_at: datetime
    failed_at: datetime
    duration: timedelta
    exception_type: str
    """Dotted path of the exception's class."""
    message: str
    """`str(exception)`, bounded."""
    traceback: str
    """As Python prints it, but for the marks below a line; bounded at both ends."""
    fingerprint: str
    """Key that equal failures share."""
    consecutive: int
    """How many failures in a row this one makes; 1 for the first."""
    down_since: datetime
    """When the first of them failed."""
    downtime: timedelta
    """How long the task has been down: 0 for the first failure."""


@dataclass(frozen=True)
class ExceptionCount:
    """One distinct exception of a downtime, and how often it was raised."""

    exception_type: str
    message: str
    """Of the first time."""
    fingerprint: str
    count: int


@dataclass(frozen=True)
class Recovery:
    """The first success after failures."""

    task: Task
    chain: str
    recovered_at: datetime
    down_since: datetime
    downtime: timedelta
    failures: int
    """How many runs failed in this downtime."""
    exceptions: tuple[ExceptionCount, ...]
    """The distinct ones, most frequent first; bounded, `failures` counts them all."""


@dataclass(frozen=True)
class Stall:
    """A run that takes longer than its task's `max_duration`, while it hangs."""

    task: Task
    chain: str
    started_at: datetime
    running_for: timedelta
    stack: str
    """Where the thread is, as text."""
