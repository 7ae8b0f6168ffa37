"""
An empty task without a cooldown, in a process of its own, with everything on.

That is: ownership, the record of the run, signals without receivers, care for
connections and state. The peers run the same function as soon as it has ended.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import Any

import django

from tests.benchmarks.measure import clock, compare, reply
from yourlabs import runner


class Counter:
    """Counts calls, and tells what one of them took on average."""

    def __init__(self, calls: int) -> None:
        # The first tenth warms up.
        self.left = calls + calls // 10
        self.calls = calls
        self.began = clock()
        self.done = threading.Event()

    def __call__(self) -> None:
        self.left -= 1
        if self.left == self.calls:
            self.began = clock()
        elif self.left == 0:
            reply((clock() - self.began) / self.calls * 1e6)
            self.done.set()


def bare(calls: int) -> None:
    """Call the function in a loop."""
    counter = Counter(calls)
    while not counter.done.is_set():
        counter()


def run_functions(calls: int) -> None:
    """Let `runner.Runner` call it, as the command does."""
    django.setup()
    counter = Counter(calls)

    @runner.task(success_cooldown=0, name="counting")
    def counting() -> None:
        counter()
        if counter.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    runner.Runner([counting]).run()


def quietly(name: str) -> None:
    """Let a logger write to nowhere, as the runner's does here."""
    logger = logging.getLogger(name)
    logger.addHandler(logging.NullHandler())
    logger.setLevel(logging.INFO)
    logger.propagate = False


def run_apscheduler(counter: Counter) -> None:
    """Let APScheduler call it, and add it again when it was called."""
    from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED
    from apscheduler.executors.pool import ThreadPoolExecutor
    from apscheduler.schedulers.background import BackgroundScheduler

    quietly("apscheduler")
    scheduler = BackgroundScheduler(executors={"default": ThreadPoolExecutor(1)})
    scheduler.add_listener(
        lambda event: scheduler.add_job(counter), EVENT_JOB_ERROR | EVENT_JOB_EXECUTED
    )
    scheduler.add_job(counter)
    scheduler.start()
    counter.done.wait()
    os._exit(0)


def run_huey(counter: Counter) -> None:
    """Let the consumer of an in-memory huey call it."""
    from huey import MemoryHuey

    quietly("huey")
    queue = MemoryHuey("bench", results=False)
    task = queue.task()(counter.__call__)
    for _ in range(counter.left):
        task()
    consumer: Any = queue.create_consumer(workers=1, periodic=False)
    consumer.start()
    counter.done.wait()
    os._exit(0)


WAYS = {
    "bare": bare,
    "run_functions": run_functions,
    "apscheduler": lambda calls: run_apscheduler(Counter(calls)),
    "huey": lambda calls: run_huey(Counter(calls)),
}


def main() -> None:
    """Print what a run takes."""
    calls = {
        "bare call": ("bare", 200_000),
        "runner": ("run_functions", 100_000),
        "huey, in memory": ("huey", 20_000),
        "APScheduler": ("apscheduler", 5_000),
    }
    compare("empty_run", calls, "bare call", "≤ 10 µs")


if __name__ == "__main__":
    WAYS[sys.argv[1]](int(sys.argv[2]))
