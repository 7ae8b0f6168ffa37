"""
A run that fails ten frames deep, logged to a null handler, with no mail due.

The floor raises and catches the same exception in a loop. The peers log it to a null
handler as well, which is where they make the text of the traceback.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import NoReturn

import django

from tests.benchmarks.empty_run import Counter, run_apscheduler, run_huey
from tests.benchmarks.measure import compare
from yourlabs import runner

DEPTH = 10


def fail(depth: int = DEPTH) -> NoReturn:
    """Raise below `depth` frames."""
    if depth > 1:
        fail(depth - 1)
    msg = "the mail server does not answer"
    raise ConnectionError(msg)


class FailingCounter(Counter):
    """Counts calls, and fails."""

    def __call__(self) -> None:
        super().__call__()
        fail()


def bare(calls: int) -> None:
    """Raise and catch."""
    counter = FailingCounter(calls)
    while not counter.done.is_set():
        try:
            counter()
        except ConnectionError:
            continue


def formatted(calls: int) -> None:
    """Raise, catch and make the text of the traceback."""
    counter = FailingCounter(calls)
    while not counter.done.is_set():
        try:
            counter()
        except ConnectionError as exc:
            "".join(traceback.format_exception(exc))


def run_functions(calls: int) -> None:
    """Let `runner.Runner` call it, as the command does."""
    django.setup()
    counter = FailingCounter(calls)

    @runner.task(fail_cooldown=0, name="failing")
    def failing() -> None:
        if counter.left == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        counter()

    runner.Runner([failing]).run()


WAYS = {
    "bare": bare,
    "formatted": formatted,
    "run_functions": run_functions,
    "apscheduler": lambda calls: run_apscheduler(FailingCounter(calls)),
    "huey": lambda calls: run_huey(FailingCounter(calls)),
}


def main() -> None:
    """Print what a failing run takes."""
    calls = {
        "raise and catch": ("bare", 50_000),
        "the same, with format_exception": ("formatted", 5_000),
        "runner": ("run_functions", 20_000),
        "huey, in memory": ("huey", 1_000),
        "APScheduler": ("apscheduler", 500),
    }
    compare("failing_run", calls, "raise and catch", "≤ 100 µs")


if __name__ == "__main__":
    WAYS[sys.argv[1]](int(sys.argv[2]))
