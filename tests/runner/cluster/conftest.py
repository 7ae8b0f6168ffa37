"""A cluster on each kind of database."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runner.cluster.harness import (
    Cluster,
    ClusterMariaDB,
    ClusterPostgreSQL,
    ClusterServer,
    PgBouncer,
)
from tests.runner.test_databases import folder_of


@pytest.fixture(scope="session")
def postgresql() -> Iterator[ClusterPostgreSQL]:
    """Return a PostgreSQL server."""
    with folder_of("postgres") as folder:
        server = ClusterPostgreSQL(folder)
        Cluster(folder, server.database).migrate()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[ClusterMariaDB]:
    """Return a MariaDB server."""
    with folder_of("mysql") as folder:
        server = ClusterMariaDB(folder)
        Cluster(folder, server.database).migrate()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def pgbouncer(postgresql: ClusterPostgreSQL) -> Iterator[ClusterPostgreSQL]:
    """Return the PostgreSQL server, which Django reaches through a pooler."""
    with folder_of("postgres") as folder:
        bouncer = PgBouncer(folder, postgresql)
        pooled = copy.copy(postgresql)
        pooled.kind, pooled.database = "pgbouncer", bouncer.database
        yield pooled
        bouncer.stop()


@pytest.fixture(
    params=[
        "postgresql",
        "mariadb",
        pytest.param("pgbouncer", marks=pytest.mark.torture),
    ]
)
def server(request: pytest.FixtureRequest) -> ClusterServer:
    """Return each of the servers in turn, with no rows."""
    found: ClusterServer = request.getfixturevalue(request.param)
    found.execute("delete from yourlabs_runner_lease")
    return found


@pytest.fixture
def cluster(server: ClusterServer, tmp_path: Path) -> Iterator[Cluster]:
    """Return machines with a database."""
    cluster = Cluster(tmp_path, server.database)
    yield cluster
    cluster.close()


@pytest.fixture
def pooled(pgbouncer: ClusterPostgreSQL, tmp_path: Path) -> Iterator[Cluster]:
    """Return machines with a pooler in transaction mode before the database."""
    pgbouncer.execute("delete from yourlabs_runner_lease")
    cluster = Cluster(tmp_path, pgbouncer.database)
    yield cluster
    cluster.close()
