"""Chains in processes of their own: started, watched and ended by the tests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

REPOSITORY = Path(__file__).resolve().parent.parent
DEADLINE = 30.0
"""How long a test waits for what must happen, in seconds."""

HOST = """
import os, sys, time
from pathlib import Path
from django.conf import settings
from yourlabs.runner.__main__ import embedded_settings

settings.configure(**embedded_settings(Path.cwd()))
import django

django.setup()
from yourlabs import runner

name = os.environ.get("HOST_CHAIN")
runner.start_chain(sys.argv[1:], name=name)
sys.stdin.read()
"""
"""A process with work of its own: it ends when nobody talks to it any more."""

T = TypeVar("T")


def whole_lines(log: Path) -> list[str]:
    """Return the lines of a file, without one that is still being written."""
    return log.read_text().rpartition("\n")[0].splitlines()


def wait_for(condition: Callable[[], T], deadline: float = DEADLINE) -> T:
    """Return what `condition` returns as soon as that is true."""
    ends = time.monotonic() + deadline
    while not (value := condition()):
        assert time.monotonic() < ends, f"{condition} did not hold in {deadline} s"
        time.sleep(0.002)
    return value


class Child:
    """A process, and what it has written so far."""

    def __init__(
        self, arguments: list[str], folder: Path, environ: Any, stdout: Any = None
    ) -> None:
        self.output = folder / f"output-{time.monotonic_ns()}"
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=folder,
                env=environ,
                stdin=subprocess.PIPE,
                stdout=stdout or file,
                stderr=file,
                start_new_session=True,
                # Where the tests run under nohup it is ignored, and inherited so.
                preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
            )
        self.pid = self.process.pid

    def text(self) -> str:
        """Return what it has written, to both streams."""
        return self.output.read_text(errors="replace")

    def lines(self) -> list[str]:
        """Return the messages that it has logged, without time and level."""
        words = [line.split(" ", 3) for line in self.text().splitlines()]
        return [w[3] for w in words if len(w) == 4 and w[2].isupper()]

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until it has written `text` that many times."""
        with contextlib.suppress(AssertionError):
            wait_for(lambda: self.text().count(text) >= times or self.has_ended())
        assert self.text().count(text) >= times, self.text()[-3000:]

    def has_ended(self) -> bool:
        """Say whether it is over."""
        return self.process.poll() is not None

    def send(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def insist(self, number: int) -> int:
        """
        Send it a signal until it has ended, and return its exit code.

        Signals that come before the first of them is handled are one for the process.
        """
        wait_for(lambda: self.has_ended() or self.send(number))
        return self.wait()

    def wait(self, deadline: float = DEADLINE) -> int:
        """Return its exit code, when it ends in time."""
        try:
            return self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(self.text()[-3000:]) from None

    def kill(self) -> None:
        """End it and everything it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()


class Speaker(Child):
    """A process that answers each letter with a number on a line."""

    def __init__(self, arguments: list[str], folder: Path, environ: Any) -> None:
        super().__init__(arguments, folder, environ, stdout=subprocess.PIPE)

    def ask(self, letter: str) -> int:
        """Return its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(letter.encode())
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def kill(self) -> None:
        """End it and everything it has started."""
        super().kill()
        assert self.process.stdout is not None
        self.process.stdout.close()


class Place:
    """A folder in which chains run; ``var/run`` in it is their RUN_ROOT."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "var" / "run"
        self.log = folder / "log"
        self.gate = folder / "gate"
        """What `tests.jobs.wait_at_gate` waits for."""
        self.children: list[Child] = []

    def command(self, *arguments: str, **environ: str) -> Child:
        """Start a `run_functions`; `environ` in capitals goes on top."""
        return self._start(["-m", "yourlabs.runner", *arguments], environ)

    def host(self, *functions: str, **environ: str) -> Child:
        """Start a process with work of its own, in which a chain runs."""
        return self._start(["-c", HOST, *functions], environ)

    def script(self, text: str, *arguments: str, **environ: str) -> Child:
        """Start a program."""
        return self._start(["-c", text, *arguments], environ)

    def module(self, name: str, *arguments: str) -> Speaker:
        """Start a module that answers what it is asked."""
        speaker = Speaker(["-m", name, *arguments], self.folder, self._environ())
        self.children.append(speaker)
        return speaker

    def _start(self, arguments: list[str], environ: Mapping[str, str]) -> Child:
        child = Child(arguments, self.folder, {**self._environ(), **environ})
        self.children.append(child)
        return child

    def _environ(self) -> dict[str, str]:
        values = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "JOB_LOG": str(self.log),
            "JOB_GATE": str(self.gate),
        }
        values.pop("DJANGO_SETTINGS_MODULE", None)
        return values

    def pidfile(self, chain: str) -> Path:
        """Return where the pidfile of `chain` is."""
        return self.root / f"{chain}.pid"

    def owner(self, chain: str) -> dict[str, Any]:
        """Return the record in the pidfile; empty when there is none."""
        try:
            return dict(json.loads(self.pidfile(chain).read_text().split("\n")[1]))
        except (OSError, ValueError, IndexError):
            return {}

    def events(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return what the tasks have told, in order."""
        if not self.log.exists():
            return []
        events = [json.loads(line) for line in whole_lines(self.log)]
        return [e for e in events if event in (None, e["event"])]

    def wait_for_events(self, count: int, event: str = "enter") -> list[dict[str, Any]]:
        """Wait until so many events were told, and return them."""
        wait_for(lambda: len(self.events(event)) >= count)
        return self.events(event)

    def close(self) -> None:
        """End every process, and what the tasks left behind."""
        for child in self.children:
            child.kill()


Process = tuple[int, int]
"""A pid and when it was started: pids are used again."""


def overlaps(
    events: Iterable[dict[str, Any]], died: Mapping[Process, float]
) -> list[Any]:
    """
    Return the pairs of runs of different processes that overlap in time.

    Args:
        events: The enter and leave lines of the log.
        died: Until when a process that left no last line was alive for certain.
    """
    runs = sorted(_runs(events, died))
    found, latest = [], runs[0] if runs else (0.0, 0.0, (0, 0))
    for run in runs[1:]:
        if run[0] < latest[1] and run[2] != latest[2]:
            found.append((latest, run))
        latest = max(latest, run, key=lambda item: item[1])
    return found


def _runs(
    events: Iterable[dict[str, Any]], died: Mapping[Process, float]
) -> Iterable[tuple[float, float, Process]]:
    begun: dict[Process, float] = {}
    for event in events:
        process = event["pid"], event["start"]
        if event["event"] == "enter":
            begun[process] = event["at"]
        elif event["event"] == "leave":
            yield begun.pop(process), event["at"], process
    for process, at in begun.items():
        yield at, max(at, died.get(process, at)), process
