"""Where a chain is in its round, and when it goes on: what a next owner honours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_DUE = 1e15
"""No time is as far away, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """What comes next in a chain."""

    index: int = 0
    """Of the task that is next."""
    due: float = 0.0
    """When it may begin, in seconds since the epoch."""
    after: str = ""
    """Key of the task whose cooldown is being served."""


def schedule_to_json(schedule: Schedule, keys: Sequence[str]) -> dict[str, Any]:
    """Return it as plain values; the task is named, so that a reordered chain shows."""
    return {
        "next": keys[schedule.index],
        "index": schedule.index,
        "due": round(schedule.due, 3),
        "after": schedule.after,
    }


def schedule_from_json(value: Any, keys: Sequence[str]) -> Schedule:
    """Return the schedule that was written, or that of a chain that begins."""
    if not isinstance(value, Mapping):
        return Schedule()
    key, index = value.get("next"), value.get("index")
    due, after = value.get("due"), value.get("after")
    if isinstance(due, bool) or not isinstance(due, (int, float)):
        return Schedule()
    # Compared first: an integer of JSON can be too large for a float.
    if not -MAX_DUE < due < MAX_DUE or key not in keys or not isinstance(after, str):
        return Schedule()
    if type(index) is not int or not 0 <= index < len(keys) or keys[index] != key:
        index = keys.index(key)
    return Schedule(index, float(due), after)


def wait_for(schedule: Schedule, *, now: float, longest: float) -> float:
    """
    Return how many seconds of the cooldown are left.

    Args:
        schedule: What the last owner wrote.
        now: Seconds since the epoch.
        longest: The longest cooldown that the task can have now, in seconds. More than
            that is left only when a clock was set back or the cooldown shortened; it is
            the most that is waited for then.
    """
    return max(0.0, min(schedule.due - now, longest))
