"""What it takes to stand by: four processes beside the one that owns the chain."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.measure import ROOT, environ, scaled

PROCESSES = 4
SECONDS = 30


class Process:
    """A process that is declared to run the chain, and kills nobody."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.site"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def threads(self) -> list[Path]:
        """Return what the kernel tells of its threads."""
        return list(Path(f"/proc/{self.process.pid}/task").iterdir())

    def seconds(self) -> float:
        """Return how long its threads have run, in seconds."""
        return sum(
            int((thread / "schedstat").read_text().split()[0]) / 1e9
            for thread in self.threads()
        )


def main() -> None:
    """Print the share of a core."""
    environment = environ()
    with ExitStack() as stack:
        processes = [
            stack.enter_context(Process(environment)) for _ in range(PROCESSES + 1)
        ]
        time.sleep(scaled(10))
        before = [process.seconds() for process in processes]
        time.sleep(scaled(SECONDS))
        used = [
            process.seconds() - began
            for process, began in zip(processes, before, strict=True)
        ]
        pidfile = Path(environment["RUN_ROOT"]) / "standing-by.pid"
        owner = int(pidfile.read_text().split()[0])
        own = used.pop([one.process.pid for one in processes].index(owner))
    share, own = sum(used) / scaled(SECONDS), own / scaled(SECONDS)
    print(f"{PROCESSES} that stand by take {share:.3%} of a core", end="")
    print(f"   target < 0.1 %; the owner {own:.3%}; each, in ms:")
    print([round(value * 1e3, 1) for value in used])
