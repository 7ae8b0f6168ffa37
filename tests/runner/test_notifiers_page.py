"""The page on other channels says how to make one that works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.doc_blocks import DOCS, ROOT, blocks
from tests.runner.core.test_reports import REPORT, reasons
from yourlabs.runner.notifiers import Kind
from yourlabs.runner.notify.mail_text import PHRASES

PAGE = DOCS / "howto" / "notifiers.rst"

SETTINGS = """
SECRET_KEY = "x"
INSTALLED_APPS = ["yourlabs.runner"]
RUN_ROOT = "."
RUNNER = {"EMAIL": False}
"""

TASKS = """
def send_mail():
    raise OSError("the shelf is empty")
"""


class Chat(HTTPServer):
    """A real HTTP server that refuses the first message and takes the others."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ChatHandler)
        self.tries = 0
        self.messages: list[dict[str, str]] = []


class ChatHandler(BaseHTTPRequestHandler):
    """Keeps what is posted."""

    server: Chat

    def do_POST(self) -> None:
        """Take a message."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.tries += 1
        if self.server.tries == 1:
            self.send_error(503)
            return
        self.server.messages.append(json.loads(body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def chat() -> Iterator[Chat]:
    server = Chat()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def write_project(folder: Path, url: str) -> None:
    """Write what the page says into a project."""
    package = folder / "mysite"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "settings.py").write_text(SETTINGS)
    (package / "tasks.py").write_text(TASKS)
    for block in blocks(PAGE):
        name, _, addition = block.caption.partition(", ")
        with (folder / name).open("a" if addition else "w") as file:
            file.write(
                block.content.replace("https://chat.example.com/hooks/4711", url)
            )


def test_the_chat_is_told(chat: Chat, tmp_path: Path) -> None:
    """What fails is told to a real server, and what it refuses is told again."""
    write_project(tmp_path, f"http://127.0.0.1:{chat.server_port}/hook")
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "mysite.settings",
        "PYTHONPATH": f"{tmp_path}:{ROOT}",
    }
    arguments = ["--once", "mysite.tasks.send_mail"]
    for _ in range(2):
        # --once ends at once, and leaves to the next process what was not taken.
        done = subprocess.run(
            [sys.executable, "-m", "django", "run_functions", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 1, done.stderr

    assert chat.tries >= 2
    assert chat.messages[0]["text"].startswith(
        "[send_mail] First exception caught: the shelf is empty\n\nsend_mail is down."
    )


def test_the_pager_is_told_what_is_grave(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A channel can look at the reasons and leave out what it does not care for."""
    write_project(tmp_path, "http://127.0.0.1:9/")
    names: dict[str, object] = {}
    exec((tmp_path / "mysite" / "pager.py").read_text(), names)
    pager = names["Pager"]()  # type: ignore[operator]
    for kind in (Kind.FIRST, Kind.REACHED):
        pager.send(REPORT.__class__(**{**vars(REPORT), "reasons": reasons(kind)}))

    assert capsys.readouterr().out == "beep: [sync] Non recoverable downtime reached\n"


def test_reasons_are_documented() -> None:
    """The page on mails lists the reasons, and no others."""
    page = (DOCS / "reference" / "mails.rst").read_text()
    listed = {
        line.removeprefix("   * - ``").removesuffix("``").partition(": ")[0]
        for line in page.splitlines()
        if line.startswith("   * - ``")
    }

    assert listed == set(PHRASES.values())


def test_the_mail_on_the_page_is_one() -> None:
    """The body on the page has the lines that a body has."""
    shown = next(blocks(DOCS / "reference" / "mails.rst")).content
    names = {line.partition(":")[0] for line in shown.splitlines()[2:12]}

    assert names == {line.partition(":")[0] for line in REPORT.body.splitlines()[2:12]}
