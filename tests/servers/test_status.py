"""Every worker of every server says the same of a chain, whoever runs it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.harness import REPOSITORY, free_port, program, wait_for

pytestmark = pytest.mark.servers

CHAIN = "tests.runner.site.jobs.tick"


class Site:
    """Servers and commands of one project, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str, **environ: str) -> subprocess.Popen[bytes]:
        """Start a server or a command; `environ` goes on top."""
        values = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.runner.site.settings",
            "PYTHONPATH": str(REPOSITORY),
            "SITE_FOLDER": str(self.folder),
            "SITE_CHAIN": CHAIN,
            "SITE_TOKEN": "secret",
            **environ,
        }
        with (self.folder / "output").open("ab") as output:
            child = subprocess.Popen(
                command,
                cwd=REPOSITORY,
                env=values,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.started.append(child)
        return child

    def close(self) -> None:
        """End everything."""
        for child in self.started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


def ask(port: int, path: str) -> tuple[int, str]:
    """Return what a worker answers, over a connection of its own."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/runner/{path}",
        headers={"Authorization": "Bearer secret", "Connection": "close"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read().decode()


def chain(port: int) -> dict[str, Any]:
    """Return the status of the one chain."""
    with contextlib.suppress(OSError, ValueError, LookupError):
        (found,) = json.loads(ask(port, "status.json")[1])["chains"]
        return dict(found)
    return {}


def test_every_worker_says_the_same(site: Site) -> None:
    """Three workers of gunicorn, two of uvicorn, and a command: one truth."""
    ports = free_port(), free_port()
    gunicorn = [program("gunicorn"), "-w", "3", "-b", f"127.0.0.1:{ports[0]}"]
    site.start(*gunicorn, "tests.runner.site.wsgi")
    uvicorn = [program("uvicorn"), "--workers", "2", "--port", str(ports[1])]
    site.start(*uvicorn, "tests.runner.site.asgi:application")
    for port in ports:
        wait_for(lambda port=port: chain(port).get("tasks"), 40)
    django = [program("python"), "-m", "django"]
    command = site.start(*django, "run_functions", CHAIN)
    wait_for(lambda: (chain(ports[0])["owner"] or {}).get("pid") == command.pid, 40)
    wait_for(lambda: chain(ports[0])["tasks"][0]["runs"] == 2)
    wait_for(lambda: chain(ports[0])["state"] == "cooling_down")

    for path in ("status.json", "metrics"):
        answers = [ask(port, path) for port in ports for _ in range(20)]
        assert {code for code, _ in answers} == {200}
        texts = {
            json.dumps(json.loads(text)["chains"]) if path == "status.json" else text
            for _, text in answers
        }
        assert len(texts) == 1, path

    command.send_signal(signal.SIGSTOP)
    os.kill(command.pid, signal.SIGKILL)
    killed = time.monotonic()
    wait_for(lambda: (chain(ports[1])["owner"] or {}).get("pid") != command.pid)
    assert time.monotonic() - killed < 2
    assert ask(ports[0], "health/") == (200, "ok")
    assert chain(ports[0])["tasks"][0]["runs"] >= 1

    owner = chain(ports[1])["owner"]
    assert owner["kind"] == "hosted"


def test_unhealthy_when_nobody_takes_over(site: Site) -> None:
    """Only after a while without an owner is a server unhealthy."""
    port = free_port()

    def health() -> tuple[int, str] | None:
        with contextlib.suppress(OSError):
            return ask(port, "health/")
        return None

    # A worker that may not run chains, but declares them.
    gunicorn = [program("gunicorn"), "-b", f"127.0.0.1:{port}"]
    site.start(
        *gunicorn, "tests.runner.site.wsgi", RUNNER_AUTOSTART="0", SITE_GRACE="2"
    )

    assert wait_for(health, 40) == (200, "ok")
    wait_for(lambda: health() == (503, "unhealthy"), 20)
