"""The names that are promised."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from yourlabs import runner

ROOT = Path(__file__).resolve().parent.parent

PROMISED = [
    "Runner",
    "RunnerThread",
    "chain_started",
    "chain_stopped",
    "chains",
    "start_chain",
    "stop_all",
    "stop_chain",
    "task",
    "task_failed",
    "task_recovered",
    "task_stalled",
    "task_started",
    "task_succeeded",
]


@pytest.mark.parametrize("name", PROMISED)
def test_promised_name_is_public(name: str) -> None:
    """The name is in ``__all__`` and can be imported."""
    assert name in runner.__all__
    assert getattr(runner, name) is not None


def test_public_names_are_sorted_and_there() -> None:
    """``__all__`` is sorted, and each of its names leads to something."""
    assert sorted(runner.__all__) == list(runner.__all__)
    assert [] == [name for name in runner.__all__ if not hasattr(runner, name)]
    assert set(runner.__all__) <= set(dir(runner))


def test_public_name_is_no_module() -> None:
    """No module of the runner has the name of something public, and could hide it."""
    modules = {path.stem for path in (ROOT / "yourlabs" / "runner").iterdir()}

    assert set() == modules & set(runner.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    """A name that is not public is missing as from any module."""
    with pytest.raises(AttributeError, match="has no attribute 'send_mail'"):
        runner.send_mail  # noqa: B018


@pytest.mark.parametrize("name", ["divide_by_zero", "divide_by_zero_sometimes"])
def test_shipped_task_is_a_task(name: str) -> None:
    """The shipped examples fail each second, and are down for good after three."""
    task = getattr(import_module("yourlabs.runner.tasks"), name).runner_task

    assert 1 == task.fail_cooldown.total_seconds()
    assert 3 == task.non_recoverable_downtime.total_seconds()


def test_importing_starts_nothing() -> None:
    """Importing every public name starts no thread and reads no settings."""
    program = (
        "import threading\n"
        "from yourlabs.runner import *\n"
        "from django.conf import settings\n"
        "print(threading.active_count(), settings.configured)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert "1 False" == done.stdout.strip()
