"""What comes next in a chain, and how a new owner goes on: values, and no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

MAX_DUE = 1e15  # no due time is as late, in seconds since the epoch


class Plan(NamedTuple):
    """What a chain does next."""

    position: int = 0
    """Of the task that is next."""
    deadline: float = 0.0
    """When it may begin, in seconds on the owner's monotonic clock."""
    after: str = ""
    """Key of the task whose cooldown ends then; empty where there is none."""


START = Plan()


def plan_after(
    plan: Plan, count: int, key: str, deadline: float, *, more: bool = False
) -> Plan:
    """
    Return what comes after the run of the task of `key`, one of `count`, by `plan`.

    Its cooldown ends at `deadline`; with `more` it comes again before the next one.
    """
    index = plan.position if more else (plan.position + 1) % count
    return Plan(index, deadline, key)


def plan_to_json(plan: Plan, keys: Sequence[str], *, offset: float) -> dict[str, Any]:
    """
    Return the plan as plain values that another process understands.

    Args:
        plan: What comes next here.
        keys: Of the chain's tasks, in order; the next one is found by it.
        offset: Seconds since the epoch at the zero of the monotonic clock.
    """
    return {
        "next": keys[plan.position],
        "index": plan.position,
        "due": round(plan.deadline + offset, 3),
        "after": plan.after,
    }


def plan_from_json(
    value: Any,
    keys: Sequence[str],
    *,
    now: float,
    offset: float,
    longest: Mapping[str, float],
) -> Plan:
    """
    Return the plan that `plan_to_json` wrote, or that of a chain that begins.

    Args:
        value: What was read. What no owner can have written is ignored.
        keys, offset: As for `plan_to_json`, in this process.
        now: On this process's monotonic clock, in seconds.
        longest: By key, the longest cooldown that a task can have now, in seconds: the
            most that is waited for, should a clock have been set.
    """
    if not isinstance(value, Mapping):
        return START
    key, index = value.get("next"), value.get("index")
    due, after = value.get("due"), value.get("after")
    if isinstance(due, bool) or not isinstance(due, (int, float)):
        return START
    # Compared first: an integer of JSON can be too large for a float.
    if not -MAX_DUE < due < MAX_DUE or key not in keys or not isinstance(after, str):
        return START
    if type(index) is not int or not 0 <= index < len(keys) or keys[index] != key:
        index = keys.index(key)
    wait = max(0.0, min(due - offset - now, longest.get(after, 0.0)))
    return Plan(index, now + wait, after)
