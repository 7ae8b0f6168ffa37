"""
A run whose process was killed: by kill -9, for want of memory, by a crash.

The next owner finds the mark of the run in the record (`Claim.interrupted`, of
`ownership.pidfile`). Its loop (`ChainLoop._resume`, in `chain.loop`) counts a failed
run, whose message is made here, and serves the cooldown that
`failures.downtime.interrupted_cooldown` returns.
"""

from __future__ import annotations

import builtins
import sys
import threading

from yourlabs.runner.chain.status import instant
from yourlabs.runner.exceptions import RunnerError
from yourlabs.runner.ownership.record import COMMAND, OwnerRecord


class Interrupted(RunnerError):
    """The process that ran the task ended before the task did."""


def describe(record: OwnerRecord, now: float) -> str:
    """
    Return what is known of the end of a process that ended while it ran a task.

    Args:
        record: What the process said of itself.
        now: When it was noticed, in seconds since the epoch.
    """
    owner, run = record.owner, record.run
    kind = "run_functions" if owner.kind == COMMAND else "a web worker"
    text = "Its process ended while the task was running.\nIt was "
    if run is not None and run.since < record.since:
        # That one took over, and ended before it could say so.
        text += "an owner before "
    text += f"process {owner.pid} on {owner.host} ({kind})."
    if run is None:
        return text
    return (
        f"{text} The run had begun at {instant(run.since):%Y-%m-%d %H:%M:%S} UTC, "
        f"{max(0.0, now - run.since):.0f} seconds before this was noticed.\nSo ends "
        "what is killed (kill -9, out of memory, a deploy that does not wait) and what "
        "crashes in code that is not Python; the system's log may say more."
    )


# What the interpreter raises when a thread or a pool is started too late.
_SHUTDOWN = (RuntimeError, getattr(builtins, "PythonFinalizationError", RuntimeError))


def is_shutdown(exc: BaseException) -> bool:
    """Say whether the end of the interpreter cut the run: no fault of the task."""
    # A subclass is the task's own.
    return any(type(exc) is one for one in _SHUTDOWN) and (
        sys.is_finalizing() or getattr(threading, "_SHUTTING_DOWN", False)
    )
