"""Tests that failures are remembered, and forgotten, on each kind of database."""

from __future__ import annotations

import getpass
import importlib
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.smoke import helpers

SETTINGS = "tests.smoke.project.remembering"
Environment = dict[str, str]

LOOK = """
import django
django.setup()
from django.contrib.auth.models import Group
from yourlabs.smoke.models import FailUrl
rows = FailUrl.objects.order_by("pattern").values_list("pattern", "status", "count")
print([list(row) for row in rows], Group.objects.count())
"""


def sqlite(folder: Path) -> Iterator[dict[str, Any]]:
    """A file."""
    engine = "django.db.backends.sqlite3"
    yield {"ENGINE": engine, "NAME": str(folder / "db.sqlite3")}


def postgresql(folder: Path, **more: Any) -> Iterator[dict[str, Any]]:
    """A database of a real server."""
    psycopg = pytest.importorskip("psycopg")
    name, user = f"verdicts_{uuid.uuid4().hex[:10]}", getpass.getuser()
    login = {"host": "127.0.0.1", "user": user, "dbname": "test", "autocommit": True}
    engine = "django.db.backends.postgresql"
    settings = {"ENGINE": engine, "NAME": name, "USER": user, "HOST": "127.0.0.1"}
    with psycopg.connect(**login) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        try:
            yield {**settings, **more}
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def persistent(folder: Path) -> Iterator[dict[str, Any]]:
    """Connections that stay open."""
    yield from postgresql(folder, CONN_MAX_AGE=None, CONN_HEALTH_CHECKS=True)


def pooled(folder: Path) -> Iterator[dict[str, Any]]:
    """Connections that are taken from a pool."""
    pytest.importorskip("psycopg_pool")
    yield from postgresql(folder, OPTIONS={"pool": True})


def older_driver(folder: Path) -> Iterator[dict[str, Any]]:
    """The driver before the present one."""
    pytest.importorskip("psycopg2")
    yield from postgresql(folder)


def mariadb(folder: Path) -> Iterator[dict[str, Any]]:
    """A database of a real server of another kind."""
    pymysql: Any = importlib.import_module("pymysql")
    name = f"verdicts_{uuid.uuid4().hex[:10]}"
    engine = "django.db.backends.mysql"
    with pymysql.connect(host="127.0.0.1", user="root", autocommit=True) as admin:
        cursor = admin.cursor()
        cursor.execute(f"CREATE DATABASE {name}")
        try:
            yield {"ENGINE": engine, "NAME": name, "USER": "root", "HOST": "127.0.0.1"}
        finally:
            cursor.execute(f"DROP DATABASE {name}")


@pytest.fixture(
    params=[
        sqlite,
        *(
            pytest.param(each, marks=pytest.mark.services)
            for each in (postgresql, persistent, pooled, older_driver, mariadb)
        ),
    ],
    ids=lambda make: make.__name__,
)
def environment(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Environment]:
    """What names a migrated database."""
    make: Callable[[Path], Iterator[dict[str, Any]]] = request.param
    for settings in make(tmp_path):
        found = {
            "DJANGO_SETTINGS_MODULE": SETTINGS,
            "SMOKE_DATABASE": json.dumps(settings),
        }
        if make is older_driver:
            found["SMOKE_PSYCOPG2"] = "1"
        made = helpers.run("-m", "django", "migrate", "-v0", **found)
        assert made.code == 0, made.stderr
        yield found


def test_failure_is_remembered_until_it_is_mended(environment: Environment) -> None:
    """A run writes down what failed, counts it, and forgets what is healthy again."""

    def run(**more: str) -> helpers.Finished:
        command = ("-m", "django", "smoke", "--format", "json")
        return helpers.run(*command, **environment, **more)

    def rows() -> str:
        return helpers.run("-c", LOOK, **environment).stdout.strip()

    first, once = run(), rows()
    second, twice = run(), rows()
    healed, after = run(SMOKE_HEALED="1"), rows()

    assert [1, 1, 0] == [first.code, second.code, healed.code], first.stderr
    assert [[], [], []] == [
        done.report["summary"]["notes"] for done in (first, second, healed)
    ]
    assert '[["other/", 500, 1], ["page/", 500, 1]] 0'.replace('"', "'") == once
    assert '[["other/", 500, 2], ["page/", 500, 2]] 0'.replace('"', "'") == twice
    assert "[] 0" == after
