"""What a thousand chains in a cooldown of an hour take, beside bare threads."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from functools import partial
from statistics import median

import django

from tests.benchmarks.failures_memory import rss
from tests.benchmarks.measure import in_child, reply, rounds
from yourlabs import runner

CHAINS = 1000
SECONDS = 20


COUNT = """
import pathlib, sys
print(sum(
    int(line.split()[1])
    for task in pathlib.Path("/proc", sys.argv[1], "task").iterdir()
    if task.name != sys.argv[1]
    for line in (task / "status").read_text().splitlines()
    if line.startswith("voluntary_ctxt_switches")
))
"""


def switches() -> int:
    """
    Return how often the threads of this process but the main one were woken up so far.

    Another process counts: to read so many files here would wake them up.
    """
    command = [sys.executable, "-c", COUNT, str(os.getpid())]
    return int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def report(before: int, count: int) -> None:
    """Say what the last `count` threads took, and how often the process wakes up."""
    gc.collect()
    grown = (rss() - before) / count
    began = switches()
    time.sleep(SECONDS)
    reply([grown, (switches() - began) / SECONDS])


def bare(count: int) -> None:
    """Let threads wait for an event."""
    event = threading.Event()
    reached = threading.Semaphore(0)

    def wait() -> None:
        reached.release()
        event.wait(3600)

    def start() -> None:
        threading.Thread(target=wait, daemon=True).start()
        reached.acquire()

    start()
    before = rss()
    for _ in range(count):
        start()
    report(before, count)


def chains(count: int) -> None:
    """Let chains cool down."""
    django.setup()

    @runner.task(success_cooldown=3600)
    def nothing() -> None:
        """Do nothing."""

    def start(number: int) -> None:
        thread = runner.start_chain([nothing], name=f"chain-{number}")
        while thread.status().state != "cooling down":
            time.sleep(0.001)

    start(0)
    before = rss()
    for number in range(1, count + 1):
        start(number)
    report(before, count)


def main() -> None:
    """Print both."""
    values = rounds(
        {
            "bare threads": partial(in_child, "idle_chains", "bare", CHAINS),
            "chains": partial(in_child, "idle_chains", "chains", CHAINS),
        }
    )
    for name, found in values.items():
        memory = median(value[0] for value in found)
        wakes = median(value[1] for value in found)
        print(f"{CHAINS} {name:14}{memory:8.1f} KiB each{wakes:8.2f} wake-ups a second")
    print("target ≤ 24 KiB each and ≤ 1 wake-up a second")


if __name__ == "__main__":
    {"bare": bare, "chains": chains}[sys.argv[1]](int(sys.argv[2]))
    os._exit(0)
