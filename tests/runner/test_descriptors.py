"""Descriptors of ours among those of others."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from yourlabs.runner.ownership.descriptors import SelfPipe

WITHOUT_STREAMS = """
import os, sys
for stream in (0, 1, 2):
    os.close(stream)
from yourlabs.runner.ownership.descriptors import SelfPipe
pipe = SelfPipe()
pipe.open()
pipe.ring()
rung, ends = pipe.wait(10), (pipe.reading, pipe.writing)
with open(sys.argv[1], "w") as file:
    file.write(f"{rung} {min(ends) > 2} {any(map(os.get_inheritable, ends))}")
"""


@pytest.fixture
def pipe() -> Iterator[SelfPipe]:
    """Return one that is open."""
    made = SelfPipe()
    made.open()
    yield made
    made.close()


def test_ring(pipe: SelfPipe) -> None:
    """A ring ends the wait of now, or the next one; many are one."""
    threading.Timer(0.05, pipe.ring).start()
    assert pipe.wait(60)

    for _ in range(100_000):
        pipe.ring()
    assert pipe.wait(60)


def test_nobody_rings(pipe: SelfPipe) -> None:
    """A wait ends by itself."""
    assert pipe.wait(0.001)


@pytest.mark.parametrize("end", ["reading", "writing"])
def test_end_that_was_closed(pipe: SelfPipe, end: str) -> None:
    """Somebody closed an end: nobody waits for a ring that cannot come."""
    os.close(getattr(pipe, end))

    pipe.ring()

    assert not pipe.wait(60)


def test_closed() -> None:
    """What was never opened, or is closed, can be rung and closed."""
    pipe = SelfPipe()
    pipe.ring()
    pipe.close()
    pipe.open()
    pipe.close()
    pipe.ring()

    assert not pipe.wait(60)


def test_without_standard_streams(tmp_path: Path) -> None:
    """In a process that has none, what is printed does not go into the pipe."""
    found = tmp_path / "found"

    subprocess.run(
        [sys.executable, "-c", WITHOUT_STREAMS, str(found)], check=True, timeout=60
    )

    assert found.read_text() == "True True False"
