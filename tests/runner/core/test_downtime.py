"""A downtime is counted, bounded, and survives being written down."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yourlabs.runner.failures.downtime import (
    INTERRUPTED_LIMIT,
    MAX_DISTINCT,
    MAX_MESSAGE,
    Downtime,
    Hang,
    Latest,
    downtimes_from_json,
    interrupted_cooldown,
)

NOON = 1_772_366_400.0
HEALTHY = Downtime()


def failure(word: str, at: float = NOON, message: str = "") -> Latest:
    """A failure with the fingerprint `word`."""
    return Latest("app.Error", message or word, f"Traceback of {word}", word, at)


def after(*words: str) -> Downtime:
    """A task that failed once a minute from noon on; an empty word is a success."""
    downtime, began = HEALTHY, 0
    for minute, word in enumerate(words):
        if not downtime.is_down:
            began = minute
        lasted = 60.0 * (minute - began)
        if word:
            downtime = downtime.failed(failure(word, NOON + 60 * minute), lasted=lasted)
        else:
            downtime = downtime.recovered(lasted=lasted)
    return downtime


def read(value: Any) -> Downtime:
    """Read what was written of one task."""
    return downtimes_from_json({"key": json.loads(json.dumps(value))})["key"]


def test_failures_are_counted() -> None:
    """Each failure counts, and equal ones count together under their first message."""
    downtime = after("a", "b", "a")
    downtime = downtime.failed(failure("a", message="another"), lasted=180)

    assert (downtime.consecutive, downtime.failures) == (4, 4)
    assert downtime.lasted == 180
    assert [(one.message, one.count) for one in downtime.exceptions()] == [
        ("a", 3),
        ("b", 1),
    ]
    assert downtime.latest is not None
    assert downtime.latest.message == "another"


def test_downtime_begins_with_its_first_failure() -> None:
    """A downtime has a beginning and counts of its own; all failures add up."""
    downtime = after("a", "b", "", "a", "c")

    assert downtime.is_down
    assert downtime.since == NOON + 180
    assert (downtime.consecutive, downtime.lasted) == (2, 60)
    assert (downtime.failures, downtime.recoveries) == (4, 1)
    assert {one.fingerprint: one.count for one in downtime.exceptions()} == {
        "a": 1,
        "c": 1,
    }
    assert {one.fingerprint: one.count for one in downtime.seen} == {
        "b": 1,
        "a": 2,
        "c": 1,
    }


def test_end_of_a_downtime() -> None:
    """What has ended is remembered with how long it lasted; a success more is none."""
    downtime = after("a", "", "")

    assert not downtime.is_down
    assert (downtime.since, downtime.lasted) == (NOON, 60)
    assert (downtime.consecutive, downtime.recoveries) == (1, 1)
    assert HEALTHY.recovered(lasted=60) == HEALTHY


def test_clock_that_was_set_back() -> None:
    """A downtime is never shorter than nothing."""
    downtime = after("a").failed(failure("a"), lasted=-3_600)

    assert downtime.lasted == 0
    assert downtime.lasts(NOON - 3_600) == 0
    assert downtime.lasts(NOON + 60) == 60


def test_distinct_exceptions_are_bounded() -> None:
    """Of ever new exceptions the last are remembered; all failures are counted."""
    downtime = HEALTHY
    for number in range(1_000):
        downtime = downtime.failed(
            failure(f"f{number}", message=f"{number} " * 1_000), lasted=number
        )
    again = downtime.failed(failure("f0"), lasted=1_000)

    assert downtime.failures == 1_000
    assert [one.fingerprint for one in downtime.seen] == [
        f"f{number}" for number in range(1_000 - MAX_DISTINCT, 1_000)
    ]
    assert all(len(one.message) <= MAX_MESSAGE for one in downtime.seen)
    assert (again.seen[-1].fingerprint, again.seen[-1].count) == ("f0", 1)
    assert again.seen[-1].first == 1_001


def test_secrets() -> None:
    """A password in a message is masked before anything else is done with it."""
    downtime = HEALTHY.failed(
        failure("a", message="x" * 170 + " postgres://app:hunter2@db/x"), lasted=0
    )

    assert "hunter2" not in json.dumps(downtime.to_json())


def test_stall() -> None:
    """A run that hangs is remembered with its end, beside what fails."""
    hang = Hang(NOON, 60, 61, "File …")
    hanging = after("a").stalled(hang)
    ended = hanging.hang_ended(300.0)

    assert (hanging.hangs, hanging.stalls, hanging.is_down) == (True, 1, True)
    assert not ended.hangs
    assert ended.hang == replace(hang, took=300.0)
    assert ended.hang_ended(400.0) == ended
    assert hanging.hang_ended(None).hang == hang


@settings(max_examples=50)
@given(words=st.lists(st.sampled_from(["", "a", "b", "\ud800", "\u202e" * 9])))
def test_round_trip(words: list[str]) -> None:
    """Every downtime is read as it was written, but for what cannot be written."""
    downtime = after(*words)
    again = read(downtime.to_json())

    assert read(again.to_json()) == again
    assert (again.failures, again.consecutive) == (
        downtime.failures,
        downtime.consecutive,
    )
    if "\ud800" not in words and "\u202e" * 9 not in words:
        assert again == downtime


def test_what_is_written_is_bounded() -> None:
    """With little room texts are shortened, and the oldest exceptions left out."""
    downtime = HEALTHY.stalled(Hang(NOON, 1, 2, "\u0416" * 100_000))
    for number in range(100):
        long = f"{number} " + "\u0416" * 100_000
        downtime = downtime.failed(
            Latest("app." + "E" * 9_000, long, long, f"2:{number}", NOON), lasted=1
        )

    for room in (100, 2_000, 16_000):
        state = downtime.to_json(room, max(1, room // 1_000))
        text = json.dumps(state, ensure_ascii=False)
        assert len(text.encode()) < 2.5 * room + 3_000
        assert read(state).failures == 100


def written(**changes: Any) -> dict[str, Any]:
    """What an owner writes of a downtime, with some of it changed."""
    return {**after("a", "b").stalled(Hang(NOON, 1, 2, "")).to_json(), **changes}


SEEN = ["E", "no", "a", 1, 0, 1]


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        5,
        [],
        {},
        written(since=None),
        written(since="noon"),
        written(since=float("nan")),
        written(since=float("inf")),
        written(since=10**400),
        written(lasted=-1),
        written(failures=-1),
        written(failures=True),
        written(failures=2.5),
        written(is_down=1),
        written(interrupted=None),
        written(seen=None),
        written(seen=5),
        written(seen=["abc"]),
        written(seen=[[*SEEN[:3], -1, 0, 1]]),
        written(seen=[SEEN] * (MAX_DISTINCT + 1)),
        written(latest={}),
        written(latest=[]),
        written(hang={"stack": 1}),
        written(more=1),
    ],
    ids=lambda value: repr(value)[-60:],
)
def test_strange_downtimes(value: Any) -> None:
    """What no owner can have written is refused, all of it."""
    with pytest.raises(ValueError, match=r"."):
        downtimes_from_json({"good": after("a").to_json(), "bad": value})


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(max_examples=50)
@given(
    JSON_VALUES,
    st.dictionaries(
        st.sampled_from([field.name for field in fields(Downtime)]), JSON_VALUES
    ),
)
def test_any_value(value: Any, changes: dict[str, Any]) -> None:
    """Whatever is read, it is refused, or it can be used and written."""
    for item in (value, {"key": value}, {"key": written(**changes)}):
        try:
            found = downtimes_from_json(item)
        except ValueError:
            continue
        for downtime in found.values():
            downtime.failed(failure("a"), lasted=1).recovered(lasted=2).exceptions()
            json.dumps(downtime.to_json())


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
