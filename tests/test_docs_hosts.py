"""The pages on servers and on trouble: what they show is so."""

from __future__ import annotations

from pathlib import Path

from tests.doc_blocks import DOCS, Block, Session
from tests.docs_project import project  # noqa: F401

PAGE = "howto/troubleshooting.rst"


def test_troubleshooting(project: Session) -> None:  # noqa: F811
    """The commands of the page work in a project whose chain has an owner."""
    owner = "python manage.py run_functions mysite.tasks.clear_sessions"
    project.run(Block(PAGE, 0, "sh", owner, {"class": "background"}))
    assert project.background
    project.background.expect("Wrote pidfile")

    project.run_page(DOCS / PAGE)


def test_every_server_has_a_page() -> None:
    """Each page on a server is named after it, and there is one for each."""
    pages = {path.stem for path in Path(DOCS / "howto/servers").glob("*.rst")}

    assert pages >= {
        *("gunicorn", "uwsgi", "uvicorn", "daphne", "hypercorn", "granian"),
        *("waitress", "mod_wsgi", "runserver", "others"),
    }
