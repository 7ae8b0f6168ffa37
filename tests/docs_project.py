"""Fixtures: the project that the tutorial makes."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import pytest

from tests.doc_blocks import DOCS, Session, blocks


@functools.cache
def build(folder: Path) -> Path:
    """Make the project of the tutorial as it is before it goes into a server."""
    folder.mkdir()
    session = Session(folder)
    written = set()
    for block in blocks(DOCS / "tutorial.rst"):
        if block.content.startswith(("python3 -m venv", "python manage.py migrate")):
            session.run(block)
        elif block.caption and block.caption not in written:
            written.add(block.caption)
            if not block.caption.endswith(("apps.py", "at the end")):
                session.run(block)
    return folder


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Session:
    """Return a session in a copy of the tutorial's project."""
    folder = tmp_path / "project"
    shutil.copytree(build(tmp_path_factory.getbasetemp() / "tutorial"), folder)
    return Session(folder)
