"""The status of chains as plain values: what the command, the page and code read."""

from __future__ import annotations

import socket
import time
from typing import Any

from yourlabs.runner.failures.text import printable
from yourlabs.runner.steer.reading import Reading, TaskReading, read_chains, require
from yourlabs.runner.storage.desired import Hold, hold_to_json

VERSION = 1


def status(name: str | None = None) -> dict[str, Any]:
    """
    Return how the chains fare, whichever processes run them.

    It is read from what their owners write, so that every process of the same user
    gets the same. Times are seconds since the epoch; None is unknown, or never. See
    the reference for the keys.

    Args:
        name: Of the one chain that is wanted. None: all that are known.

    Raises:
        UnknownChain: There is none of this name. It is a `LookupError`.
    """
    readings = read_chains(None if name is None else [require(name)])
    now = time.time()
    return {
        "version": VERSION,
        "host": socket.gethostname(),
        "at": now,
        "chains": [chain_document(reading, now) for reading in readings],
    }


def chain_document(reading: Reading, now: float) -> dict[str, Any]:
    """Return how one chain fares."""
    state, reason = state_of(reading, now)
    desired, run = reading.desired.at(now), reading.run
    is_next_known = state in ("cooling_down", "running") and run is None
    return {
        "name": reading.name,
        "reason": reason,
        "state": state,
        "owner": _owner(reading),
        "current": None if run is None else {"task": run.task, "since": run.since},
        "next_run": reading.due if is_next_known else None,
        "paused": hold_to_json(desired.paused),
        "silenced": hold_to_json(desired.silenced),
        "asked": {"wake": reading.desired.wake},
        "seen": {"wake": reading.seen.wake},
        "tasks": [_task(task) for task in reading.tasks.values()],
    }


def _owner(reading: Reading) -> dict[str, Any] | None:
    record = reading.record
    if record is None or record.released:
        return None
    return {
        "pid": record.owner.pid,
        "host": record.owner.host,
        "kind": record.owner.kind,
        "since": record.since,
        "token": record.seq,
        "alive": reading.lives,
    }


def _task(task: TaskReading) -> dict[str, Any]:
    history, downtime = task.history, task.downtime
    exception = None
    if downtime.is_down and downtime.latest is not None:
        latest = downtime.latest
        exception = {
            "type": printable(latest.exception_type),
            "message": printable(latest.message),
        }
    return {
        "path": task.path,
        "name": task.name,
        "runs": history.runs,
        "failures": history.failures,
        "consecutive": downtime.consecutive if downtime.is_down else 0,
        "last_run": history.last_run,
        "last_success": history.last_success,
        "last_duration": history.last_duration,
        "down_since": downtime.since if downtime.is_down else None,
        "exception": exception,
    }


def state_of(reading: Reading, now: float) -> tuple[str, str]:
    """Return what a chain does, in one word, and why, where that needs saying."""
    record = reading.record
    if reading.problem:
        return "unknown", reading.problem
    if reading.run is not None:
        limit = stalled(reading)
        return ("stalled", limit) if limit else ("running", "")
    paused = reading.desired.at(now).paused
    if paused is not None:
        return "paused", describe_hold(paused)
    if reading.lives:
        is_due = reading.due is None or reading.due <= now
        return ("running" if is_due else "cooling_down"), ""
    if reading.has_candidate:
        return "standby", "A process waits to take it over."
    if record is None:
        return "stopped", "It has not run yet."
    if record.released:
        return "stopped", "Its last owner let go of it in good order."
    owner = f"process {record.owner.pid} on {record.owner.host}"
    return "stopped", f"Its owner, {owner}, is gone, and nobody has taken it over yet."


def stalled(reading: Reading) -> str:
    """Return which run takes too long; empty where none does."""
    run = reading.run
    if run is None:
        return ""
    for task in reading.tasks.values():
        hang = task.downtime.hang if task.downtime.hangs else None
        if hang is None or task.path != run.task:
            continue
        # It may be the hang of the run before, whose end is not written yet.
        if hang.started_at >= run.since - 0.01:
            return f"{task.name} takes longer than the {hang.limit:g} s it may take."
    return ""


def describe_hold(hold: Hold) -> str:
    """Return for a person who holds a chain, and why."""
    reason = f": {hold.reason}" if hold.reason else ""
    return f"By {hold.by or 'somebody'}{reason}"
