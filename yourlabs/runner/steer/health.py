"""Health: whether each chain has an owner and is on schedule, failing or not."""

from __future__ import annotations

import time

from yourlabs.runner.steer.document import stalled
from yourlabs.runner.steer.reading import Reading, read_chains

GRACE_S = 30.0
"""How long a chain may be without an owner, in seconds."""

LATE_S = 60.0
"""How late a run may be at the least, in seconds; else twice its cooldown."""


def check(
    wanted: list[str] | None = None, *, strict: bool = False, since: float = 0.0
) -> dict[str, tuple[bool | None, str]]:
    """
    Say of chains whether they are healthy, and why not.

    Args:
        wanted: Their names, which are known. None, or none: those that this process
            declares, and those that did not end in good order.
        strict: A task that fails is unhealthy, too.
        since: When this process began to be able to run them, in seconds since the
            epoch: no owner is missed before that.

    Returns:
        By name True, False, or None: unknown.
    """
    judged = [one for one in read_chains(wanted or None) if wanted or is_expected(one)]
    now = time.time()
    return {one.name: judge(one, now, strict=strict, since=since) for one in judged}


def is_expected(reading: Reading) -> bool:
    """Say whether somebody means the chain to run."""
    record = reading.record
    is_left = record is not None and not record.released
    return reading.is_declared or is_left or bool(reading.problem)


def judge(
    reading: Reading, now: float, *, strict: bool = False, since: float = 0.0
) -> tuple[bool | None, str]:
    """Return whether a chain is healthy, and why not. None: unknown."""
    if reading.problem:
        return None, reading.problem
    if reading.desired.at(now).paused is not None:
        return True, "paused"
    problem = stalled(reading) if reading.lives else _orphaned(reading, now, since)
    problem = problem or _late(reading, now) or (_failing(reading) if strict else "")
    return not problem, problem


def _orphaned(reading: Reading, now: float, since: float) -> str:
    last = max(reading.seen_at or 0.0, since)
    if now - last <= GRACE_S:
        return ""
    if reading.seen_at is None:
        return "It has no owner, and never had one."
    return f"It has had no owner for {now - last:.0f} s."


def _late(reading: Reading, now: float) -> str:
    record = reading.record
    if not reading.lives or record is None or reading.run or reading.due is None:
        return ""
    cooldowns = [task.history.cooldown or 0.0 for task in reading.tasks.values()]
    # Who has just taken over has its first run before it.
    late = now - max(reading.due, record.since)
    if late <= max(LATE_S, 2 * max(cooldowns, default=0.0)):
        return ""
    return f"Its next run has been due for {late:.0f} s."


def _failing(reading: Reading) -> str:
    failing = [t.name for t in reading.tasks.values() if t.downtime.is_down]
    return f"{', '.join(failing)} fails." if failing else ""
