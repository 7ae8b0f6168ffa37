"""Chains in the servers that load the project in the process that serves."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import pytest

from tests.servers.conftest import Launch
from tests.servers.harness import Server, has, overlaps, program, wait_for

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
PARENTS = {
    *("uvicorn, 3 workers", "hypercorn", "hypercorn, 2 workers"),
    *("granian, WSGI", "granian, ASGI", "runserver"),
}
"""Where the process that is started only starts those that serve."""

STOP_TIMEOUT = 2


def command_of(name: str) -> list[str]:
    command = SERVERS[name]
    if not has(Path(command[0]).name):
        pytest.skip(f"{Path(command[0]).name} is not installed")
    return command


def printed(server: Server) -> set[str]:
    """Return the lines that the server has printed, without their numbers."""
    lines = re.sub(r"\d+", "0", server.text()).splitlines()
    # Waitress says so when a request comes while another one is answered.
    return {line for line in lines if "Task queue depth" not in line}


@pytest.mark.parametrize("name", SERVERS)
def test_one_process(launch: Launch, name: str) -> None:
    """
    One process of the server runs the chain, and SIGTERM ends it as without a chain.

    That is in the same time, or with a task that runs within `STOP_TIMEOUT` more, with
    the same exit status, and with the same words.
    """
    command = command_of(name)
    without = launch(command, place="without", wait=False, CHAIN="")
    idle = launch(command, place="idle", wait=False)
    busy = launch(
        command,
        place="busy",
        wait=False,
        CHAIN="tasks.work",
        SECONDS="30",
        STOP_TIMEOUT=str(STOP_TIMEOUT),
    )
    for server in (without, idle, busy):
        server.wait_until_up()
    runs = idle.wait_for_runs(5)
    busy.wait_for_runs(1)
    wait_for(lambda: printed(without) == printed(idle) == printed(busy))

    took_without, took_idle, took_busy = (s.stop() for s in (without, idle, busy))

    assert len({run["pid"] for run in runs}) == 1
    assert (runs[0]["pid"] != idle.process.pid) == (name in PARENTS)
    assert overlaps(idle.place.events("enter", "leave"), {}) == []
    assert len(busy.place.events("enter")) == 1
    assert without.place.events("enter") == busy.place.events("leave") == []
    assert took_idle < took_without + 1
    assert took_busy < took_without + STOP_TIMEOUT + 1
    assert printed(without) == printed(idle) == printed(busy)
    codes = {server.process.returncode for server in (without, idle, busy)}
    assert len(codes) == 1
    wait_for(lambda: not [*idle.pids(), *busy.pids()], message="A process is left.")


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


@pytest.mark.parametrize(
    "name", ["uvicorn with lifespan", "daphne", "hypercorn", "granian, WSGI"]
)
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
