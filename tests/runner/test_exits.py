"""How a run can end, besides returning and raising: exits, more to do, no log."""

from __future__ import annotations

import argparse
import asyncio
import logging.config
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.runner.fakes import Keeping, log, make, quick, received
from yourlabs.runner.chain import execution as module
from yourlabs.runner.testing import FakeClock


@pytest.fixture(autouse=True)
def no_mail(settings: Any) -> None:
    """Failures are looked at, not mailed."""
    settings.RUNNER = {"EMAIL": False}


def run(function: Callable[[], Any]) -> tuple[Any, list[Any], Keeping]:
    """Run it once; return the execution, the failures that were told, and the log."""
    (execution,) = make(quick(function)).tasks
    with received("task_failed") as calls, log() as kept:
        execution.run()
    return execution, [payload["failure"] for _, _, payload in calls], kept


async def exit_in_a_coroutine() -> None:
    await asyncio.sleep(0)
    sys.exit()


def exit_by_an_exception() -> None:
    raise SystemExit


SUCCESSES: dict[str, Callable[[], Any]] = {
    "exit()": lambda: sys.exit(),
    "exit(0)": lambda: sys.exit(0),
    "exit(None)": lambda: sys.exit(None),
    "exit(False)": lambda: sys.exit(False),
    "raise SystemExit": exit_by_an_exception,
    "--help of argparse": lambda: argparse.ArgumentParser(prog="x").parse_args(["-h"]),
    "coroutine": exit_in_a_coroutine,
}


@pytest.mark.parametrize("function", SUCCESSES.values(), ids=SUCCESSES)
def test_exit_that_says_all_is_well(function: Callable[[], Any]) -> None:
    """What exits with 0 or nothing has succeeded, as a process would have."""
    execution, failures, kept = run(function)

    assert failures == []
    assert "[quick] Execution successful" in kept.texts()
    assert not execution.more


class Quit(SystemExit):
    """An exit of a library, with a code that cannot be looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(9)


def quit_with(code: object) -> Callable[[], None]:
    def function() -> None:
        raise Quit(code)

    return function


FAILURES: dict[str, tuple[Callable[[], Any], str]] = {
    "exit(3)": (lambda: sys.exit(3), "exit code 3"),
    "exit(-1)": (lambda: sys.exit(-1), "exit code -1"),
    "exit(True)": (lambda: sys.exit(True), "exit code True"),
    "exit(text)": (lambda: sys.exit("no space left"), "no space left"),
    "exit(empty)": (lambda: sys.exit(""), ""),
    "error of argparse": (
        lambda: argparse.ArgumentParser(prog="x").parse_args(["--no"]),
        "exit code 2",
    ),
    "its own class": (quit_with(4), "exit code 4"),
}


@pytest.mark.parametrize(("function", "message"), FAILURES.values(), ids=FAILURES)
def test_exit_that_says_what_is_wrong(
    function: Callable[[], Any], message: str
) -> None:
    """Any other code is a failure, with the code in its message."""
    _, (failure,), kept = run(function)

    assert failure.message == message
    assert kept.texts() == ["[quick] Execution failed"]


def test_exit_of_its_own_class() -> None:
    """A class of exits that all is well with is as good as any."""
    assert run(quit_with(0))[1] == []


def count(runs: int, every: float, more: Callable[[int], bool] = bool) -> list[str]:
    """Run what returns True, at a rate; return what was logged of that."""
    clock, numbers = FakeClock(), iter(range(1, runs + 1))

    def work() -> bool:
        clock.advance(every)
        return more(next(numbers))

    (execution,) = make(quick(work), clock=clock).tasks
    with log(logging.WARNING) as kept:
        for _ in range(runs):
            execution.run()
    return kept.texts()


@pytest.mark.parametrize("every", [0.001, 0.1, 60.0])
def test_more_for_ever(every: float) -> None:
    """True for ever is said once: the task, its runs in how long, what it means."""
    runs = round(max(module.MORE_RUNS, module.MORE_SECONDS / every) + 1) * 3

    (text,) = count(runs, every)

    assert text.startswith("[quick] It returned True ")
    assert "times in a row in " in text
    assert "True means that there is more to do at once" in text
    assert "requests keep most of the processor" in text


@pytest.mark.parametrize(("runs", "every"), [(5_000, 0.0005), (99, 60.0)])
def test_more_for_a_while(runs: int, every: float) -> None:
    """A queue that is worked off is nothing to speak of."""
    assert count(runs, every) == []


def test_more_again_and_again() -> None:
    """What ends in between is not for ever."""
    texts = count(10_000, 1.0, lambda number: number % 50 != 0)

    assert texts == []


@pytest.mark.parametrize("fails", [False, True])
def test_run_that_silences_the_log(fails: bool) -> None:
    """How a run that configured logging anew has ended is in the log."""

    def configure() -> None:
        logging.config.dictConfig({"version": 1})
        if fails:
            raise ValueError("after that")

    others = [
        one
        for one in logging.root.manager.loggerDict.values()
        if isinstance(one, logging.Logger) and not one.disabled
    ]
    try:
        _, _, kept = run(configure)
    finally:
        for one in others:
            one.disabled = False

    ending = "failed" if fails else "successful"
    assert kept.texts() == [f"[quick] Execution {ending}"]
