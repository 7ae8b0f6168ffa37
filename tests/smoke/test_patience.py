"""Tests of how long a run takes, and of what it tries first."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.smoke import helpers
from yourlabs.smoke.knowledge import CONTRADICTION, Knowledge
from yourlabs.smoke.shapes import Slot
from yourlabs.smoke.state import PATTERN_SECONDS, State

LISTED = SimpleNamespace(shapes=[("/shops/", Slot("shop"), "/articles/")])
SHOWN = SimpleNamespace(
    shapes=[("/shops/", Slot("shop"), "/articles/", Slot("article"), "/")]
)


class Finder:
    """Finds the two leaves above."""

    def find(self, url: str) -> Any:
        """Where a URL leads."""
        texts = url.split("?")[0].strip("/").split("/")[1::2]
        leaf = SHOWN if len(texts) == 2 else LISTED
        values = dict(zip(("shop", "article"), texts, strict=False))
        return SimpleNamespace(leaf=leaf, values=values)


def test_run_without_time_reports_every_pattern(
    database: Path, whole_run: helpers.Finished
) -> None:
    """A run that is out of time skips each pattern, and says that this is why."""
    done = helpers.smoke(database, "--max-seconds", "0.001", "--format", "json")
    names = whole_run.by_name()
    rows = [row for row in done.report["results"] if not row["listed"]]
    reasons = {row["reason"] for row in rows}

    assert {"excluded", "no verdict within 0.001 s of the run"} == reasons
    assert {"skipped"} == {row["outcome"] for row in rows}
    assert names.keys() == {row["name"] for row in rows}


def test_slow_pattern_is_given_up() -> None:
    """A pattern whose requests took too long is not asked for any more."""
    leaf: Any = LISTED
    state = State(leaf, seconds=PATTERN_SECONDS + 1)

    assert state.is_settled
    assert not State(leaf, seconds=PATTERN_SECONDS - 1).is_settled


def test_values_that_worked_come_before_others() -> None:
    """A value that another view answered well to is no surprise below it."""
    finder: Any = Finder()
    known: Any = Knowledge(finder, [])
    before = known.surprise(SHOWN, "/shops/red/articles/1/")

    known.learn(LISTED, "/shops/red/articles/?page=1")

    assert 2 == before
    assert 1 == known.surprise(SHOWN, "/shops/red/articles/1/")
    assert CONTRADICTION + 1 == known.surprise(SHOWN, "/shops/Red%20one/articles/1/")
