"""Downtimes are counted, bounded, and survive being written down."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yourlabs.runner.failures.downtime import (
    INTERRUPTED_LIMIT,
    MAX_DISTINCT,
    MAX_MESSAGE,
    Incident,
    incident_from_json,
    incidents_from_json,
    interrupted_cooldown,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def written(**changes: Any) -> dict[str, Any]:
    """What an owner writes of a downtime, with some of it changed."""
    return {
        "down_since": NOON.timestamp(),
        "failures": 3,
        "interrupted": 1,
        "exceptions": [["builtins.ValueError", "no", "1:abc", 3]],
        **changes,
    }


def read(value: Any, *, later: float = 60.0) -> Incident | None:
    """Read it `later` seconds after noon, when the monotonic clock says 1000."""
    return incident_from_json(value, now=NOON.timestamp() + later, monotonic=1_000.0)


def test_add() -> None:
    """Each failure counts, and equal ones count together under their first message."""
    incident = Incident(NOON)

    incident.add("builtins.ValueError", "first", "a")
    incident.add("builtins.KeyError", "other", "b")
    incident.add("builtins.ValueError", "second", "a")

    assert incident.failures == 3
    assert [(item.message, item.count) for item in incident.distinct()] == [
        ("first", 2),
        ("other", 1),
    ]


def test_distinct_order() -> None:
    """The most frequent exception comes first."""
    incident = Incident(NOON)
    for fingerprint in ["a", "b", "b", "c", "c", "c"]:
        incident.add("E", fingerprint, fingerprint)

    assert [item.fingerprint for item in incident.distinct()] == ["c", "b", "a"]


def test_add_is_bounded() -> None:
    """A downtime of ever new exceptions counts all and remembers the first."""
    incident = Incident(NOON)
    for number in range(10_000):
        incident.add("E", f"{number}" * 1_000, f"fingerprint {number}")

    incident.add("E", "again", "fingerprint 0")

    assert incident.failures == 10_001
    assert len(incident.exceptions) == MAX_DISTINCT
    assert incident.exceptions["fingerprint 0"].count == 2
    assert all(len(item.message) <= MAX_MESSAGE for item in incident.distinct())


def test_downtime() -> None:
    """The downtime is measured on the monotonic clock and never negative."""
    incident = Incident(NOON, began=100.0)

    assert incident.downtime(161.5) == timedelta(seconds=61.5)
    assert incident.downtime(99.0) == timedelta(0)


def test_read_back() -> None:
    """A next owner goes on with the downtime that the last one wrote."""
    incident = read(json.loads(json.dumps(written())))

    assert incident is not None
    assert incident.down_since == NOON
    assert incident.failures == 3
    assert incident.interrupted == 1
    assert incident.downtime(1_000.0) == timedelta(seconds=60)
    assert incident.to_json() == written()


def test_read_back_in_the_past() -> None:
    """A clock that was set back makes a downtime of zero, not a negative one."""
    incident = read(written(), later=-3_600)

    assert incident is not None
    assert incident.downtime(1_000.0) == timedelta(0)


@settings(max_examples=50)
@given(
    failures=st.lists(
        st.tuples(st.text(), st.text(), st.sampled_from("abcdef")), min_size=1
    ),
    began=st.datetimes(min_value=datetime(1971, 1, 1), timezones=st.just(timezone.utc)),
)
def test_round_trip(failures: list[tuple[str, str, str]], began: datetime) -> None:
    """Every downtime is read as it was written."""
    incident = Incident(began)
    for failure in failures:
        incident.add(*failure)

    again = read(json.loads(json.dumps(incident.to_json())))

    assert again is not None
    assert again.to_json() == incident.to_json()
    assert again.exceptions == incident.exceptions


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        5,
        [],
        {},
        written(down_since=None),
        written(down_since="noon"),
        written(down_since=float("nan")),
        written(down_since=float("inf")),
        written(down_since=1e300),
        written(down_since=10**400),
        written(failures=0),
        written(failures=-1),
        written(failures=True),
        written(failures=2.5),
        written(interrupted=None),
        written(exceptions=None),
        written(exceptions=5),
        written(exceptions=["abc"]),
        written(exceptions=[["E", "no", "a", -1]]),
        written(exceptions=[["E", "no", str(n), 1] for n in range(MAX_DISTINCT + 1)]),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_read_strange(value: Any) -> None:
    """What no owner can have written is no downtime."""
    assert read(value) is None


@settings(max_examples=50)
@given(
    value=JSON_VALUES
    | st.fixed_dictionaries(
        {},
        optional={
            "down_since": JSON_VALUES,
            "failures": JSON_VALUES,
            "interrupted": JSON_VALUES,
            "exceptions": JSON_VALUES | st.lists(st.lists(JSON_VALUES)),
        },
    ).map(lambda changes: written(**changes))
)
def test_read_anything(value: Any) -> None:
    """Reading never raises, and what it returns can be used and written."""
    incident = read(value)

    if incident is not None:
        incident.downtime(1_000.0)
        json.dumps(incident.to_json())


def test_read_many() -> None:
    """A strange downtime costs its own task only."""
    value = {"tests.good": written(), "tests.bad": {"failures": "many"}}

    found = incidents_from_json(value, now=NOON.timestamp(), monotonic=0.0)

    assert list(found) == ["tests.good"]
    assert incidents_from_json([1], now=0.0, monotonic=0.0) == {}


@pytest.mark.parametrize(
    ("minutes", "interrupted", "expected"),
    [
        (20, 1, timedelta(minutes=20)),
        (20, 2, timedelta(minutes=40)),
        (20, 3, INTERRUPTED_LIMIT),
        (20, 1_000, INTERRUPTED_LIMIT),
        (0, 1, timedelta(seconds=1)),
        (0, 4, timedelta(seconds=8)),
        (90, 5, timedelta(minutes=90)),
    ],
)
def test_interrupted_cooldown(
    minutes: int, interrupted: int, expected: timedelta
) -> None:
    """It doubles with each crash, up to an hour or the task's own longer cooldown."""
    assert interrupted_cooldown(timedelta(minutes=minutes), interrupted) == expected


@settings(max_examples=50)
@given(
    cooldown=st.timedeltas(min_value=timedelta(0)),
    interrupted=st.integers(min_value=1),
)
def test_interrupted_cooldown_is_bounded(cooldown: timedelta, interrupted: int) -> None:
    """It is never below the task's cooldown, never shrinks, and has a limit."""
    wait = interrupted_cooldown(cooldown, interrupted)

    assert cooldown <= wait <= max(cooldown, INTERRUPTED_LIMIT)
    assert interrupted_cooldown(cooldown, interrupted + 1) >= wait
