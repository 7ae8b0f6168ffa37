"""The command that runs a chain in a process of its own: its log, signals and codes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.places import DEADLINE, HOST, Child, Place, wait_for

WORK = "tests.jobs.work"
LONG = {"JOB_COOLDOWN": "3600"}
torture = pytest.mark.torture
SIGNALS = [
    signal.SIGTERM,
    pytest.param(signal.SIGINT, marks=torture),
    pytest.param(signal.SIGHUP, marks=torture),
]


def started(place: Place, *arguments: str, **environ: str) -> Child:
    """Return a command whose first run is over, and which sleeps for an hour."""
    child = place.command(*arguments, **{**LONG, **environ})
    child.wait_for("Sleeping 3600 seconds")
    return child


@pytest.mark.parametrize("failures", [5, pytest.param(11, marks=torture)])
def test_transcript(place: Place, failures: int) -> None:
    """The log of the documented example is the documented one, line for line."""
    child = place.command("yourlabs.runner.tasks.divide_by_zero")
    child.wait_for("Sleeping 1 seconds", times=failures)
    child.send(signal.SIGTERM)

    assert child.wait() == 0
    failed, slept = "[divide_by_zero] Execution failed", "[divide_by_zero] Sleeping 1"
    told = "[divide_by_zero] Sent email to admins: "
    expected = [
        "Did not find pidfile divide_by_zero, continuing normally",
        "Wrote pidfile divide_by_zero",
    ]
    for number in range(1, failures + 1):
        expected.append(failed)
        if number in MAILS:
            expected.append(told + MAILS[number])
        expected.append(f"{slept} seconds")
    assert child.lines()[: len(expected)] == expected
    text = child.text()
    assert text.count("Traceback (most recent call last):") >= failures
    subjects = re.findall(r"^Subject: (.*)$", text, re.MULTILINE)
    assert len(subjects) == len([n for n in MAILS if n <= failures]), subjects


MAILS = {
    1: "First exception caught: division by zero",
    4: "Non recoverable downtime reached",
    7: "Non recoverable downtime reached again",
    10: "Non recoverable downtime reached again",
}
"""By the number of the failure, what the admins are told."""


def test_dead_pidfile(place: Place) -> None:
    """A pidfile that a dead process left is named in the log and written anew."""
    first = started(place, WORK)
    first.kill()
    second = started(place, WORK)

    assert second.lines()[:4] == [
        f"Found pidfile work containing: {first.pid}",
        f"Could not find /proc/{first.pid}, wiping pidfile work",
        "The process that ran work before was cut, maybe by kill -9",
        "Wrote pidfile work",
    ]
    assert place.owner("work")["pid"] == second.pid


def test_pidfile_of_an_orderly_end(place: Place) -> None:
    """The log of the next start says that nothing is wrong with it."""
    first = started(place, WORK)
    first.send(signal.SIGTERM)
    assert first.wait() == 0
    second = started(place, WORK)

    assert "The process that ran work before ended in good order" in second.lines()


@pytest.mark.parametrize("number", SIGNALS)
def test_stop_in_a_cooldown(place: Place, number: int) -> None:
    """A signal cuts the cooldown, and the command ends well within a second."""
    child = started(place, WORK)
    before = time.monotonic()
    child.send(number)

    assert child.wait() == 0
    assert time.monotonic() - before < 1
    assert place.owner("work")["released"] is True


@pytest.mark.parametrize("number", SIGNALS)
def test_stop_in_a_run(place: Place, number: int) -> None:
    """The function that is running is finished first."""
    child = place.command(WORK, JOB_SECONDS="0.5")
    place.wait_for_events(1)
    child.send(number)

    assert child.wait() == 0
    assert len(place.events("enter")) == len(place.events("leave")) == 1


@pytest.mark.parametrize("number", SIGNALS[:2])
def test_second_signal(place: Place, number: int) -> None:
    """A second signal does not wait for the function that is running."""
    child = place.command(WORK, JOB_SECONDS="60")
    place.wait_for_events(1)
    child.send(number)
    time.sleep(0.1)
    assert not child.has_ended()

    assert child.insist(number) == 128 + number
    assert place.events("leave") == []


@torture
def test_stop_while_starting(place: Place) -> None:
    """A command that waits for the owner can be stopped, too."""
    place.command(WORK, JOB_SECONDS="60")
    place.wait_for_events(1)
    waiting = place.command(WORK)
    waiting.wait_for("Sent SIGTERM")
    waiting.send(signal.SIGTERM)

    assert waiting.wait() == 0


@pytest.mark.skipif(
    os.geteuid() != 0 or not sys.platform.startswith("linux"), reason="needs root"
)
def test_first_process_of_a_container(place: Place) -> None:
    """As pid 1 it ends on SIGTERM, which the kernel ignores there by default."""
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    child = place.script(
        "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])",
        *unshare,
        *(sys.executable, "-m", "yourlabs.runner", WORK),
        **LONG,
    )
    child.wait_for("Sleeping 3600 seconds")
    assert "This process is pid 1: " in child.text()
    [inside] = children_of(child.pid)
    assert place.owner("work")["pid"] == 1
    os.kill(inside, signal.SIGTERM)

    assert child.wait(5) == 0


LATE = """
import ctypes, sys, threading, time
from tests.jobs import work
from yourlabs.runner import RunnerThread, chains, task
from yourlabs.runner.__main__ import main

def disturb():
    "Raise in the chain's thread while it cools down, as a time-out that is late."
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    for _ in range(2):
        while not any(one.status().next_run for one in chains().values()):
            time.sleep(0.01)
        [thread] = chains().values()
        raise_in(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))
        # It is raised when the thread runs Python's code again.
        time.sleep(0.01)
        thread.wake()
        time.sleep(1.5)

if sys.argv[1] == "late":
    threading.Thread(target=disturb, daemon=True).start()
else:
    # As if a mistake of ours had ended it.
    RunnerThread.run = RunnerThread._leave
main(["tests.jobs.work"])
"""


def test_exceptions_that_come_too_late(place: Place) -> None:
    """What a library raises in the chain's thread is told, and it goes on."""
    child = place.script(LATE, "late", JOB_COOLDOWN="0.2")

    child.wait_for("The chain cannot run, and tries again: SystemExit was raised.")
    seen = len(place.events("enter"))
    place.wait_for_events(seen + 3)

    child.send(signal.SIGTERM)
    assert child.wait() == 0


NO_THREADS = f"""
import threading
# More than there is: no thread can be started.
threading.stack_size(2**47)
{HOST.replace("sys.stdin.read()", "")}
print("booted", flush=True)
threading.stack_size(0)
from django.core.signals import request_started
request_started.send(sender="a server")
sys.stdin.read()
"""


def test_no_thread_to_be_had(place: Place) -> None:
    """The site boots all the same, and the next request starts the chain."""
    child = place.script(NO_THREADS, WORK, RUNNER_AUTOSTART="1")

    child.wait_for("booted")
    place.wait_for_events(2)
    assert child.text().count("[work] The chain cannot start: ") == 1


MANY = """
from pathlib import Path
from django.conf import settings
from yourlabs.runner.__main__ import embedded_settings

settings.configure(**embedded_settings(Path.cwd()), RUNNER={"EMAIL": False})
import django

django.setup()
from yourlabs.runner import Runner, task

def fail():
    raise ValueError("ошибка " * 200)

names = [f"task{number}" for number in range(125)]
Runner(
    [task(fail_cooldown=0.001, name=name)(lambda: fail()) for name in names],
    name="many",
).run()
"""


def test_many_failures(place: Place) -> None:
    """What a chain of very many failing tasks keeps is small, and the next reads it."""
    for _ in range(2):
        child = place.script(MANY)
        child.wait_for("[task124] Execution failed", 2)
        child.send(signal.SIGTERM)
        assert child.wait() == 0

    state = place.root / "many.json"
    kept = json.loads(state.read_text())["downtimes"]
    assert state.stat().st_size < 500_000
    assert min(one["failures"] for one in kept.values()) >= 4
    assert "is not used" not in child.text()


def test_chain_that_ends_unasked(place: Place) -> None:
    """The exit code has a supervisor start it again."""
    assert place.script(LATE, "unasked").wait() == 70


def children_of(pid: int) -> list[int]:
    """Return the pids of the children of a process."""
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], stdout=-1)
    return [int(word) for word in done.stdout.split()]


def test_once(place: Place) -> None:
    """With ``--once`` each function is run once, without a cooldown."""
    child = place.command("--once", WORK, "tests.jobs.other", **LONG)

    assert child.wait() == 0
    assert [e["task"] for e in place.events("enter")] == ["work", "other"]
    assert "Sleeping" not in child.text()
    assert place.owner("work_other")["released"] is True


def test_once_failed(place: Place) -> None:
    """With ``--once`` the exit code says whether a function failed."""
    child = place.command("--once", "tests.jobs.fail", WORK, **LONG)

    assert child.wait() == 1
    assert [e["task"] for e in place.events("enter")] == ["fail", "work"]


@torture
def test_once_after_crashes(place: Place) -> None:
    """With ``--once`` what earlier processes did not survive changes nothing."""
    for number in range(3):
        killed = place.command("--once", WORK, "tests.jobs.other", JOB_SECONDS="60")
        place.wait_for_events(number + 1)
        killed.kill()
    child = place.command("--once", WORK, "tests.jobs.other", **LONG)

    assert child.wait() == 0
    assert [e["task"] for e in place.events("enter")][3:] == ["work", "other"]


@torture
def test_name(place: Place) -> None:
    """The name of the chain is the name of its pidfile."""
    child = started(place, "--name", "night-shift", WORK)

    assert "Wrote pidfile night-shift" in child.text()
    assert place.owner("night-shift")["functions"] == [WORK]


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        pytest.param("no.such.function", "There is no module 'no'", marks=torture),
        ("tests.jobs.wrok", "did you mean 'work'?"),
    ],
)
def test_unknown_function(place: Place, path: str, problem: str) -> None:
    """A function that is not there is named in an error, without a traceback."""
    child = place.command(path)

    assert child.wait() == 1
    assert problem in child.text()
    assert "Traceback" not in child.text()
    assert not place.root.exists()


@torture
def test_two_chains(place: Place) -> None:
    """Chains of other names run beside each other."""
    first = started(place, WORK)
    second = started(place, "tests.jobs.other")

    assert place.owner("work")["pid"] == first.pid
    assert place.owner("other")["pid"] == second.pid


@torture
def test_growing_cooldown(place: Place) -> None:
    """A task that crashes its process waits longer each time it is started again."""
    waits = []
    for _ in range(4):
        child = place.command("tests.jobs.crash", JOB_FAIL_COOLDOWN="0.1")
        assert child.wait() == -signal.SIGKILL
        waits.append(re.findall(r"Sleeping (\d+) seconds", child.text()))

    # The second start runs it at once, because a person may have mended it.
    assert waits == [[], [], ["2"], ["4"]]
    assert len(place.events("enter")) == 4


def test_children_of_a_task(place: Place) -> None:
    """A signal to a child that a task has forked ends the child, like anywhere."""
    child = place.command("tests.jobs.leave_children", **LONG)
    [forked] = place.wait_for_events(1, "forked")
    os.kill(forked["child"], signal.SIGTERM)

    wait_for(lambda: state_of(forked["child"]) in ("Z", ""), DEADLINE)
    assert not child.has_ended()


def test_child_that_returns(place: Place) -> None:
    """A child that a task forks runs no chain, however it leaves the task."""
    child = place.command("tests.jobs.fork_and_return", **LONG)
    child.wait_for("Sleeping")

    assert [e["code"] for e in place.events("ended")] == [0, 3, 1]
    assert child.text().count("Sleeping") == 1
    assert "ended with an exception" in child.text()
    assert "Execution failed" not in child.text()


def test_pool(place: Place) -> None:
    """A pool of processes in a task ends with the task."""
    child = place.command("tests.jobs.use_pool", **LONG)
    child.wait_for("Sleeping")

    assert [e["result"] for e in place.events("pooled")] == [[1, 2]]
    assert len(place.events("leave")) == 1


def state_of(pid: int) -> str:
    """Return the letter of /proc for what a process does; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return ""
