"""The pages on servers and on trouble: what they show is so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.doc_blocks import DOCS, Block, Session, blocks
from tests.docs_project import project  # noqa: F401

PAGE = "howto/troubleshooting.rst"


def test_troubleshooting(project: Session) -> None:  # noqa: F811
    """The commands of the page work in a project whose chain has an owner."""
    owner = "python manage.py run_functions mysite.tasks.clear_sessions"
    project.run(Block(PAGE, 0, "sh", owner, {"class": "background"}))
    assert project.background
    project.background.expect("Wrote pidfile")

    project.run_page(DOCS / PAGE)


@pytest.mark.servers
def test_gunicorn_shows_who_runs_the_chain(project: Session) -> None:  # noqa: F811
    """The first lines and the pidfile that the page shows are those of a project."""
    for block in blocks(DOCS / "tutorial.rst"):
        if "MysiteConfig" in block.content:
            project.run(block)
    command, lines, pid = [*blocks(DOCS / "howto/servers/gunicorn.rst")][:3]
    project.run(command)
    assert project.background
    try:
        project.run(lines)
        shown = "".join(project.background.output)
        owner = project.folder.joinpath("var/run/clear_sessions.pid").read_text()
        project.run(pid, owner.splitlines()[0])
    finally:
        project.background.interrupt()
        project.background.end()

    assert 1 == shown.count("The chain runs in this process")
    assert f"Booting worker with pid: {owner.splitlines()[0]}" in shown


def test_every_server_has_a_page() -> None:
    """Each page on a server is named after it, and there is one for each."""
    pages = {path.stem for path in Path(DOCS / "howto/servers").glob("*.rst")}

    assert pages >= {
        *("gunicorn", "uwsgi", "uvicorn", "daphne", "hypercorn", "granian"),
        *("waitress", "mod_wsgi", "runserver", "others"),
    }
