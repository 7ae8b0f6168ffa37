"""
Django's database connections in a thread that serves no requests.

Django closes old connections when a request begins and ends. A chain's thread has no
requests, so the same is done around each run; and what a task left unusable or inside
a transaction is dropped whole, because no later run could use it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from yourlabs.runner.log import logger

_connected: set[int] = set()
"""The threads that have opened a connection: in others there is nothing to do."""


class _Opened(threading.local):
    """The connections that this thread has opened: to ask Django takes longer."""

    def __init__(self) -> None:
        self.all: list[BaseDatabaseWrapper] = []


_opened = _Opened()


def _note_connection(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    # A copy that is none of Django's own is left to who made it.
    if connection not in _opened.all and connection in _all():
        _opened.all.append(connection)
        _connected.add(threading.get_ident())


def _known() -> tuple[BaseDatabaseWrapper, ...]:
    # To look into a thread's own variables makes them.
    return tuple(_opened.all) if threading.get_ident() in _connected else ()


def _all() -> Sequence[BaseDatabaseWrapper]:
    return connections.all(initialized_only=True)


connection_created.connect(_note_connection, dispatch_uid=__name__)


def before_run() -> None:
    """Close what has grown obsolete since the last run, as before a request."""
    for connection in _known():
        if not connection.in_atomic_block:
            _close_if_obsolete(connection)


def after_run() -> None:
    """Close what is obsolete, as after a request, and drop what a task left broken."""
    for connection in _known():
        # With DEBUG on it would grow for ever: no request clears it here.
        connection.queries_log.clear()
        if _is_left_broken(connection):
            _drop(connection)
        else:
            _close_if_obsolete(connection)


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
        # A driver that cannot even say that: the connection is of no use.
        return True


def _is_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Ask the driver: of a ``BEGIN`` in a statement Django knows nothing."""
    raw = connection.connection
    if raw is None:
        return False
    if connection.vendor == "postgresql":
        return raw.info.transaction_status in (1, 2, 3)
    if connection.vendor == "mysql":
        # The bit of the protocol; mysqlclient does not hand it out.
        return bool(getattr(raw, "server_status", 0) & 1)
    return getattr(raw, "in_transaction", False) is True


def _close_if_obsolete(connection: BaseDatabaseWrapper) -> None:
    try:
        connection.close_if_unusable_or_obsolete()
    except Exception:
        # The server may be gone: the connection with it.
        _drop(connection)


def _drop(connection: BaseDatabaseWrapper) -> None:
    """Close the raw connection, and let the next run begin with a new wrapper."""
    alias = connection.alias
    raw, connection.connection = connection.connection, None
    if raw is not None:
        with contextlib.suppress(Exception):
            raw.close()
    with contextlib.suppress(AttributeError):
        del connections[alias]
    if connection in _known():
        _opened.all.remove(connection)
    logger.warning(
        "A task left the database connection %r inside a transaction or unusable; "
        "it was dropped, and what was not committed with it.",
        alias,
        extra={"action": "connection_dropped"},
    )


def close_all() -> None:
    """Close every connection of this thread."""
    for connection in _all():
        try:
            connection.close()
        except Exception:
            _drop(connection)
    if _known():
        _opened.all.clear()
    _connected.discard(threading.get_ident())
