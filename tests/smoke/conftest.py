"""A database of the project, made once and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.smoke import helpers

DEFECTS = "tests.smoke.project.defects.urls"


@pytest.fixture(scope="session")
def populated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database with rows; read it only."""
    database = tmp_path_factory.mktemp("smoke") / "project.sqlite3"
    made = helpers.run(
        "-m", "tests.smoke.project.populate", SMOKE_DB=str(database), SMOKE_URLS=DEFECTS
    )
    assert made.code == 0, made.stderr
    return database


@pytest.fixture
def database(populated: Path, tmp_path: Path) -> Path:
    """A copy of the populated database."""
    return Path(shutil.copy(populated, tmp_path / "project.sqlite3"))


@pytest.fixture(scope="session")
def whole_run(
    populated: Path, tmp_path_factory: pytest.TempPathFactory
) -> helpers.Finished:
    """One run over the whole project."""
    target = tmp_path_factory.mktemp("whole") / "project.sqlite3"
    return helpers.smoke(Path(shutil.copy(populated, target)), "--format", "json")


@pytest.fixture(scope="session")
def defects_run(
    populated: Path, tmp_path_factory: pytest.TempPathFactory
) -> helpers.Finished:
    """One run over the project's defects."""
    target = tmp_path_factory.mktemp("defects") / "project.sqlite3"
    return helpers.smoke(
        Path(shutil.copy(populated, target)),
        "--format",
        "json",
        "defects",
        "admin",
        SMOKE_URLS=DEFECTS,
    )
