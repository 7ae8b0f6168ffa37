"""Starts real servers on the project beside this file, and reads what they did."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
PROJECT = HERE / "project"
BIN = Path(sys.executable).parent

Event = dict[str, Any]


def wait_for(what: Callable[[], Any], timeout: float = 20, message: str = "") -> Any:
    """Return the first true value of `what`, which must come within `timeout` s."""
    deadline = time.monotonic() + timeout
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(message or f"Nothing within {timeout} s.")
        time.sleep(0.005)


# Below those that the kernel gives to connections: one of them could be taken between
# the choice and the server's start. Each run of the tests begins elsewhere.
_ports = itertools.count(20_000 + os.getpid() * 97 % 10_000)

_starting = threading.Lock()
"""Held while a port is probed and while a process is forked: until it has become the
server, the child has a copy of the probe."""


def free_port() -> int:
    """Return a port of this machine that nobody has, another one each time."""
    for port in _ports:
        with _starting, socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError


def program(name: str) -> str:
    """Return the path of a program beside the interpreter."""
    return str(BIN / name)


def has(name: str) -> bool:
    """Say whether the program was installed beside the interpreter."""
    return shutil.which(name, path=str(BIN)) is not None


@dataclass
class Place:
    """A directory with the journal, the log and the pidfiles of one server."""

    path: Path
    environ: dict[str, str] = field(default_factory=dict)
    project: Path = PROJECT

    def __post_init__(self) -> None:
        self.path.mkdir(exist_ok=True)

    def variables(self) -> dict[str, str]:
        """The environment of a process of the project."""
        return {
            **{key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ},
            "DJANGO_SETTINGS_MODULE": "settings",
            "PLACE": str(self.path),
            "PYTHONPATH": f"{self.project}{os.pathsep}{REPOSITORY}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "CHAIN": "tasks.beat",
            **self.environ,
        }

    def events(self, *names: str) -> list[Event]:
        """Return what the journal says of these events, oldest first."""
        try:
            lines = (self.path / "journal").read_text().splitlines()
        except FileNotFoundError:
            return []
        events = [json.loads(line) for line in lines]
        return [event for event in events if not names or event["event"] in names]

    def serving(self) -> set[int]:
        """Return the processes that are there to run chains, and not at their end."""
        ended = {event["pid"] for event in self.events("exit")}
        return {event["pid"] for event in self.events("serves")} - ended

    def log(self) -> list[str]:
        """Return the lines of the runner's log, with pid and level."""
        try:
            return (self.path / "runner.log").read_text().splitlines()
        except FileNotFoundError:
            return []

    def run_files(self) -> list[str]:
        """Return the names in RUN_ROOT."""
        root = self.path / "run"
        return sorted(os.listdir(root)) if root.exists() else []

    def cooling_owner(self, chain: str) -> int:
        """Return the pid of who owns the chain, if it is between two runs; else 0."""
        try:
            text = (self.path / "run" / f"{chain}.pid").read_text()
            record = json.loads(text.split("\n")[1])
        except (OSError, ValueError, IndexError):
            return 0
        alive = psutil.pid_exists(record["pid"]) and not record["released"]
        return record["pid"] if alive and record["run"] is None else 0

    def mails(self) -> list[str]:
        """Return the mails that were sent, whole."""
        root = self.path / "mails"
        texts = [path.read_text() for path in sorted(root.glob("*.log"))]
        return [mail for text in texts for mail in text.split("-" * 79) if mail.strip()]

    def run(self, command: list[str], timeout: float = 60) -> tuple[int, str]:
        """Run a command of the project to its end; return its code and output."""
        done = subprocess.run(
            command,
            cwd=self.project,
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        return done.returncode, done.stdout


class Server:
    """One server with all its processes, in a process group of their own."""

    def __init__(self, place: Place, command: list[str]) -> None:
        self.place = place
        self.port = free_port()
        self.command = [part.format(port=self.port) for part in command]
        self.output = place.path / "output"

    def wait_until_up(self) -> None:
        """Wait until it answers."""
        wait_for(self.answers, 30, "The server does not answer.")

    def launch(self) -> None:
        """Start it, and do not wait."""
        with self.output.open("ab") as output, _starting:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.place.project,
                env=self.place.variables(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def answers(self) -> bool:
        """Say whether it serves; raise when it has ended instead."""
        if self.process.poll() is not None:
            raise AssertionError(f"It ended:\n{self.text()}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.request() > 0
        return False

    def request(self, path: str = "/", timeout: float = 5) -> int:
        """Request a page; return the pid of the process that answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                raise OSError(response.status, body[-500:].decode("utf-8", "replace"))
            return int(body)
        finally:
            connection.close()

    def text(self) -> str:
        """Return what the server printed."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def pids(self) -> list[int]:
        """Return the live processes of the server."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                ours = os.getpgid(process.pid) == self.process.pid
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
        return found

    def kill(self, pid: int, number: int = signal.SIGKILL) -> float:
        """Signal a process of this server; return when, on the monotonic clock."""
        assert os.getpgid(pid) == self.process.pid
        at = time.monotonic()
        os.kill(pid, number)
        return at

    def stop(self, number: int = signal.SIGTERM, timeout: float = 20) -> float:
        """Signal the main process and wait for its end; return how long it took, in s.

        Ctrl-C reaches every process of a terminal, and so does SIGINT here.
        """
        started = time.monotonic()
        if number == signal.SIGINT:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)
        self.process.wait(timeout)
        return time.monotonic() - started

    def clean_up(self) -> None:
        """Kill whatever is left of it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(20)

    def wait_for_runs(self, count: int, timeout: float = 20) -> list[Event]:
        """Return the first `count` beginnings of a run, once there are as many."""
        message = f"No {count} runs. Log:\n" + "\n".join(self.place.log()[-20:])
        return wait_for(
            lambda: runs if len(runs := self.place.events("enter")) >= count else None,
            timeout,
            message,
        )[:count]

    def wait_for_workers(self, count: int) -> None:
        """Wait until `count` processes in all have said that they run chains."""
        wait_for(
            lambda: len(self.place.events("serves")) >= count,
            message=f"No {count} processes.",
        )

    def wait_for_run_after(self, at: float, timeout: float = 20) -> Event:
        """Return the first beginning of a run later than `at`."""
        message = "No run. Log:\n" + "\n".join(self.place.log()[-20:])
        later = wait_for(
            lambda: [e for e in self.place.events("enter") if e["at"] > at],
            timeout,
            message,
        )
        return later[0]


@dataclass
class Load:
    """Requests from several threads, until it is stopped."""

    answered: int = 0
    failed: list[str] = field(default_factory=list)


def overlaps(events: list[Event], killed: dict[int, float]) -> list[str]:
    """Return the runs that began before the one before had ended.

    Args:
        events: Of one chain.
        killed: When processes were killed: that ends their run.
    """
    found = []
    running: Event | None = None
    for event in sorted(events, key=lambda event: event["at"]):
        if event["event"] == "enter":
            ended = (
                running is None
                or killed.get(running["pid"], event["at"]) <= (event["at"])
            )
            dead = running is None or running["pid"] in killed
            if not (ended and dead):
                found.append(f"{running} was running at {event}")
            running = event
        elif event["event"] == "leave":
            running = None
    return found


def side_by_side(check: Callable[[Any], object], cases: Iterable[Any]) -> None:
    """Check the cases, five at a time, until one fails."""
    with ThreadPoolExecutor(5) as pool:
        for _ in pool.map(check, cases):
            continue


def copy_of_project(to: Path) -> Path:
    """Copy the project, so that a test can edit it."""
    return Path(
        shutil.copytree(PROJECT, to, ignore=shutil.ignore_patterns("__pycache__"))
    )


def replace_in(path: Path, old: str, new: str) -> None:
    """Edit a file in one step, with a time of change that no reloader overlooks."""
    text = path.read_text()
    assert old in text
    draft = path.with_suffix(".draft")
    draft.write_text(text.replace(old, new))
    draft.replace(path)


@contextlib.contextmanager
def load_on(
    server: Server, threads: int = 4, pause: float = 0.0, workers: int = 0
) -> Iterator[Load]:
    """
    Request the server's page without end.

    Args:
        server: That is to answer.
        threads: How many requests at once.
        pause: After each of a thread's requests, in seconds.
        workers: How many processes that run chains there have to be for a request.
    """
    load, over = Load(), threading.Event()

    def request() -> None:
        while not over.wait(pause):
            if workers and len(server.place.serving()) < workers:
                continue
            try:
                server.request()
            except (OSError, http.client.HTTPException) as error:
                load.failed.append(repr(error))
            else:
                load.answered += 1

    clients = [threading.Thread(target=request, daemon=True) for _ in range(threads)]
    for client in clients:
        client.start()
    try:
        yield load
    finally:
        over.set()
        for client in clients:
            client.join(20)
