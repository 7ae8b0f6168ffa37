"""How much a process grows over a million failing runs."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from typing import Any

import django

from tests.benchmarks.failing_run import fail
from tests.benchmarks.measure import in_child, reply, scaled
from yourlabs import runner

WARM = 20_000


def rss() -> int:
    """Return the resident memory of this process, in KiB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def measure(failures: int, *, differ: bool) -> None:
    """Fail so often, and say how much it took from the end of the warming up."""
    django.setup()
    numbers = itertools.count()
    before = 0

    @runner.task(fail_cooldown=0, name="failing")
    def failing() -> None:
        nonlocal before
        number = next(numbers)
        if number == WARM:
            before = rss()
        elif number == WARM + failures:
            reply(rss() - before)
            os.kill(os.getpid(), signal.SIGTERM)
        if differ:
            msg = f"{number:x} and {number * 7919:b} are different"
            raise ValueError(msg, Big())
        fail()

    runner.Runner([failing]).run()


class Big:
    """Ten kilobytes that an exception drags along."""

    def __init__(self) -> None:
        self.data: Any = bytearray(10_000)
        self.itself = self

    def __repr__(self) -> str:
        return "big"


def main() -> None:
    """Print the growth."""
    for name, failures in [("same", 1_000_000), ("different", 1_000_000)]:
        grown = in_child("failures_memory", name, scaled(failures))
        print(f"{name} message, {scaled(failures):,} failures: {grown:+,} KiB", end="")
        print("   target < 5,000 KiB", flush=True)


if __name__ == "__main__":
    measure(int(sys.argv[2]), differ=sys.argv[1] == "different")
