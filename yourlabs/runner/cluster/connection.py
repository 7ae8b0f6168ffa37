"""
A connection of our own: in no pool, shared with nobody, and never waited for long.

Its timeouts are shorter than a lease: a database that hangs, or a network that
swallows everything, is noticed while there is time to try again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from yourlabs.runner.cluster.lease import TIMEOUT_S

SECONDS = int(TIMEOUT_S)

POSTGRESQL = {
    "connect_timeout": SECONDS,
    # A peer that is gone answers nothing: the kernel would wait for hours.
    "tcp_user_timeout": SECONDS * 1000,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 2,
}

OPTIONS: dict[str, dict[str, Any]] = {
    "postgresql": POSTGRESQL,
    "mysql": dict.fromkeys(
        ("connect_timeout", "read_timeout", "write_timeout"), SECONDS
    ),
    "sqlite": {"timeout": SECONDS},
}


def open_connection(alias: str) -> BaseDatabaseWrapper:
    """
    Return a new connection to the database `alias`, in autocommit.

    Raises:
        django.db.Error: It cannot be reached, or refuses.
    """
    connection = _unopened(alias)
    if connection.vendor == "postgresql":
        options = connection.settings_dict["OPTIONS"]
        theirs = options.get("options", "")
        options["options"] = f"{theirs} -c statement_timeout={SECONDS}s".strip()
        try:
            connection.ensure_connection()
        except OperationalError as exc:
            if "startup parameter" not in str(exc):
                raise
            # PgBouncer passes no such option on: its `query_timeout` does the same.
            del options["options"]
            if theirs:
                options["options"] = theirs
    connection.ensure_connection()
    return connection


def _unopened(alias: str) -> BaseDatabaseWrapper:
    connection: BaseDatabaseWrapper = connections.create_connection(alias)
    options = {
        **connection.settings_dict["OPTIONS"],
        **OPTIONS.get(connection.vendor, {}),
    }
    options.pop("pool", None)
    # What the settings have stays as it is: it is the project's.
    changes = {"OPTIONS": options, "CONN_MAX_AGE": None, "AUTOCOMMIT": True}
    connection.settings_dict = {**connection.settings_dict, **changes}
    return connection


@contextmanager
def own_connection(alias: str) -> Iterator[None]:
    """
    Have all statements of this thread use a new connection, while the block lasts.

    Raises:
        django.db.Error: It cannot be reached, or refuses.
    """
    theirs, connections[alias] = connections[alias], open_connection(alias)
    try:
        yield
    finally:
        connections[alias].close()
        connections[alias] = theirs
