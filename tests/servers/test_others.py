"""Chains in the servers that load the project in the process that serves."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from tests.servers.conftest import Launch
from tests.servers.harness import has, overlaps, program, wait_for

pytestmark = pytest.mark.servers

PORT = "{port}"
UVICORN = [
    program("uvicorn"),
    "--host=127.0.0.1",
    "--port={port}",
    "--timeout-graceful-shutdown=5",
]
GRANIAN = [program("granian"), "--host", "127.0.0.1", "--port", PORT, "--interface"]
HYPERCORN = [program("hypercorn"), "--bind=127.0.0.1:{port}"]
SERVERS = {
    "uvicorn": [*UVICORN, "asgi:application"],
    "uvicorn with lifespan": [*UVICORN, "asgi:living"],
    "uvicorn, 3 workers": [*UVICORN, "--workers=3", "asgi:application"],
    "daphne": [program("daphne"), "-b", "127.0.0.1", "-p", PORT, "asgi:application"],
    "hypercorn": [*HYPERCORN, "asgi:application"],
    "hypercorn, 2 workers": [*HYPERCORN, "--workers=2", "asgi:application"],
    "granian, WSGI": [*GRANIAN, "wsgi", "wsgi:application"],
    "granian, ASGI": [*GRANIAN, "asginl", "asgi:application"],
    "waitress": [
        program("waitress-serve"),
        "--listen=127.0.0.1:{port}",
        "wsgi:application",
    ],
    "runserver": [program("python"), "manage.py", "runserver", "127.0.0.1:{port}"],
    "runserver --noreload": [
        program("python"),
        "manage.py",
        "runserver",
        "--noreload",
        "127.0.0.1:{port}",
    ],
}
STOP_TIMEOUT = 2


def command_of(name: str) -> list[str]:
    command = SERVERS[name]
    if not has(Path(command[0]).name):
        pytest.skip(f"{Path(command[0]).name} is not installed")
    return command


@pytest.mark.parametrize("name", SERVERS)
def test_one_process(launch: Launch, name: str) -> None:
    """One process of the server runs the chain, and SIGTERM ends it as fast as ever."""
    command = command_of(name)
    without = launch(command, place="without", CHAIN="")
    took_without = without.stop()
    server = launch(command)

    runs = server.wait_for_runs(5)
    took = server.stop()

    assert len({run["pid"] for run in runs}) == 1
    assert overlaps(server.place.events("enter", "leave"), {}) == []
    assert took < took_without + 1
    assert without.place.events("enter") == []
    serving = {run["pid"] for run in runs}
    if name == "runserver":
        assert serving != {server.process.pid}


def test_workers_of_granian(launch: Launch) -> None:
    """One of two workers runs the chain; killed, the other one does."""
    command = command_of("granian, WSGI")
    server = launch([*command, "--workers", "2", "--respawn-failed-workers"])
    server.wait_for_runs(3)
    server.wait_for_workers(2)

    owner = wait_for(lambda: server.place.cooling_owner("beat"))
    at = server.kill(owner)
    after = server.wait_for_run_after(at)

    assert after["pid"] not in (owner, server.process.pid)
    assert after["at"] - at < 1


@pytest.mark.parametrize("name", ["uvicorn with lifespan", "daphne", "waitress"])
def test_stop_while_a_task_runs(launch: Launch, name: str) -> None:
    """SIGTERM waits for a running task for the time that is granted, and no longer."""
    command = command_of(name)
    server = launch(
        command, CHAIN="tasks.work", SECONDS="30", STOP_TIMEOUT=str(STOP_TIMEOUT)
    )
    server.wait_for_runs(1)

    took = server.stop()

    assert took < STOP_TIMEOUT + 2
    assert server.place.events("leave") == []


@pytest.mark.parametrize("name", ["uvicorn with lifespan", "daphne"])
def test_task_that_ends_in_time(launch: Launch, name: str) -> None:
    """A task that is done within that time is finished, where an exit hook runs."""
    command = command_of(name)
    server = launch(command, CHAIN="tasks.work", SECONDS="1", STOP_TIMEOUT="5")
    server.wait_for_runs(1)

    server.stop()

    assert len(server.place.events("leave")) == 1


def test_unknown_server(launch: Launch) -> None:
    """Under a server nobody knows the first request starts the chain."""
    program_text = (
        "import sys, wsgi; from wsgiref.simple_server import make_server; "
        "make_server('127.0.0.1', int(sys.argv[1]), wsgi.application).serve_forever()"
    )
    server = launch([sys.executable, "-c", program_text, PORT], wait=False)
    wait_for(lambda: [line for line in server.place.log() if "first request" in line])
    time.sleep(0.3)
    before = server.place.events("enter")
    files = server.place.run_files()

    server.wait_until_up()
    runs = server.wait_for_runs(3)

    assert before == []
    assert files == []
    assert {run["pid"] for run in runs} == {server.process.pid}
