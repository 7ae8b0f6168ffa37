"""Tasks that leave traces."""

from __future__ import annotations

import ctypes
import os
import subprocess
import time

import journal

from yourlabs import runner

VERSION = "old"
COOLDOWN = float(os.environ.get("COOLDOWN", "0.2"))


@runner.task(success_cooldown=COOLDOWN)
def beat() -> None:
    journal.write("enter", task="beat", version=VERSION)
    time.sleep(0.01)
    journal.write("leave", task="beat", version=VERSION)


@runner.task(success_cooldown=COOLDOWN)
def work() -> None:
    journal.write("enter", task="work")
    time.sleep(float(os.environ["SECONDS"]))
    journal.write("leave", task="work")


@runner.task(fail_cooldown=5)
def crash() -> None:
    journal.write("enter", task="crash")
    ctypes.string_at(0)


@runner.task(success_cooldown=COOLDOWN)
def multiply() -> None:
    """Leave a subprocess, a shell's background process and a forked child behind."""
    journal.write("enter", task="multiply")
    sleeper = subprocess.Popen(["sleep", "60"])
    os.system("sleep 60 &")
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    journal.write("leave", task="multiply", children=[sleeper.pid, child])
