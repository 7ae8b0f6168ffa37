"""A database of the project, made once and copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import override_settings

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
def whole_folder(populated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the database and the JUnit file of `whole_run` are."""
    folder = tmp_path_factory.mktemp("whole")
    shutil.copy(populated, folder / "project.sqlite3")
    return folder


@pytest.fixture(scope="session")
def whole_run(whole_folder: Path) -> helpers.Finished:
    """One run over the whole project."""
    return helpers.smoke(
        whole_folder / "project.sqlite3",
        "--format",
        "json",
        "--junit",
        str(whole_folder / "report.xml"),
    )


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


@pytest.fixture(scope="module")
def installed(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The project installed in the process of the tests, its tables empty.

    Much faster than a process of its own, where neither a copy of the database
    nor the command is what is looked at.
    """
    from tests.smoke.project import settings

    names = ("AUTH_USER_MODEL", "ROOT_URLCONF", "TEMPLATES", "MIDDLEWARE")
    names += ("MIGRATION_MODULES", "LANGUAGE_CODE", "LANGUAGES", "LOGIN_URL")
    names += ("PASSWORD_HASHERS", "DEFAULT_AUTO_FIELD", "SMOKE")
    changed = {name: getattr(settings, name) for name in names}
    apps = [name for name in settings.INSTALLED_APPS if not name.endswith("unsafe")]
    apps += ["tests.smoke.project.defects", "tests.smoke.project.ways"]
    # Models look at the other settings when they are imported.
    with override_settings(**changed), override_settings(INSTALLED_APPS=apps):
        with django_db_blocker.unblock():
            call_command("migrate", run_syncdb=True, verbosity=0)
        yield


@pytest.fixture
def rows(installed: None, db: None) -> None:
    """The project in the process of the tests, with some rows."""
    from tests.smoke.project.populate import populate

    populate()
