"""Rounds, children and tables, for all the benchmarks."""

from __future__ import annotations

import atexit
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import django

ROOT = Path(__file__).resolve().parent.parent.parent

ROUNDS = int(os.environ.get("ROUNDS", "5"))
"""How many times everything is measured, in turns."""

SCALE = float(os.environ.get("SCALE", "1"))
"""Factor on the number of repetitions in a round."""

CLOCK = os.environ.get("CLOCK", "perf_counter")
"""What long loops are measured with: ``process_time`` where others load the machine."""

clock: Callable[[], float] = getattr(time, CLOCK)


def machine() -> str:
    """Describe what the figures come from."""
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"Python {platform.python_version()}, Django {django.get_version()}, "
        f"{platform.system()} {platform.release()}, {os.cpu_count()} cores, "
        f"load {load}, {ROUNDS} rounds, {CLOCK}"
    )


def scaled(number: int) -> int:
    """Return how many repetitions to make instead of `number`."""
    return max(1, int(number * SCALE))


def environ() -> dict[str, str]:
    """Return the environment of a child, with a RUN_ROOT of its own."""
    run_root = tempfile.mkdtemp(prefix="bench-")
    atexit.register(shutil.rmtree, run_root, ignore_errors=True)
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.benchmarks.settings",
        "PYTHONPATH": str(ROOT),
        "RUN_ROOT": run_root,
    }


def in_child(module: str, *arguments: object) -> Any:
    """Run ``python -m tests.benchmarks.MODULE`` and return the JSON it prints last."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.benchmarks.{module}", *map(str, arguments)],
        cwd=ROOT,
        env=environ(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def rounds(
    measures: Mapping[str, Callable[[], Any]], *, count: int = ROUNDS
) -> dict[str, list[Any]]:
    """Measure everything `count` times, in turns."""
    values: dict[str, list[Any]] = {name: [] for name in measures}
    for _ in range(count):
        for name, measure in measures.items():
            values[name].append(measure())
    return values


def medians(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the median of each."""
    return {name: median(found) for name, found in values.items()}


def over_floor(
    values: Mapping[str, Sequence[float]], floor: str, unit: str, target: str
) -> None:
    """Print each median, and what it is over the one of `floor` in the same rounds."""
    print(f"{'':34}{'median':>10}{'least':>10}{'over ' + floor:>18}   target {target}")
    for name, found in values.items():
        over = median(
            one - base for one, base in zip(found, values[floor], strict=True)
        )
        print(
            f"{name:34}{median(found):10.2f}{min(found):10.2f}{over:18.2f}   {unit}",
            flush=True,
        )


def compare(
    module: str, calls: Mapping[str, tuple[str, int]], floor: str, target: str
) -> None:
    """
    Measure ways to make calls, each in a child of its own, and print them.

    Args:
        module: The benchmark, which takes a way and a number of calls.
        calls: By what is printed: a way, and how many calls to make.
        floor: What is printed of the way that the others are compared with.
        target: What is asked of the runner.
    """
    values = rounds(
        {
            name: partial(in_child, module, way, scaled(count))
            for name, (way, count) in calls.items()
        }
    )
    over_floor(values, floor, "µs", target)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that `percent` of the `values` are not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def reply(value: Any) -> None:
    """Print what the parent is waiting for."""
    print(json.dumps(value), flush=True)
