"""Tests that a run leaves the database as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.smoke import helpers

UNSAFE = "tests.smoke.project.unsafe.urls"


def test_unsafe_views_change_nothing(database: Path) -> None:
    """Writes, logins, commits and broken connections leave every row as it was."""
    before = helpers.digests(database)

    done = helpers.smoke(database, "--format", "json", "unsafe", SMOKE_URLS=UNSAFE)

    assert before == helpers.digests(database)
    assert done.by_name()["after"]["outcome"] == "ok"
    failed = {n for n, row in done.by_name().items() if row["outcome"] == "failed"}
    assert failed == {"enter", "signal"}


def test_whole_run_changes_nothing(
    populated: Path, whole_run: helpers.Finished, whole_folder: Path
) -> None:
    """A run over healthy views leaves sessions and ``last_login`` as they were."""
    after = helpers.digests(whole_folder / "project.sqlite3")

    assert helpers.digests(populated) == after


def test_production_is_refused(database: Path) -> None:
    """With DEBUG off on a database that is no test database nothing is requested."""
    done = helpers.smoke(database, SMOKE_DEBUG="0")

    assert done.code == 2
    assert "--production" in done.stderr
    assert done.stdout == ""


def test_production_is_allowed_when_asked(database: Path) -> None:
    """``--production`` runs with DEBUG off."""
    done = helpers.smoke(database, "--production", "--only", "home", SMOKE_DEBUG="0")

    assert done.code == 0, done.stdout + done.stderr


def test_database_without_tables_cannot_run(tmp_path: Path) -> None:
    """A database that is not migrated ends the run with 2 and says what to do."""
    done = helpers.smoke(tmp_path / "empty.sqlite3")

    assert done.code == 2
    assert "migrate" in done.stderr


def test_broken_urlconf_cannot_run(database: Path) -> None:
    """URL patterns that cannot be imported end the run with 2."""
    done = helpers.smoke(database, SMOKE_URLS="not.there")

    assert done.code == 2
    assert "not.there" in done.stderr


@pytest.mark.parametrize(
    ("broken", "code", "text"),
    [
        ("other", 0, "note: The database 'other' does not answer: OperationalError"),
        ("default", 2, "The database 'default' does not answer: OperationalError"),
    ],
)
def test_database_that_does_not_answer_is_named(
    database: Path, tmp_path: Path, broken: str, code: int, text: str
) -> None:
    """Without a database of several the rest is requested; the main one is needed."""
    (tmp_path / "several_settings.py").write_text(
        f"from {helpers.SETTINGS} import *\n"
        "main = DATABASES['default']\n"
        "DATABASES = {'default': main, 'other': {**main}, 'empty': {}}\n"
        f"DATABASES['{broken}'] = {{**main, 'NAME': '/not/there.sqlite3'}}\n"
    )

    done = helpers.smoke(
        database,
        "--only",
        "home",
        DJANGO_SETTINGS_MODULE="several_settings",
        PYTHONPATH=f"{helpers.ROOT}:{tmp_path}",
    )

    assert code == done.code, done.stderr
    assert text in done.stdout + done.stderr
