"""The services that the how-to guides configure start and stop the chain."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.doc_blocks import DEADLINE, DOCS, Block, Session, blocks
from tests.docs_project import project  # noqa: F401

UNIT = "/etc/systemd/system/mysite-runner.service"
PROGRAM = "/etc/supervisor/conf.d/mysite-runner.conf"

RAN = "[clear_sessions] Execution successful"


def shown(name: str, caption: str) -> str:
    """Return the file that a page shows."""
    page = blocks(DOCS / "howto" / f"{name}.rst")
    return next(block.content for block in page if block.caption == caption)


def section(text: str, name: str) -> configparser.SectionProxy:
    """Return a section of a configuration file."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser[name]


def command_of(name: str) -> list[str]:
    """Return the command line of the service that a page shows, for this Python."""
    if name == "systemd":
        line = shlex.split(section(shown(name, UNIT), "Service")["ExecStart"])
    elif name == "supervisord":
        text = shown(name, PROGRAM)
        line = shlex.split(section(text, "program:mysite-runner")["command"])
    else:
        line = json.loads(
            re.findall(r"^CMD (.*)$", shown(name, "Dockerfile"), re.MULTILINE)[-1]
        )
    return [sys.executable, *line[1:]]


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Wait until `condition` holds, at most `DEADLINE` seconds."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"Waited in vain until {what}"
        time.sleep(0.02)


def text_of(path: Path) -> str:
    """Return what is in a file, which may be missing."""
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("name", ["container", "supervisord", "systemd"])
def test_service_starts_the_chain(name: str, project: Session) -> None:  # noqa: F811
    """The command that the service is configured with runs the chain."""
    line = shlex.join(command_of(name))

    project.run(Block(f"{name}.rst", 0, "sh", line), RAN)


def test_images_start_no_shell() -> None:
    """A container's first process is the runner or the server, so it gets SIGTERM."""
    page = blocks(DOCS / "howto" / "container.rst")
    text = "".join(block.content for block in page if block.language == "docker")
    commands = re.findall(r"^CMD (.*)$", text, re.MULTILINE)

    assert commands
    assert all(isinstance(json.loads(command), list) for command in commands)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
def test_unit_is_a_unit(tmp_path: Path) -> None:
    """systemd finds nothing wrong with the unit but that the machine is another."""
    path = tmp_path / "mysite-runner.service"
    text = re.sub(
        r"^ExecStart=\S+",
        f"ExecStart={sys.executable}",
        shown("systemd", UNIT),
        flags=re.M,
    )
    path.write_text(text.replace("User=www-data", "User=root"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert [] == [line for line in done.stderr.splitlines() if path.name in line]


def test_unit_says_where_the_files_are(project: Session, tmp_path: Path) -> None:  # noqa: F811
    """The settings read RUN_ROOT from the unit, whose folder outlives the unit."""
    page = [*blocks(DOCS / "howto" / "systemd.rst")]
    for block in page:
        if block.language == "ini":
            service = section(block.content, "Service")
            kept = service.get("RuntimeDirectoryPreserve") == "yes"
            assert kept or "RuntimeDirectory" not in service
        elif block.caption:
            project.run(block)
    service = section(shown("systemd", UNIT), "Service")
    root = tmp_path / "state"
    assert f"RUN_ROOT=/var/lib/{service['StateDirectory']}" == service["Environment"]
    project.environ["RUN_ROOT"] = str(root)

    line = shlex.join(command_of("systemd"))
    project.run(Block("systemd.rst", 0, "sh", line), RAN)

    assert (root / "clear_sessions.pid").exists()


def test_unit_hears_of_the_chain(project: Session, tmp_path: Path) -> None:  # noqa: F811
    """systemd is told when the chain is owned, that it lives, and when it stops."""
    service = section(shown("systemd", UNIT), "Service")
    assert "notify" == service["Type"]
    project.environ["NOTIFY_SOCKET"] = address = str(tmp_path / "notify")
    project.environ["WATCHDOG_USEC"] = "400000"

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(address)
        heard.settimeout(DEADLINE)
        process = subprocess.Popen(
            command_of("systemd"),
            cwd=project.folder,
            env=project.environ,
            stderr=subprocess.DEVNULL,
        )
        first, second = heard.recv(100), heard.recv(100)
        process.send_signal(signal.SIGTERM)
        last = second
        while b"STOPPING=1" not in last:
            last = heard.recv(100)

    assert b"READY=1" in first
    assert b"WATCHDOG=1" in second
    assert 0 == process.wait(DEADLINE)


@pytest.mark.servers
def test_supervisord_runs_the_chain(project: Session, tmp_path: Path) -> None:  # noqa: F811
    """supervisord starts the program, and it ends well when it is stopped."""
    out, log, conf = (tmp_path / name for name in ("out", "log", "conf"))
    program = section(shown("supervisord", PROGRAM), "program:mysite-runner")
    program["command"] = shlex.join(command_of("supervisord"))
    program["directory"] = str(project.folder)
    program["stdout_logfile"] = str(out)
    del program["user"]
    with conf.open("w") as file:
        file.write(
            f"[supervisord]\nnodaemon=true\nlogfile={log}\npidfile={tmp_path}/pid\n"
        )
        program.parser.write(file)
    process = subprocess.Popen(
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(conf)],
        cwd=tmp_path,
        env=project.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: RAN in text_of(out), "the chain ran")
    finally:
        process.terminate()
        process.wait(DEADLINE)

    assert "stopped: mysite-runner (exit status 0)" in log.read_text()


@pytest.mark.services
def test_heavy_steps(project: Session) -> None:  # noqa: F811
    """A chain enqueues to a real Celery worker, and works off Django's own tasks."""
    pytest.importorskip("django_tasks_db")

    project.run_page(DOCS / "howto" / "heavy.rst")
