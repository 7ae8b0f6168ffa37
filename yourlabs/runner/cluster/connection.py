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

from yourlabs.runner.cluster.rules import LOCK_TIMEOUT_S, TIMEOUT_S

SECONDS = int(TIMEOUT_S)

OPTIONS: dict[str, dict[str, Any]] = {
    "postgresql": {
        "connect_timeout": SECONDS,
        # A peer that is gone answers nothing: the kernel would wait for hours.
        "tcp_user_timeout": SECONDS * 1000,
        "keepalives_idle": 2,
        "keepalives_interval": 1,
        "keepalives_count": 2,
    },
    "mysql": dict.fromkeys(
        ("connect_timeout", "read_timeout", "write_timeout"), SECONDS
    ),
    "sqlite": {"timeout": SECONDS},
}

LOCKED = {"55P03", "40P01", 1205, 1213}
"""The errors of a lock that was waited for too long, and of a deadlock."""


def open_connection(alias: str) -> BaseDatabaseWrapper:
    """
    Return a new connection to the database `alias`, in autocommit.

    Raises:
        django.db.Error: It cannot be reached, or refuses.
    """
    connection: BaseDatabaseWrapper = connections.create_connection(alias)
    theirs = connection.settings_dict["OPTIONS"]
    options = {**theirs, **OPTIONS.get(connection.vendor, {})}
    options.pop("pool", None)
    # What the settings have stays as it is: it is the project's.
    changes = {"OPTIONS": options, "CONN_MAX_AGE": None, "AUTOCOMMIT": True}
    connection.settings_dict = {**connection.settings_dict, **changes}
    if connection.vendor == "postgresql":
        options["options"] = (
            f"{theirs.get('options', '')} -c statement_timeout={SECONDS}s "
            f"-c lock_timeout={LOCK_TIMEOUT_S:g}s"
        )
        try:
            connection.ensure_connection()
        except OperationalError as exc:
            if "startup parameter" not in str(exc):
                raise
            # PgBouncer passes no such option on: its `query_timeout` does the same.
            options["options"] = theirs.get("options", "")
    connection.ensure_connection()
    if connection.vendor == "mysql":
        # Otherwise the server waits on, with all other rows locked, when we are gone.
        with connection.cursor() as cursor:
            cursor.execute(f"SET innodb_lock_wait_timeout = {LOCK_TIMEOUT_S:g}")
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


@contextmanager
def pass_over_locks() -> Iterator[None]:
    """Leave the block where another session has locked a row: it is tried again."""
    try:
        yield
    except OperationalError as exc:
        cause: Any = exc.__cause__
        codes = {getattr(cause, name, None) for name in ("sqlstate", "pgcode")}
        if LOCKED.isdisjoint(codes.union(exc.args[:1])):
            raise
