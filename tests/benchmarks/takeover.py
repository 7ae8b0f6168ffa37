"""How long after ``kill -9`` of the owner another process runs the chain."""

from __future__ import annotations

import os
import selectors
import signal
import time
from contextlib import ExitStack

from tests.benchmarks.measure import environ, percentile, scaled
from tests.benchmarks.standby import Process

PROCESSES = 5
KILLS = 50
MOMENT = 1.5
"""Time in which a new process comes to stand by, in seconds."""


def main() -> None:
    """Print the distribution."""
    environment = environ()
    taken: list[float] = []
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        processes: dict[int, Process] = {}

        def start() -> None:
            process = stack.enter_context(Process(environment))
            processes[process.process.pid] = process
            selector.register(process.process.stdout, selectors.EVENT_READ)

        def owner() -> tuple[int, float]:
            ((key, _), *_) = selector.select()
            pid, moment = key.fileobj.readline().split()
            return int(pid), float(moment)

        for _ in range(PROCESSES):
            start()
        pid, _ = owner()
        time.sleep(scaled(8))
        for _ in range(scaled(KILLS)):
            process = processes.pop(pid)
            selector.unregister(process.process.stdout)
            killed = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            pid, moment = owner()
            taken.append((moment - killed) * 1e3)
            process.kill()
            start()
            time.sleep(MOMENT)
    shown = ", ".join(
        f"p{percent} {percentile(taken, percent):.1f}" for percent in (50, 90, 99)
    )
    print(f"{len(taken)} kills, {PROCESSES - 1} stand by: {shown} ms", end="")
    print(f"   target p99 < 50 ms; load {os.getloadavg()[0]:.1f}")
