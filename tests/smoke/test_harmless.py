"""Tests that a run harms nothing around a project, whatever its views do."""

from __future__ import annotations

import contextlib
import itertools
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.smoke import around, helpers

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]
EXPECTED = """
import json
from tests.smoke.project.harmful.urls import EXPECTED
print(json.dumps(EXPECTED))
"""
CASES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "-".join([database.__name__, *options]): (database, options)
    for database, options in (
        *itertools.product(around.DATABASES.values(), [(), ("--production",)]),
        *itertools.product(around.DRIVERS.values(), [()]),
    )
}


def make_place(place: Path) -> None:
    """Make the files that the views are after."""
    for folder in (place, place / "media", place / "other"):
        folder.mkdir(parents=True)
        (folder / "precious.txt").write_text("precious")
    (place / "folder").mkdir()
    (place / "folder" / "inner.txt").write_text("inner")


class Case:
    """One run, and everything around it before and afterwards."""

    def __init__(self, name: str, folder: Path) -> None:
        self.database, self.options = CASES[name]
        self.folder, self.place = folder, folder / "place"
        self.queue = f"smoke-{uuid.uuid4().hex}"
        self.stack = contextlib.ExitStack()

    def run(self) -> None:
        """Make it all, and run the command."""
        make_place(self.place)
        self.servers = around.Servers(self.place)
        self.cache = self.stack.enter_context(redis.Redis(db=10))
        self.cache.set(f"{self.queue}-default:1:precious", "1")
        named, self.rows = self.stack.enter_context(self.database(self.folder))
        names = {**around.environment(self.place, self.servers, self.queue), **named}
        names["SMOKE_DEBUG"] = "0" if self.options else "1"
        made = helpers.run("-c", around.PREPARE + EXPECTED, **names)
        assert made.code == 0, made.stderr
        self.expected: dict[str, str] = made.report
        self.before = self.look()
        self.done = helpers.run(
            "-m", "django", "smoke", "--format", "json", *self.options, **names
        )

    def look(self) -> Any:
        """The rows, the files, the broker and the cache."""
        return self.rows(), around.tree(self.place), around.queued(self.queue)

    def end(self) -> None:
        """Look at it all again."""
        self.after = self.look()
        self.cache.delete(f"{self.queue}-default:1:precious")
        self.seen = self.servers.close()


@pytest.mark.parametrize("name", CASES)
def test_nothing_leaves_and_nothing_stays(name: str, tmp_path: Path) -> None:
    """Files, rows, cache and queues are as before, and nobody was connected to."""
    case = Case(name, tmp_path)
    with case.stack:
        case.run()
        # What a view has started may go on for a while.
        time.sleep(5)
        case.end()
    found = case.done.by_name() if case.done.stdout else {}
    told = {
        name: f"{row['outcome']}: {row['reason']}".removesuffix(": ")
        for name, row in found.items()
    }
    assert case.before == case.after, case.done.stderr
    assert [] == case.seen
    wrong = {}
    for name, text in case.expected.items():
        if not text.startswith(("failed", "ok")):
            text = f"skipped: {text}" if text else "ok"
        if not told.get(name, "").startswith(text):
            wrong[name] = (text, told.get(name))
    assert {} == wrong, case.done.stderr[-2000:]
    assert "ok" == told["thing"]
    assert "ok" == told["login"]
