"""A database of the project, made once and copied for each test."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import override_settings

from tests.smoke import helpers

DEFECTS = "tests.smoke.project.defects.urls"


Once = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Give the folder of a name, filled by the first worker that asks for it."""
    base = tmp_path_factory.getbasetemp()
    # That of a worker is in the folder of the whole session.
    shared = base.parent if base.name.startswith("popen-") else base

    def _once(name: str, fill: Callable[[Path], None]) -> Path:
        folder = shared / f"once-{name}"
        with (shared / f"once-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                made = tmp_path_factory.mktemp(name)
                fill(made)
                made.rename(folder)
        return folder

    return _once


@pytest.fixture(scope="session")
def populated(once: Once) -> Path:
    """A migrated database with rows; read it only."""

    def fill(folder: Path) -> None:
        made = helpers.run(
            "-m",
            "tests.smoke.project.populate",
            SMOKE_DB=str(folder / "project.sqlite3"),
            SMOKE_URLS=DEFECTS,
        )
        assert made.code == 0, made.stderr

    return once("populated", fill) / "project.sqlite3"


@pytest.fixture
def database(populated: Path, tmp_path: Path) -> Path:
    """A copy of the populated database."""
    return Path(shutil.copy(populated, tmp_path / "project.sqlite3"))


@pytest.fixture(scope="session")
def whole_folder(once: Once, populated: Path) -> Path:
    """Where the database and the files of `whole_run` are."""

    def fill(folder: Path) -> None:
        done = helpers.smoke(
            Path(shutil.copy(populated, folder / "project.sqlite3")),
            "--format",
            "json",
            "--junit",
            str(folder / "report.xml"),
        )
        (folder / "run.json").write_text(json.dumps(dataclasses.asdict(done)))

    return once("whole", fill)


@pytest.fixture(scope="session")
def whole_run(whole_folder: Path) -> helpers.Finished:
    """One run over the whole project."""
    return helpers.Finished(**json.loads((whole_folder / "run.json").read_text()))


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
