"""The page on what the runner costs tells of benchmarks that run."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.benchmarks.__main__ import NAMES
from tests.doc_blocks import DOCS, ROOT, blocks

PAGE = DOCS / "explanation" / "performance.rst"


@pytest.mark.parametrize("name", NAMES)
def test_each_benchmark_is_there(name: str) -> None:
    """Each name of the command line is a module."""
    assert find_spec(f"tests.benchmarks.{name}") is not None


def test_page_names_benchmarks() -> None:
    """The commands of the page are those of the command line."""
    commands = [
        shlex.split(line)
        for block in blocks(PAGE)
        for line in block.content.splitlines()
    ]

    assert commands
    for command in commands:
        assert ["python", "-m", "tests.benchmarks"] == command[:3]
        assert set(command[3:]) <= set(NAMES)


def test_benchmark_runs() -> None:
    """In small, a benchmark prints its table: the runner beside floor and peers."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "empty_run"],
        cwd=ROOT,
        env={**os.environ, "ROUNDS": "1", "SCALE": "0.002"},
        capture_output=True,
        text=True,
        check=True,
    )

    rows = [line.split("  ")[0] for line in done.stdout.splitlines()[-4:]]
    assert ["bare call", "runner", "huey, in memory", "APScheduler"] == rows
