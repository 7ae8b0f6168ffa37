"""A next owner goes on where the last one ended, unless that makes no sense."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yourlabs.runner.chain.plan import (
    Schedule,
    schedule_from_json,
    schedule_to_json,
    wait_for,
)

PATHS = ("tasks.send", "tasks.retry", "tasks.send")


def written(**changes: Any) -> dict[str, Any]:
    """What an owner writes, with some of it changed."""
    return {"next": "tasks.retry", "index": 1, "due": 50.5, "after": "a.b", **changes}


@settings(max_examples=50)
@given(
    index=st.integers(0, 2),
    due=st.floats(0, 1e11),
    after=st.text(),
)
def test_round_trip(index: int, due: float, after: str) -> None:
    """A schedule is read as it was written, to the millisecond."""
    value = json.loads(json.dumps(schedule_to_json(Schedule(index, due, after), PATHS)))

    again = schedule_from_json(value, PATHS)

    assert again == Schedule(index, round(due, 3), after)


def test_reordered() -> None:
    """The next task is found by its path when the chain was reordered."""
    value = written(next="tasks.send", index=1)

    assert schedule_from_json(value, ("tasks.retry", "tasks.other", "tasks.send")) == (
        Schedule(2, 50.5, "a.b")
    )


def test_task_twice() -> None:
    """A task that stands in a chain twice is found at the place it was written for."""
    value = written(next="tasks.send", index=2)

    assert schedule_from_json(value, PATHS).index == 2


@pytest.mark.parametrize("index", [None, True, -1, 3, 1.0, "1", 10**400])
def test_strange_index(index: Any) -> None:
    """An index that is none does not matter: the path says which task is next."""
    assert schedule_from_json(written(index=index), PATHS) == Schedule(1, 50.5, "a.b")


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "text",
        {},
        written(next="tasks.gone"),
        written(next=None),
        written(next=["tasks.send"]),
        written(due=None),
        written(due=True),
        written(due="50"),
        written(due=float("nan")),
        written(due=float("inf")),
        written(due=10**400),
        written(after=None),
        written(after={}),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_strange(value: Any) -> None:
    """What no owner can have written is a chain that begins, with its first task."""
    assert schedule_from_json(value, PATHS) == Schedule()


@settings(max_examples=50)
@given(
    value=st.fixed_dictionaries(
        {},
        optional={
            key: st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text()
            | st.lists(st.integers())
            | st.sampled_from(PATHS)
            for key in ("next", "index", "due", "after")
        },
    ).map(lambda changes: written(**changes))
)
def test_anything(value: Any) -> None:
    """Reading never raises, and what it returns names a task of the chain."""
    schedule = schedule_from_json(value, PATHS)

    assert 0 <= schedule.index < len(PATHS)
    assert wait_for(schedule, now=0.0, longest=60.0) >= 0


@pytest.mark.parametrize(
    ("due", "expected"),
    [(1_000.0, 0.0), (999.0, 0.0), (1_010.0, 10.0), (1_060.0, 60.0), (9e9, 60.0)],
    ids=["now", "over", "left", "all of it", "more than there can be"],
)
def test_wait_for(due: float, expected: float) -> None:
    """What is left is served, and never more than the longest cooldown."""
    assert wait_for(Schedule(0, due), now=1_000.0, longest=60.0) == expected


@settings(max_examples=50)
@given(
    due=st.floats(allow_nan=False),
    now=st.floats(0, 1e11),
    longest=st.floats(0, 1e11),
)
def test_wait_for_is_bounded(due: float, now: float, longest: float) -> None:
    """No clock and no file makes a chain wait longer than its longest cooldown."""
    assert 0 <= wait_for(Schedule(0, due), now=now, longest=longest) <= longest
