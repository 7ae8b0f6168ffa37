"""What a task has done is counted for ever, and remembered in a bounded way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yourlabs.runner.chain.history import (
    HOURS,
    MAX_RECENT,
    MAX_TRACEBACKS,
    History,
    histories_from_json,
    histories_to_json,
)
from yourlabs.runner.web.charts import durations_chart, hours_of

NOON = 1_750_003_200.0
ROOM = 40_000
"""So many bytes are there for the histories."""


def storm(runs: int, *, every: float = 60.0) -> History:
    """Return the history of a task that has failed again and again."""
    history = History()
    for number in range(runs):
        history.failed(
            NOON + number * every, 0.5, "ValueError", f"é{number}" * 200, "x\n" * 9_000
        )
    return history


def written(history: History, **others: History) -> Any:
    """Return it as the next owner reads it."""
    text = json.dumps(histories_to_json({"tasks.a": history, **others}, ROOM))
    return histories_from_json(json.loads(text))["tasks.a"]


def test_hours_are_counted_apart() -> None:
    """An hour has its runs, its failures, the seconds they took and the longest."""
    history = History()
    history.succeeded(NOON + 5, 1.0)
    history.failed(NOON + 10, 3.0, "E", "", "")
    history.succeeded(NOON + 3_600, 0.5)

    assert history.hours() == [(NOON, 2, 1, 4.0, 3.0), (NOON + 3_600, 1, 0, 0.5, 0.5)]
    assert (history.runs, history.failures, history.seconds) == (3, 1, 4.5)
    assert (history.last_run, history.last_success) == (NOON + 3_600, NOON + 3_600)


def test_clock_set_back_goes_on_in_the_newest_hour() -> None:
    """Hours never go back, so a reader can draw them in order."""
    history = History()
    history.succeeded(NOON, 1.0)
    history.succeeded(NOON - 86_400, 1.0)

    assert history.hours() == [(NOON, 2, 0, 2.0, 1.0)]


def test_past_is_bounded() -> None:
    """A week, twenty runs and fifty failures are remembered; counts go on."""
    history = storm(12_000)

    assert history.runs == 12_000
    assert len(history.hours()) == HOURS
    assert len(history.recent) == MAX_RECENT
    kept = [one for one in history.failed_runs if one.traceback]
    assert (len(history.failed_runs), len(kept)) == (50, MAX_TRACEBACKS)
    assert kept[-1] == history.failed_runs[-1]


def test_next_owner_goes_on() -> None:
    """What was written is read as it was, and goes on."""
    again = written(storm(300))
    again.succeeded(NOON + 10**6, 1.0)

    assert (again.runs, again.failures) == (301, 300)
    assert again.failed_runs[-1].traceback.startswith("x\n")
    assert again.hours()[-1][1] == 1


def test_document_is_bounded() -> None:
    """Of many tasks the newest failure of each outlives the older ones, and hours."""
    past = storm(12_000)
    tasks = {f"tasks.t{number}": past for number in range(20)}
    values = histories_to_json(tasks, ROOM)

    assert len(json.dumps(values)) <= ROOM
    assert all(one["failures"] == 12_000 for one in values.values())
    assert all(one["hours"] for one in values.values())


def test_tracebacks_go_first() -> None:
    """Where there is not room for all, the newest failure keeps its traceback."""
    past = storm(12_000)
    values = histories_to_json({"a": past, "b": past}, ROOM)

    assert values["a"]["failed"][-1][4]
    assert len(values["a"]["failed"]) >= 5


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_anything_else_is_refused(value: Any) -> None:
    """What nobody wrote is a ValueError, and nothing else."""
    whole = histories_to_json({"a": storm(2)}, ROOM)
    for broken in (value, {"a": value}, {"a": {**whole["a"], "hours": value}}):
        try:
            histories_from_json(broken)
        except ValueError:
            continue
        assert broken in ({}, {"a": {**whole["a"], "hours": []}}) or "a" in broken


@pytest.mark.parametrize("name", ["runs", "seconds", "recent", "failed", "hours"])
def test_field_of_another_kind_is_refused(name: str) -> None:
    """No field is taken as it stands."""
    whole = histories_to_json({"a": storm(2)}, ROOM)
    with pytest.raises(ValueError, match=r"expected|written"):
        histories_from_json({"a": {**whole["a"], name: "7"}})


def test_a_chart_without_runs() -> None:
    """What a reader hears instead of an empty picture is that nothing ran."""
    assert 'aria-label="No run in 24 hours"' in durations_chart(hours_of([], 0.0, 24))
