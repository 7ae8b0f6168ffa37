"""How a run can end that neither returned nor raised something of the task's own."""

from __future__ import annotations

import builtins
import sys
import threading
from datetime import datetime, timezone

from yourlabs.runner.ownership.record import COMMAND, OwnerRecord


def describe_interruption(record: OwnerRecord, now: float) -> str:
    """
    Return what is known of the end of a process that ended while it ran a task.

    Args:
        record: What the process said of itself.
        now: When it was noticed, in seconds since the epoch.
    """
    owner, run = record.owner, record.run
    kind = "run_functions" if owner.kind == COMMAND else "a web worker"
    who = f"process {owner.pid} on {owner.host} ({kind})"
    text = "Its process ended while the task was running.\n"
    if run is None:
        return f"{text}It was {who}."
    if run.since < record.since:
        # That one took over, and ended before it could say so.
        text += f"It was an owner before {who}."
    else:
        text += f"It was {who}."
    seconds = max(0.0, now - run.since)
    return (
        f"{text} The run had begun at {instant(run.since):%Y-%m-%d %H:%M:%S} UTC, "
        f"{seconds:.0f} seconds before this was noticed.\nSo ends what is killed "
        "(kill -9, out of memory, a deploy that does not wait) and what crashes in "
        "code that is not Python; the system's log may say more."
    )


def exit_code(exc: BaseException) -> int | None:
    """Return the number that `sys.exit` was given, 0 for none; None: it is no exit."""
    if not issubclass(type(exc), SystemExit):
        return None
    # Whatever a class makes of its attributes.
    code = SystemExit.__dict__["code"].__get__(exc)
    if code is None:
        return 0
    return code if isinstance(code, int) else None


_SHUTDOWN = (RuntimeError, getattr(builtins, "PythonFinalizationError", RuntimeError))
"""What the interpreter raises of a thread or a pool that is started too late."""


def is_shutdown(exc: BaseException) -> bool:
    """Say whether the end of the interpreter cut the run: no fault of the task."""
    # No subclass: that is a task's own.
    return any(type(exc) is one for one in _SHUTDOWN) and (
        sys.is_finalizing() or getattr(threading, "_SHUTTING_DOWN", False)
    )


def instant(epoch: float) -> datetime:
    """Return a moment, given in seconds since the epoch, in UTC."""
    return datetime.fromtimestamp(epoch, timezone.utc)
