"""
What a failure costs once it has been raised.

Run from the root of a checkout: ``python -m tests.benchmarks.bench_failures``.
It prints, in microseconds a failure, the median of interleaved rounds.
"""

from __future__ import annotations

import gc
import os
import time
import traceback
from collections.abc import Callable
from statistics import median

DEPTH = 10
ROUNDS = 7
FAILURES = 2_000


def dive(depth: int, message: str) -> None:
    """Raise, so many calls deep."""
    if depth:
        dive(depth - 1, message)
    raise ValueError(message)


def caught(message: str) -> BaseException:
    """Return an exception that was raised `DEPTH` frames deep."""
    try:
        dive(DEPTH - 2, message)
    except ValueError as exc:
        return exc
    raise AssertionError


def measure(messages: list[str], action: Callable[[BaseException], object]) -> float:
    """Return what `action` takes for an exception, in microseconds."""
    failures = [caught(message) for message in messages]
    gc.disable()
    started = time.perf_counter()
    for exc in failures:
        action(exc)
    took = time.perf_counter() - started
    gc.enable()
    return took / len(failures) * 1e6


def format_it(exc: BaseException) -> str:
    """Make the text that Python would print."""
    return "".join(traceback.format_exception(exc))


def main() -> None:
    """Measure, and print."""
    from yourlabs.runner.failures.describe import describe, forget

    same = ["always the same"] * FAILURES
    different = [f"word {'x' * (number % 40)}y{number}" for number in range(FAILURES)]
    cases: dict[str, Callable[[], float]] = {
        "describe(), the same failure": lambda: measure(same, describe),
        "describe(), another message each time": lambda: measure(different, describe),
        "forget()": lambda: measure(same, forget),
        "traceback.format_exception()": lambda: measure(same[:200], format_it),
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, case in cases.items():
            times[name].append(case())
    for name, values in times.items():
        print(f"{median(values):8.1f}  {name}")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    main()
