"""Snapshots of a chain: what it does and how it fares."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

STARTING = "starting"
STANDBY = "standby"
RUNNING = "running"
STALLED = "stalled"
COOLING_DOWN = "cooling down"
PAUSED = "paused"
STOPPED = "stopped"


@dataclass(frozen=True)
class TaskStatus:
    """How one task of a chain fares; counted since this thread was made."""

    name: str
    path: str
    runs: int
    failures: int
    consecutive: int
    """Failures in a row until now; 0 when the last run succeeded."""
    last_run: datetime | None
    """When its last run began, in UTC. None: not yet."""
    down_since: datetime | None
    """When the first of the failures in a row was. None: it is healthy."""


@dataclass(frozen=True)
class ChainStatus:
    """A chain as it was at one moment."""

    name: str
    state: str
    """``starting``, ``standby`` (another process runs it), ``running``, ``stalled``
    (a run takes longer than its `max_duration`), ``cooling down``, ``paused`` or
    ``stopped``."""
    reason: str
    """Why it is in this state, where that needs saying; else empty."""
    current_task: str | None
    """Name of the task that is running. None: none is."""
    runs: int
    failures: int
    last_run: datetime | None
    """When the last run began, in UTC. None: there was none."""
    next_run: datetime | None
    """When the current cooldown ends, in UTC. None: it is in no cooldown."""
    down_since: datetime | None
    """Since when at least one task has been failing. None: all are healthy."""
    tasks: tuple[TaskStatus, ...]


def instant(epoch: float) -> datetime:
    """Return a moment, given in seconds since the epoch, in UTC."""
    return datetime.fromtimestamp(epoch, timezone.utc)
