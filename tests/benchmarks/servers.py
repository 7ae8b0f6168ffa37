"""Requests to gunicorn, one gthread worker of four threads, with chains in it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from functools import partial
from statistics import median

from tests.benchmarks.measure import ROOT, environ, rounds, scaled

SECONDS = 4
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    """Return when somebody answers."""
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline, "gunicorn does not answer"
            time.sleep(0.05)
        else:
            return


def wrk(port: int, seconds: int) -> tuple[float, float]:
    """Return requests a second, and the 99th percentile of the latency in ms."""
    done = subprocess.run(
        [
            "wrk",
            "--threads=1",
            "--connections=8",
            f"--duration={seconds}s",
            "--latency",
            f"http://127.0.0.1:{port}/",
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    tail = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
    assert rate, done.stdout
    assert tail, done.stdout
    return float(rate[1]), float(tail[1]) * UNITS[tail[2]]


def serve(what: str) -> tuple[float, float]:
    """Ask a server beside which `what` goes on; see `wrk`."""
    port = free_port()
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gunicorn",
            "--worker-class=gthread",
            "--workers=1",
            "--threads=4",
            f"--bind=127.0.0.1:{port}",
            "--log-level=warning",
            "tests.benchmarks.wsgi",
        ],
        cwd=ROOT,
        env={**environ(), "BENCH": what},
    )
    try:
        wait_for(port)
        wrk(port, 1)
        return wrk(port, scaled(SECONDS))
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    """Print ratios to the same server without chains."""
    if not shutil.which("wrk"):
        print("There is no wrk: apt-get install wrk")
        return
    names = {
        "nothing beside it": "",
        # What the same takes twice tells how much of a difference is chance.
        "nothing, once more": "",
        "100 idle chains": "idle_chains",
        "10 chains, 1 ms each 100 ms": "busy_chains",
        "10 threads, 1 ms each 100 ms": "busy_threads",
        "empty chain without cooldown": "endless_chain",
        "empty loop in a thread": "endless_thread",
    }
    values = rounds({name: partial(serve, what) for name, what in names.items()})
    floor = values["nothing beside it"]
    print(f"{'':34}{'req/s':>8}{'ratio':>8}{'p99 ms':>9}{'ratio':>8}")
    for name, found in values.items():
        columns = []
        for place in (0, 1):
            columns += [
                median(value[place] for value in found),
                median(v[place] / f[place] for v, f in zip(found, floor, strict=True)),
            ]
        print("{:34}{:8.0f}{:8.2f}{:9.2f}{:8.2f}".format(name, *columns))
    tails = [
        median(value[1] for value in values[f"10 {kind}, 1 ms each 100 ms"])
        for kind in ("chains", "threads")
    ]
    print(f"p99 of chains to that of threads: {tails[0] / tails[1]:.2f}", end="")
    print(
        f"   targets: 1.00, {1.0}, ≥ 0.60 of the requests   load {os.getloadavg()[0]}"
    )
