"""
A process of one machine: chains in a RUN_ROOT of its own, with leases in a database.

``python -m tests.runner.cluster.machine DATABASE ROOT LOG CHAIN=FUNCTION …``, where
DATABASE is the JSON of Django's setting. Each run is two lines in LOG, by the one
monotonic clock of the real machine. It is told what to do by lines: ``stop`` stops its
chains; it ends with its standard input.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import threading
import time
from pathlib import Path

import django
from django.conf import settings

from yourlabs import runner

try:
    import pymysql
except ImportError:
    pass
else:
    pymysql.install_as_MySQLdb()


def say(*words: object) -> None:
    """Print a line at once, whichever thread it is."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def tell(event: str) -> None:
    """Append a line to the log, with the name of this process and the token."""
    line = {
        "event": event,
        "at": time.monotonic(),
        "pid": os.getpid(),
        "root": Path(settings.RUN_ROOT).name,
        "token": runner.token(),
        "chain": threading.current_thread().name,
    }
    descriptor = os.open(os.environ["LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, json.dumps(line).encode() + b"\n")
    finally:
        os.close(descriptor)


@runner.task(success_cooldown=0.05, fail_cooldown=0.05)
def quick() -> None:
    """Run for a moment, twenty times a second."""
    tell("enter")
    time.sleep(0.01)
    tell("leave")


@runner.task(success_cooldown=0.2, fail_cooldown=0.2)
def steady() -> None:
    """Run for a while."""
    tell("enter")
    time.sleep(0.1)
    tell("leave")


@runner.task(success_cooldown=0.05, fail_cooldown=0.05)
def cut() -> None:
    """Begin, and never end, unless a file is there."""
    tell("enter")
    while not Path(os.environ["LOG"] + ".go").exists():
        time.sleep(0.01)
    tell("leave")


@runner.task(success_cooldown=3600, fail_cooldown=3600)
def rest() -> None:
    """Run once, and rest."""
    tell("enter")
    tell("leave")


@runner.task(success_cooldown=0.05, fail_cooldown=1)
def fail() -> None:
    """Fail until a file is there."""
    tell("enter")
    tell("leave")
    if not Path(os.environ["LOG"] + ".go").exists():
        raise ValueError("it does not work")


def enter_network(name: str) -> None:
    """Live in a network namespace from now on."""
    with open(f"/run/netns/{name}") as namespace:
        assert ctypes.CDLL(None).setns(namespace.fileno(), 0x40000000) == 0


def configure(database: str, root: str, log: str) -> None:
    """Set Django up."""
    os.environ["LOG"] = log
    if "NETWORK" in os.environ:
        enter_network(os.environ["NETWORK"])
    hours = float(os.environ.get("HOURS_OFF", "0"))
    if hours:
        right = time.time
        time.time = lambda: right() + 3600 * hours
    options = json.loads(os.environ.get("OPTIONS", "{}"))
    settings.configure(
        DATABASES={"default": json.loads(database)},
        INSTALLED_APPS=["yourlabs.runner", "yourlabs.runner.cluster"],
        RUN_ROOT=root,
        RUNNER={
            "EMAIL": "EMAIL_FILE_PATH" in options,
            "BACKEND": "yourlabs.runner.cluster",
        },
        USE_TZ=True,
        **options,
    )
    django.setup()


def main(database: str, root: str, log: str, *declared: str) -> None:
    """Run the chains until the standard input ends."""
    configure(database, root, log)
    for one in declared:
        name, _, functions = one.partition("=")
        paths = [f"{__name__}.{path}" for path in functions.split(",")]
        if os.environ.get("COMMAND"):
            sys.exit(runner.Runner(paths, name=name).run())
        runner.start_chain(paths, name=name)
    say("started")
    for line in sys.stdin:
        if line == "stop\n":
            say("stopped", runner.stop_all(20))
    runner.stop_all(10)


if __name__ == "__main__":
    # The tasks are looked up by their dotted path: that module is the one that runs.
    from tests.runner.cluster import machine

    machine.main(*sys.argv[1:])
