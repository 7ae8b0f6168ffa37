"""How late a run begins after its cooldown, beside bare threads."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import django

from tests.benchmarks.measure import in_child, percentile, reply, rounds, scaled
from yourlabs import runner

CASES = ((1, 0.1), (100, 0.1), (1000, 1.0))
"""How many there are, and how long each rests, in seconds."""

WARM = 2.0
SECONDS = 5.0
SAMPLES = 200
"""At least so many calls: of fewer the 99th percentile is the one latest of them."""


class Clock:
    """What one chain calls: notes how late it is."""

    def __init__(self, cooldown: float) -> None:
        self.cooldown = cooldown
        self.ended = 0.0
        self.late: list[float] = []

    def __call__(self) -> None:
        now = time.perf_counter()
        if self.ended:
            self.late.append(now - self.ended - self.cooldown)
        self.ended = time.perf_counter()


def report(clocks: list[Clock]) -> None:
    """Let it go on for a while, and say how late the calls were, and what they took."""
    time.sleep(WARM)
    take(clocks)
    began, busy = time.monotonic(), time.process_time()
    time.sleep(
        max(scaled(int(SECONDS)), scaled(SAMPLES) * clocks[0].cooldown / len(clocks))
    )
    seconds, busy = time.monotonic() - began, (time.process_time() - busy) * 1e6
    # In one go: what is computed from now on makes the others late.
    late = [value * 1e6 for one in take(clocks) for value in one]
    calls = len(late)
    reply([percentile(late, 50), percentile(late, 99), calls / seconds, busy / calls])


def take(clocks: list[Clock]) -> list[list[float]]:
    """Return what was noted until now, and begin anew."""
    taken = []
    for one in clocks:
        noted, one.late = one.late, []
        taken.append(noted)
    return taken


def bare(count: int, cooldown: float) -> None:
    """Call it in threads with an `Event.wait` each."""
    clocks = [Clock(cooldown) for _ in range(count)]

    def loop(one: Clock) -> None:
        stopped = threading.Event()
        while not stopped.wait(cooldown):
            one()

    for one in clocks:
        threading.Thread(target=loop, args=(one,), daemon=True).start()
    report(clocks)


def task_of(one: Clock) -> Callable[[], None]:
    """Return the task that calls it."""

    @runner.task(success_cooldown=one.cooldown)
    def clock() -> None:
        one()

    return clock


def chains(count: int, cooldown: float) -> None:
    """Call it in chains."""
    django.setup()
    clocks = [Clock(cooldown) for _ in range(count)]
    for number, one in enumerate(clocks):
        runner.start_chain([task_of(one)], name=f"chain-{number}")
    report(clocks)


def main() -> None:
    """Print both, for one chain and for many."""
    print(f"{'':22}{'p50':>10}{'p99':>10}   runs/s   µs late; processor, µs a run")
    for count, cooldown in CASES:
        values = rounds(
            {
                f"{count} {way}, {cooldown:g} s": partial(
                    in_child, "lateness", way, count, cooldown
                )
                for way in ("bare", "chains")
            }
        )
        shown = {}
        for name, found in values.items():
            shown[name] = [median(column) for column in zip(*found, strict=True)]
            p50, p99, often, busy = shown[name]
            print(
                f"{name:22}{p50:10.0f}{p99:10.0f}{often:9.0f}{busy:30.1f}", flush=True
            )
        ratios = [
            median(c[place] / b[place] for b, c in zip(*values.values(), strict=True))
            for place in (0, 1)
        ]
        print(f"{'ratio':22}{ratios[0]:10.2f}{ratios[1]:10.2f}   target ≤ 1.50")


if __name__ == "__main__":
    {"bare": bare, "chains": chains}[sys.argv[1]](int(sys.argv[2]), float(sys.argv[3]))
    os._exit(0)
