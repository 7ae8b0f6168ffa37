"""
Django's database connections, and caches, in a thread that serves no requests.

Each run has connections of its own: made when it first uses them and dropped when it
ends, Django's object as well as the session on the server. So no idle connection can
be ended by the server in a cooldown, and no run finds what another one left: an open
transaction, ``search_path``, a role, a tenant that a library keeps as an attribute of
the connection. ``CONN_MAX_AGE`` does not apply: no database tells whether a session is
clean. To connect takes milliseconds, once a run, as once a request by default.
"""

from __future__ import annotations

import contextlib
from typing import Any

from django.core.cache import caches
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from yourlabs.runner.log import logger


def drop_connections() -> None:
    """Drop every connection of this thread; log those left in a transaction."""
    try:
        used = connections.all(initialized_only=True)
    except Exception:
        # DATABASES is wrong: code that uses a database gets the error.
        return
    for connection in used:
        if _is_of_a_test(connection):
            continue
        broken = _is_left_broken(connection)
        if _is_in_memory(connection) and not broken:
            # Closing it would empty the database.
            continue
        _drop(connection)
        if broken:
            logger.warning(
                "A task left the database connection %r inside a transaction or "
                "unusable; it was dropped, and what was not committed with it.",
                connection.alias,
                extra={"action": "connection_dropped"},
            )


def stay_out_of_pools() -> None:
    """
    Have this thread connect by itself instead of using Django's pools.

    A connection from a pool may have died while it was idle, and one that goes back
    takes what a task left in the session to requests.
    """
    with contextlib.suppress(Exception):
        for alias, database in connections.settings.items():
            if database["OPTIONS"].get("pool"):
                _replace(connections.create_connection(alias))


def close_caches() -> None:
    """Close the caches that a run used; to be called in the context of the run."""
    try:
        for cache in caches.all(initialized_only=True):
            cache.close()
            # Django leaves the sockets of its cache in Redis to the garbage collector.
            for pool in getattr(vars(cache).get("_cache"), "_pools", {}).values():
                pool.disconnect()
    except Exception:
        logger.exception("A cache could not be closed.")


def _is_of_a_test(connection: BaseDatabaseWrapper) -> bool:
    """
    Say whether it belongs to a test.

    It is in a `TestCase`, shared by threads, or refused to a `SimpleTestCase`, which
    replaced `connect`.
    """
    return (
        connection.allow_thread_sharing
        or hasattr(connection.connect, "wrapped")
        or any(
            getattr(one, "_from_testcase", False) for one in connection.atomic_blocks
        )
    )


def _is_in_memory(connection: Any) -> bool:
    return connection.vendor == "sqlite" and bool(connection.is_in_memory_db())


def _is_left_broken(connection: BaseDatabaseWrapper) -> bool:
    # A transaction that is open now was opened by the task: no run begins inside one.
    if (
        connection.in_atomic_block
        or connection.needs_rollback
        or connection.savepoint_ids
        or connection.closed_in_transaction
    ):
        return True
    try:
        return _is_in_transaction(connection)
    except Exception:
        # The driver cannot even answer that: the connection is unusable.
        return True


def _is_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Ask the driver: of a ``BEGIN`` in a statement Django knows nothing."""
    raw = connection.connection
    if raw is None:
        return False
    if connection.vendor == "postgresql":
        return raw.info.transaction_status in (1, 2, 3)
    if connection.vendor == "mysql":
        # A bit of the protocol, which mysqlclient does not expose.
        return bool(getattr(raw, "server_status", 0) & 1)
    return getattr(raw, "in_transaction", False) is True


def _drop(connection: BaseDatabaseWrapper) -> None:
    """Close the session, and have the next use of the alias begin with a new object."""
    with contextlib.suppress(Exception):
        if connection.connection is not None:
            # Not Django's `close`, which does nothing after a broken transaction.
            connection.connection.close()
    connection.connection = None
    if "pool" in connection.settings_dict["OPTIONS"]:
        _replace(connections.create_connection(connection.alias))
    else:
        with contextlib.suppress(AttributeError):
            del connections[connection.alias]


def _replace(connection: BaseDatabaseWrapper) -> None:
    """Use `connection` from now on in this thread, without the pool of its alias."""
    options = {**connection.settings_dict["OPTIONS"], "pool": None}
    connection.settings_dict = {**connection.settings_dict, "OPTIONS": options}
    connections[connection.alias] = connection
