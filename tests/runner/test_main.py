"""``python -m yourlabs.runner``: what a person sees of it, and what it imports."""

from __future__ import annotations

import contextlib
import logging
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.places import REPOSITORY, Place, wait_for
from yourlabs.runner.__main__ import ScreenFormatter


def on_screen(place: Place, *arguments: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start it in a terminal; return the process and the terminal's other end."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "yourlabs.runner", *arguments],
        cwd=place.folder,
        env={**place._environ(), "JOB_COOLDOWN": "3600", "DJANGO_COLORS": "nocolor"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    return process, ours


@pytest.mark.parametrize("verbosity", ["1", "2"])
def test_screen(place: Place, verbosity: str) -> None:
    """In a terminal the log is short: time, who, what; all of it if asked for."""
    process, terminal = on_screen(place, "-v", verbosity, "tests.jobs.work")
    text = ""

    def read_until(word: str) -> bool:
        nonlocal text
        with contextlib.suppress(OSError):
            text += os.read(terminal, 4096).decode()
        return word in text

    try:
        wait_for(lambda: read_until("Execution successful"))
        process.send_signal(signal.SIGINT)
        wait_for(lambda: read_until("Stopped. Runs: 1"))
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)

    lines = [line for line in text.splitlines() if line.strip()]
    if verbosity == "1":
        assert re.fullmatch(r"\d\d:\d\d:\d\d \[work\] Execution successful", lines[0])
        assert re.fullmatch(
            r"\d\d:\d\d:\d\d \[work\] Stopped. Runs: 1, failures: 0\.", lines[-1]
        )
        assert len(lines) == 2
    else:
        assert "DEBUG Wrote pidfile work" in text


def test_line_of_a_failure() -> None:
    """It says what was raised, and leaves the traceback to the mail."""
    record = logging.makeLogRecord(
        {
            "msg": "[work] Execution failed",
            "levelname": "ERROR",
            "action": "task_failed",
            "exc_text": "Traceback (most recent call last):\n  …\nValueError: no\n",
        }
    )

    line = ScreenFormatter().format(record)

    assert "[work] Execution failed: ValueError: no" in line
    assert "Traceback" not in line


@pytest.mark.skipif(sys.version_info < (3, 11), reason="python -P came with 3.11")
def test_safe_path(place: Place, tmp_path: Path) -> None:
    """With ``-P`` nothing is imported from where one happens to be."""
    (place.folder / "local.py").write_text("def work(): pass\n")
    safe = place._start(["-P", "-m", "yourlabs.runner", "--once", "local.work"], {})
    usual = place.command("--once", "local.work")

    assert safe.wait() == 1
    assert "There is no module 'local'" in safe.text()
    assert usual.wait() == 0
    assert REPOSITORY.exists()
