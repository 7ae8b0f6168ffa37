"""What comes next in a chain, and what a next owner makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yourlabs.runner.chain.plan import Plan, plan_after, plan_from_json, plan_to_json

KEYS = ["a", "b", "c"]
NOW = 1_000.0
OFFSET = 1_750_000_000.0
"""Seconds since the epoch at the zero of the first owner's monotonic clock."""
HOUR = 3_600.0


def read(value: Any, keys: list[str] = KEYS, *, offset: float = OFFSET) -> Plan:
    """Return what a next owner makes of `value`, whose cooldowns are an hour."""
    longest = dict.fromkeys(keys, HOUR)
    return plan_from_json(value, keys, now=NOW, offset=offset, longest=longest)


def written(plan: Plan) -> dict[str, Any]:
    """Return what an owner writes."""
    return plan_to_json(plan, KEYS, offset=OFFSET)


@pytest.mark.parametrize(
    ("index", "more", "expected"), [(0, False, 1), (2, False, 0), (1, True, 1)]
)
def test_after(index: int, more: bool, expected: int) -> None:
    """The next task follows, after the last the first; one with more comes again."""
    after = plan_after(Plan(index), 3, "key", 5.0, more=more)

    assert after == Plan(expected, 5.0, "key")


@given(st.integers(0, 2), st.floats(0, HOUR), st.sampled_from(KEYS))
def test_round_trip(index: int, wait: float, after: str) -> None:
    """A plan is read as it was written, to the millisecond."""
    plan = read(written(Plan(index, NOW + wait, after)))

    assert (plan.position, plan.after) == (index, after)
    assert plan.deadline == pytest.approx(NOW + wait, abs=0.002)


def test_other_clock() -> None:
    """The next owner may have been started at another time, or on another boot."""
    plan = read(written(Plan(0, NOW + 60, "a")), offset=OFFSET - 500)

    assert plan.deadline == pytest.approx(NOW + 560, abs=0.002)


def test_reordered() -> None:
    """The next task is found by its key when the chain was reordered."""
    assert read(written(Plan(2, NOW, "b")), ["c", "b", "a"]).position == 0


@pytest.mark.parametrize("index", [None, True, -1, 7, 1.0, "2"])
def test_strange_index(index: Any) -> None:
    """An index that is none does not matter: the key says which task is next."""
    assert read({**written(Plan(2, NOW, "b")), "index": index}).position == 2


def test_task_twice() -> None:
    """A task that stands in a chain twice is found at the place it was written for."""
    value = plan_to_json(Plan(2, NOW, "a"), ["a", "b", "a"], offset=OFFSET)

    assert read(value, ["a", "b", "a"]).position == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"next": "z"},
        {"next": None},
        {"due": None},
        {"due": True},
        {"due": "soon"},
        {"due": float("nan")},
        {"due": float("inf")},
        {"due": 10**400},
        {"after": 1},
    ],
)
def test_strange(changes: dict[str, Any]) -> None:
    """What no owner can have written is a chain that begins, with its first task."""
    assert read({**written(Plan(1, NOW, "a")), **changes}) == Plan()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["next", "index", "due", "after"]), inner)
        ),
    )
)
def test_anything(value: Any) -> None:
    """Reading never raises, and what it returns names a task of the chain."""
    assert 0 <= read(value).position < len(KEYS)


@given(st.floats(-1e12, 1e12), st.sampled_from([*KEYS, "z"]))
def test_wait_is_bounded(due: float, after: str) -> None:
    """No clock and no file makes a chain wait longer than its longest cooldown."""
    plan = read({"next": "a", "index": 0, "due": OFFSET + due, "after": after})

    assert 0 <= plan.deadline <= NOW + (0 if after == "z" else HOUR)
