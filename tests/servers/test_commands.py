"""Processes that load the project and serve nobody."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.conftest import Launch
from tests.servers.harness import Place, program, wait_for

pytestmark = pytest.mark.servers

MANAGE = [sys.executable, "manage.py"]
SCRIPT = [sys.executable, "-c"]
COMMANDS = {
    "migrate": [*MANAGE, "migrate"],
    "check": [*MANAGE, "check"],
    "shell": [*MANAGE, "shell", "-c", "print(1)"],
    "collectstatic": [*MANAGE, "collectstatic", "--noinput"],
    "test": [*MANAGE, "test", "pages"],
    "test in parallel": [*MANAGE, "test", "pages", "--parallel=2"],
    "help": [*MANAGE, "help"],
    "django-admin": [program("django-admin"), "check"],
    "python -m django": [sys.executable, "-m", "django", "check"],
    "pytest": [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        *("--rootdir=.", "-c=/dev/null", "pages/tests.py"),
    ],
    "setup()": [*SCRIPT, "import django; django.setup()"],
    "import of wsgi": [*SCRIPT, "import wsgi"],
    "import of asgi": [*SCRIPT, "import asgi"],
    "gunicorn --check-config": [
        *(program("gunicorn"), "wsgi:application", "--check-config"),
    ],
}


@dataclass
class Run:
    """A command that was run in a place of its own."""

    place: Place
    code: int
    output: str


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Run]]]:
    """All the commands, a few at a time: what each does is to load Django."""

    def run(command: list[str], folder: Path) -> Run:
        place = Place(folder)
        return Run(place, *place.run(command))

    # pytest makes folders in one thread only.
    folders = {name: tmp_path_factory.mktemp("place") for name in COMMANDS}
    with ThreadPoolExecutor(3) as pool:
        yield {
            name: pool.submit(run, command, folders[name])
            for name, command in COMMANDS.items()
        }
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", COMMANDS)
def test_command(runs: dict[str, Future[Run]], name: str) -> None:
    """No thread runs, no file is made in RUN_ROOT, and nothing is said."""
    run = runs[name].result()

    place, output = run.place, run.output
    assert run.code == 0, output
    assert place.events("ready")
    assert place.run_files() == []
    assert {tuple(event["threads"]) for event in place.events("exit")} == {
        ("MainThread",)
    }
    assert "Chains" not in output


def test_celery(launch: Launch) -> None:
    """A Celery worker runs no chain."""
    server = launch(
        [
            *(sys.executable, "-m", "celery", "-A", "celeryapp", "worker"),
            *("-P", "solo", "-l", "INFO", "--without-mingle", "--without-gossip"),
        ],
        wait=False,
    )

    wait_for(lambda: " ready." in server.text(), 30, "Celery does not start.")

    assert server.place.events("ready")
    assert server.place.run_files() == []
    assert server.place.events("enter") == []
    assert [line for line in server.place.log() if "(celery)" in line]


def test_script_that_asks(tmp_path: Path) -> None:
    """A script that starts a chain after setup() gets it at once."""
    place = Place(tmp_path / "place", {"CHAIN": ""})

    code, output = place.run(
        [
            *SCRIPT,
            "import django, time; django.setup(); from yourlabs import runner; "
            "thread = runner.start_chain(['tasks.beat']); "
            "time.sleep(1); print(thread.is_alive())",
        ]
    )

    assert (code, output) == (0, "True\n")
    assert len(place.events("enter")) > 1


def test_set_up_that_fails(tmp_path: Path) -> None:
    """A process whose apps cannot be loaded is not held up by its chain."""
    place = Place(tmp_path / "place", {"RUNNER_AUTOSTART": "1", "STOP_TIMEOUT": "30"})

    code, output = place.run(
        [
            *SCRIPT,
            "import django; from django.apps import AppConfig; import pages.apps;"
            "ready = pages.apps.PagesConfig.ready;"
            "pages.apps.PagesConfig.ready = lambda self: (ready(self), 1 / 0);"
            "django.setup()",
        ],
        timeout=10,
    )

    assert code == 1
    assert "ZeroDivisionError" in output
    assert place.run_files() == []


SERVERS = (
    *("waitress", "standard-library", "fork", "gunicorn", "uvicorn"),
    *("runserver", "daphne", "granian", "hypercorn"),
)


@pytest.mark.parametrize("autostart", ["auto", "1"])
@pytest.mark.parametrize("name", SERVERS)
def test_command_that_serves(launch: Launch, name: str, autostart: str) -> None:
    """A command that turns out to serve starts the chain with its first request."""
    server = launch(
        [*MANAGE, "serve", name, "{port}"], wait=False, RUNNER_AUTOSTART=autostart
    )
    wait_for(lambda: is_listening(server.port), 30, "It does not listen.")
    before = (server.place.events("enter"), server.place.run_files())

    server.wait_until_up()
    runs = server.wait_for_runs(3)

    assert before == ([], [])
    assert {run["pid"] for run in runs} <= set(server.pids())
    assert len({run["pid"] for run in runs}) == 1
    is_forked = name in ("fork", "gunicorn", "granian")
    assert (runs[0]["pid"] != server.process.pid) == is_forked
    lines = [line for line in server.place.log() if "it serves requests" in line]
    assert lines
    assert " INFO " in lines[0]


def is_listening(port: int) -> bool:
    """Say whether somebody takes connections, without making a request."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_autostart_in_a_command_of_django(tmp_path: Path) -> None:
    """RUNNER_AUTOSTART=1 starts the chain where it is known that nothing forks."""
    place = Place(tmp_path / "place", {"RUNNER_AUTOSTART": "1"})

    code, output = place.run(
        [*MANAGE, "shell", "-c", "import time; time.sleep(1); print(1)"]
    )

    assert code == 0, output
    assert len(place.events("enter")) > 1


@pytest.mark.parametrize("command", ["test", "test in parallel"])
def test_autostart_in_tests(tmp_path: Path, command: str) -> None:
    """RUNNER_AUTOSTART=1 starts nothing in tests, which may fork."""
    place = Place(tmp_path / "place", {"RUNNER_AUTOSTART": "1"})

    code, output = place.run(COMMANDS[command])

    assert code == 0, output
    assert place.run_files() == []


def test_autostart_by_the_environment(tmp_path: Path) -> None:
    """RUNNER_AUTOSTART=1 starts the chain in a script that only sets Django up."""
    place = Place(tmp_path / "place", {"RUNNER_AUTOSTART": "1"})

    code, output = place.run(
        [*SCRIPT, "import django, time; django.setup(); time.sleep(1)"]
    )

    assert (code, output) == (0, "")
    assert len(place.events("enter")) > 1
