"""Tests that a run harms nothing around a project, whatever its views do."""

from __future__ import annotations

import itertools
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.smoke import around, helpers

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]
EXPECTED = """
import django, json
django.setup()
from tests.smoke.project.harmful.urls import EXPECTED
print(json.dumps(EXPECTED))
"""


def make_place(place: Path) -> None:
    """Make the files that the views are after."""
    for folder in (place, place / "media", place / "other"):
        folder.mkdir(parents=True)
        (folder / "precious.txt").write_text("precious")
    (place / "folder").mkdir()
    (place / "folder" / "inner.txt").write_text("inner")


CASES = [
    *itertools.product(around.DATABASES.values(), [(), ("--production",)]),
    *itertools.product(around.DRIVERS.values(), [()]),
]


@pytest.mark.parametrize(("database", "options"), CASES)
def test_nothing_leaves_and_nothing_stays(
    database: Any, options: tuple[str, ...], tmp_path: Path
) -> None:
    """Files, rows, cache and queues are as before, and nobody was connected to."""
    place, queue = tmp_path / "place", f"smoke-{uuid.uuid4().hex}"
    make_place(place)
    servers = around.Servers(place)
    cache = redis.Redis(db=10)
    cache.set(f"{queue}-default:1:precious", "1")
    with database(tmp_path) as (named, rows):
        names = {**around.environment(place, servers, queue), **named}
        names["SMOKE_DEBUG"] = "0" if options else "1"
        made = helpers.run("-c", around.PREPARE, **names)
        assert made.code == 0, made.stderr
        expected = helpers.run("-c", EXPECTED, **names)
        before = rows(), around.tree(place), around.queued(queue)

        done = helpers.run(
            "-m", "django", "smoke", "--format", "json", *options, **names
        )
        time.sleep(5)

        after = rows(), around.tree(place), around.queued(queue)
    cache.delete(f"{queue}-default:1:precious")
    found = done.by_name() if done.stdout else {}
    told = {
        name: f"{row['outcome']}: {row['reason']}".removesuffix(": ")
        for name, row in found.items()
    }
    assert before == after, done.stderr
    assert [] == servers.close()
    wrong = {}
    for name, text in expected.report.items():
        if not text.startswith(("failed", "ok")):
            text = f"skipped: {text}" if text else "ok"
        if not told.get(name, "").startswith(text):
            wrong[name] = (text, told.get(name))
    assert {} == wrong, done.stderr[-2000:]
    assert "ok" == told["thing"]
    assert "ok" == told["login"]
