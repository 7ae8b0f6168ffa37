"""Where chains may start."""

from __future__ import annotations

from collections.abc import Callable

from yourlabs.runner.threads import RunnerThread


def wait_until_ready() -> float:
    """Wait until the process is set up; return how many seconds more to wait."""
    return 0.0


def arrange(thread: RunnerThread) -> str:
    """Start `thread` where and when it should."""
    thread.start()
    return "started"


def at_exit(stop: Callable[[], None]) -> None:
    """Have `stop` called when the process ends."""
