"""Tests that a run leaves a PostgreSQL database as it was."""

from __future__ import annotations

import getpass
import hashlib
import uuid
from collections.abc import Iterator

import psycopg
import pytest

from tests.smoke import helpers

pytestmark = pytest.mark.services
UNSAFE = "tests.smoke.project.unsafe.urls"
DEFECTS = "tests.smoke.project.defects.urls"
HOST = "/var/run/postgresql"


@pytest.fixture
def database() -> Iterator[dict[str, str]]:
    """The environment that names a populated database."""
    name = f"smoke_{uuid.uuid4().hex[:10]}"
    user = getpass.getuser()
    with psycopg.connect(host=HOST, user=user, dbname="test", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        environment = {"SMOKE_POSTGRES": name, "PGHOST": HOST, "PGUSER": user}
        try:
            made = helpers.run(
                "-m", "tests.smoke.project.populate", SMOKE_URLS=DEFECTS, **environment
            )
            assert made.code == 0, made.stderr
            yield environment
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def digests(environment: dict[str, str]) -> dict[str, str]:
    """A digest of the rows of each table but those of the smoke tests."""
    found = {}
    with psycopg.connect(
        host=HOST, user=environment["PGUSER"], dbname=environment["SMOKE_POSTGRES"]
    ) as connection:
        query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        for (table,) in connection.execute(query).fetchall():
            if not table.startswith("yourlabs_smoke"):
                rows = connection.execute(f'SELECT * FROM "{table}"').fetchall()
                text = "\n".join(sorted(map(repr, rows)))
                found[table] = hashlib.sha256(text.encode()).hexdigest()
    return found


def test_unsafe_views_change_nothing(database: dict[str, str]) -> None:
    """Writes, logins, commits and broken connections leave every row as it was."""
    before = digests(database)

    done = helpers.run(
        "-m",
        "django",
        "smoke",
        "--format",
        "json",
        "unsafe",
        SMOKE_URLS=UNSAFE,
        **database,
    )

    assert before == digests(database)
    assert done.by_name()["after"]["outcome"] == "ok", done.stderr
    failed = {n for n, row in done.by_name().items() if row["outcome"] == "failed"}
    assert failed == {"enter", "signal"}


def test_failed_queries_cost_nobody_else(database: dict[str, str]) -> None:
    """A query on a table that is not there leaves the next patterns healthy."""
    names = ("shop:ghost", "shop:shelf", "shop:article", "shop:coupon", "home")
    arguments = [part for name in names for part in ("--only", name)]

    done = helpers.run(
        "-m", "django", "smoke", "--format", "json", *arguments, **database
    )

    outcomes = {name: row["outcome"] for name, row in done.by_name().items()}
    assert outcomes == {**dict.fromkeys(names, "ok"), "shop:ghost": "doubtful"}
