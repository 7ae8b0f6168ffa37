"""The commands of the pages on servers, run as they stand there."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from tests.doc_blocks import DOCS, Block, blocks
from tests.servers.conftest import Launch
from tests.servers.harness import (
    Place,
    copy_of_project,
    has,
    program,
    side_by_side,
)

pytestmark = pytest.mark.servers

PAGES = sorted((DOCS / "howto" / "servers").glob("*.rst"))
COMMANDS = {
    page.stem: [
        shlex.split(line.replace("8000", "{port}"))
        for block in blocks(page)
        if block.language == "sh"
        for line in block.content.splitlines()
        if "8000" in line  # the other commands start no server
    ]
    for page in PAGES
}
MODULES = {
    f"{page.stem}, line {block.line}": block
    for page in PAGES
    for block in blocks(page)
    if block.language == "python"
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that is called mysite, with a task that the pages name."""
    folder = copy_of_project(tmp_path / "project")
    (folder / "mysite").mkdir()
    (folder / "mysite" / "__init__.py").touch()
    for name in ("wsgi", "asgi"):
        text = f"from {name} import application\n"
        (folder / "mysite" / f"{name}.py").write_text(text)
    text = "from tasks import beat\n\n\ndef clear_sessions():\n    beat()\n"
    (folder / "mysite" / "tasks.py").write_text(text)
    return folder


@pytest.mark.parametrize("page", [page for page in COMMANDS if COMMANDS[page]])
def test_commands(launch: Launch, project: Path, page: str) -> None:
    """Each command starts a server in which one process runs the chain."""

    def start(index: int) -> None:
        name, *arguments = COMMANDS[page][index]
        command = [program(name), *arguments]
        server = launch(command, place=f"{index}", project=project)

        runs = server.wait_for_runs(3)

        assert len({run["pid"] for run in runs}) == 1

    for name in {words[0] for words in COMMANDS[page]}:
        if not has(name):
            pytest.skip(f"{name} is not installed")
    side_by_side(start, range(len(COMMANDS[page])))


@pytest.mark.parametrize("name", MODULES)
def test_module(launch: Launch, project: Path, name: str) -> None:
    """The module serves, and its chain runs."""
    block: Block = MODULES[name]
    (project / block.caption).write_text(block.content)
    if "asgi" in block.caption:
        command = [
            *(program("uvicorn"), "mysite.asgi:application"),
            *("--host=127.0.0.1", "--port={port}"),
        ]
        server = launch(command, project=project)
        assert server.wait_for_runs(3)
        assert server.stop() < 10
        return
    place = Place(project / "place", {"CHAIN": ""}, project)
    source = "import mysite.wsgi, time; time.sleep(1)"
    code, output = place.run([sys.executable, "-c", source])
    assert (code, output) == (0, "")
    assert place.events("enter")


def test_commands_are_found() -> None:
    """The pages have commands, and modules."""
    assert len([words for page in COMMANDS.values() for words in page]) > 10
    assert len(MODULES) == 2
