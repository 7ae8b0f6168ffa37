"""
Tasks for chains that the tests run in processes of their own.

The environment says how long they take and where they tell what they did: a file that
is only ever appended to, with times on the one monotonic clock of the machine.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from yourlabs.runner import task
from yourlabs.runner.ownership.process import start_ticks

COOLDOWN = float(os.environ.get("JOB_COOLDOWN", "0.05"))
FAIL_COOLDOWN = float(os.environ.get("JOB_FAIL_COOLDOWN", "0.05"))
SECONDS = float(os.environ.get("JOB_SECONDS", "0"))

cooldowns = task(success_cooldown=COOLDOWN, fail_cooldown=FAIL_COOLDOWN)


def note(event: str, **values: Any) -> None:
    """Append one line to the log, in one step."""
    pid = os.getpid()
    # Pids are used again within minutes; with the start they are one process's own.
    line = {"event": event, "pid": pid, "start": start_ticks(pid), **values}
    line["at"] = time.monotonic()
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    descriptor = os.open(os.environ["JOB_LOG"], flags, 0o600)
    os.write(descriptor, json.dumps(line).encode() + b"\n")
    os.close(descriptor)


@contextmanager
def noted(task: str) -> Iterator[None]:
    """Tell when a run of `task` begins and when it ends."""
    note("enter", task=task)
    try:
        yield
    finally:
        note("leave", task=task)


@cooldowns
def wait_at_gate() -> None:
    """Take until there is a file of that name."""
    with noted("wait_at_gate"):
        while not os.path.exists(os.environ["JOB_GATE"]):
            time.sleep(0.005)


@cooldowns
def work() -> None:
    """Take the time that the environment says."""
    with noted("work"):
        time.sleep(SECONDS)


@cooldowns
def other() -> None:
    """Do the same under another name."""
    with noted("other"):
        time.sleep(SECONDS)


@cooldowns
def fail() -> None:
    """Raise, each time."""
    with noted("fail"):
        raise ValueError("as always")


@cooldowns
def crash() -> None:
    """Take the process along."""
    note("enter", task="crash")
    os.kill(os.getpid(), signal.SIGKILL)


@cooldowns
def leave_children() -> None:
    """Start a program and fork a child, both of which live on."""
    with noted("leave_children"):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(0)
        note("forked", child=child)


@task(success_cooldown=0.005, fail_cooldown=0.005)
def tortured() -> None:
    """Work for some milliseconds, and now and then leave a child behind."""
    folder = os.path.dirname(os.environ["JOB_LOG"])
    with open(f"{folder}/var/run/tortured.pid") as file:
        record = json.loads(file.read().split("\n")[1])
    assert record["pid"] == os.getpid()
    note("enter", task="tortured", seq=record["seq"])
    time.sleep(random.uniform(0.005, 0.03))
    note("leave", task="tortured")
    if random.random() < 0.02 and not os.fork():
        time.sleep(0.5)
        os._exit(0)


@cooldowns
def fork_and_return() -> None:
    """Fork children that do not care to end by themselves."""
    with noted("fork_and_return"):
        parent = os.getpid()
        for ending in (None, SystemExit(3), ValueError("in the child")):
            child = os.fork()
            if not child:
                if ending is not None:
                    raise ending
                break
            _, status = os.waitpid(child, 0)
            note("ended", code=os.waitstatus_to_exitcode(status))
    assert os.getpid() == parent or ending is None


@cooldowns
def use_pool() -> None:
    """Let a pool of processes do the work."""
    with noted("use_pool"), multiprocessing.get_context("fork").Pool(2) as pool:
        note("pooled", result=pool.map(abs, [-1, -2]))
