"""What an import costs, and how long ``run_functions`` takes to its first run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

from tests.benchmarks.measure import ROOT, environ, over_floor, reply, rounds
from yourlabs import runner


@runner.task
def first_run() -> None:
    """Say when it is reached, and end the process."""
    reply(time.monotonic())
    os.kill(os.getpid(), signal.SIGTERM)


def duration(*arguments: str) -> float:
    """Return how long an interpreter runs, in ms."""
    began = time.monotonic()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environ(), check=True)
    return (time.monotonic() - began) * 1e3


def until_reached(*arguments: str) -> float:
    """Return how long a command takes to the moment that it tells, in ms."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "django", *arguments],
        cwd=ROOT,
        env=environ(),
        stdout=subprocess.PIPE,
        check=True,
    )
    reached: float = json.loads(done.stdout)
    return (reached - began) * 1e3


def main() -> None:
    """Print both."""
    count = 15
    over_floor(
        rounds(
            {
                "empty interpreter": partial(duration, "-c", "pass"),
                "import yourlabs.runner": partial(
                    duration, "-c", "import yourlabs.runner"
                ),
                "from yourlabs.runner import task": partial(
                    duration, "-c", "from yourlabs.runner import task"
                ),
                "import django.db": partial(duration, "-c", "import django.db"),
            },
            count=count,
        ),
        "empty interpreter",
        "ms",
        "≤ 40 ms",
    )
    function = "tests.benchmarks.startup.first_run"
    over_floor(
        rounds(
            {
                "manage.py noop": partial(until_reached, "noop"),
                "manage.py run_functions": partial(
                    until_reached, "run_functions", function
                ),
            },
            count=count,
        ),
        "manage.py noop",
        "ms",
        "≤ 60 ms",
    )
