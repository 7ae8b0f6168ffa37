"""Chains under runserver."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.servers.conftest import Launch
from tests.servers.harness import copy_of_project, program, replace_in, wait_for

pytestmark = pytest.mark.servers

RUNSERVER = [program("python"), "manage.py", "runserver", "127.0.0.1:{port}"]


@pytest.mark.parametrize("options", [[], ["--noreload"]], ids=["", "noreload"])
def test_ctrl_c(launch: Launch, options: list[str]) -> None:
    """Ctrl-C ends the server in less than two seconds, and nothing is left."""
    server = launch([*RUNSERVER, *options])
    runs = server.wait_for_runs(2)

    took = server.stop(signal.SIGINT)

    assert took < 2
    assert len({run["pid"] for run in runs}) == 1
    wait_for(lambda: not server.pids(), 2, "Processes were left behind.")
    assert "Traceback" not in server.text()


def test_edit(launch: Launch, tmp_path: Path) -> None:
    """A task file that is edited is reloaded, and one process runs the new code."""
    project = copy_of_project(tmp_path / "project")
    server = launch(RUNSERVER, project=project)
    old = server.wait_for_runs(2)

    replace_in(project / "tasks.py", '"old"', '"new"')
    new = wait_for(
        lambda: [e for e in server.place.events("enter") if e["version"] == "new"]
    )
    server.wait_for_runs(len(old) + 5)

    runs = server.place.events("enter")
    versions = [run["version"] for run in runs]
    assert versions == sorted(versions, reverse=True)
    assert server.process.pid not in {run["pid"] for run in runs}
    assert new[0]["pid"] != old[0]["pid"]
