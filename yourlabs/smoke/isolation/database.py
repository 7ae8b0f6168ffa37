"""Undo whatever is done to the databases, and refuse what could not be undone."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import DatabaseError, connections, transaction
from django.db.backends.signals import connection_created

from yourlabs.smoke.isolation.drivers import Drivers, addresses_of, release
from yourlabs.smoke.isolation.guard import GUARD, Refusal, Refused
from yourlabs.smoke.isolation.patches import Patches
from yourlabs.smoke.isolation.queries import QueryRecorder
from yourlabs.smoke.isolation.statements import change, leading_to, offence

MAX_COPY_BYTES = 2 * 1024**3
"""Up to which size an SQLite database is copied, so that nothing reaches it."""

_SHADOWED = ("close", "commit", "rollback", "set_autocommit")
_READ_ONLY = {
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
}
_WRITING = re.compile("in a read.only transaction", re.IGNORECASE)
_WITHOUT_TRANSACTIONS = """
SELECT table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'
AND table_schema NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')
AND engine NOT IN
    (SELECT engine FROM information_schema.engines WHERE transactions = 'YES')
"""
_LEADING = """
SELECT event_object_table, action_statement FROM information_schema.triggers
UNION ALL SELECT table_name, view_definition FROM information_schema.views
WHERE table_schema NOT IN ('sys', 'information_schema', 'performance_schema')
"""


class RefusedStatement(Refused, DatabaseError):
    """SQL that was not sent."""


class Databases:
    """Rolls back what requests do. One thread only.

    Args:
        aliases: The databases to guard.

    Attributes:
        known: The databases that the project has, those that do not answer included.
        savepoints: The savepoints around the request, which it may not end.
        pools: Where the threads of Django's pools connect to.
        _own: The drivers' connections of the request in progress.
    """

    def __init__(self, aliases: list[str]) -> None:
        self.aliases = aliases
        self.known = frozenset(connections)
        self.is_nested = any(connections[a].in_atomic_block for a in aliases)
        self.savepoints: frozenset[str] = frozenset()
        several = (connections[alias] for alias in aliases)
        self.pools = frozenset(
            address
            for one in several
            if one.settings_dict["OPTIONS"].get("pool")
            for address in addresses_of(one.get_connection_params())
        )
        self._drivers = Drivers(self)
        self._own: list[Any] = []
        self._tables: frozenset[str] = frozenset()
        self._is_running = False
        self._callbacks: dict[str, int] = {}

    # -- a run --------------------------------------------------------------

    @contextlib.contextmanager
    def running(self, patches: Patches, folder: str) -> Iterator[None]:
        """Guard the drivers; work on copies of SQLite files, in a folder."""
        self._drivers.patch(patches)
        originals: dict[str, Any] = {}
        self._is_running = True
        try:
            for alias in self.aliases:
                if not self.is_nested:
                    self._copy(alias, folder, originals)
                self._look_at(alias)
            connection_created.connect(self._restrict, weak=False)
            patches.undo(lambda: connection_created.disconnect(self._restrict))
            yield
        finally:
            self._is_running = False
            for alias in self.aliases:
                if alias in originals:
                    _forget(connections[alias])
                    connections[alias].settings_dict["NAME"] = originals[alias]
                elif isinstance(connections[alias].connection, sqlite3.Connection):
                    release(connections[alias].connection)

    def _copy(self, alias: str, folder: str, originals: dict[str, Any]) -> None:
        connection = connections[alias]
        name = str(connection.settings_dict["NAME"])
        if connection.vendor != "sqlite":
            # What was opened before may be of a class that cannot be guarded.
            connection.close()
        elif os.path.isfile(name) and os.path.getsize(name) <= MAX_COPY_BYTES:
            target = os.path.join(folder, f"{alias}.sqlite3")
            connection.ensure_connection()
            with contextlib.closing(sqlite3.connect(target)) as copy:
                connection.connection.backup(copy)
            connection.close()
            originals[alias] = connection.settings_dict["NAME"]
            connection.settings_dict["NAME"] = target

    def _look_at(self, alias: str) -> None:
        connection = connections[alias]
        connection.ensure_connection()
        if isinstance(connection.connection, sqlite3.Connection):
            self._drivers.authorize(connection.connection)
        if connection.vendor == "mysql":
            with connection.cursor() as cursor:
                cursor.execute(_WITHOUT_TRANSACTIONS)
                self._tables |= {str(row[0]).lower() for row in cursor.fetchall()}
                if self._tables:
                    cursor.execute(_LEADING)
                    self._tables |= leading_to(self._tables, cursor.fetchall())

    def _restrict(self, sender: Any, connection: Any, **kwargs: Any) -> None:
        """Let connections that requests open beside the run's own only read."""
        if not GUARD.is_on and not GUARD.watches():
            return
        if isinstance(connection.connection, sqlite3.Connection):
            self._drivers.authorize(connection.connection)
        if not GUARD.watches() or self.is_own(connection):
            return
        if connection.vendor in _READ_ONLY:
            with GUARD.trusted(), connection.cursor() as cursor:
                cursor.execute(_READ_ONLY[connection.vendor])
            connection.execute_wrappers.append(self._tell_of_writing)

    def _tell_of_writing(self, execute: Any, sql: Any, *args: Any) -> Any:
        """Note what only the server knows to write, like a function that does."""
        try:
            return execute(sql, *args)
        except DatabaseError as error:
            if _WRITING.search(str(error)):
                self.refuse("other", str(sql))
            raise

    # -- statements ---------------------------------------------------------

    def is_own(self, connection: Any) -> bool:
        """Whether a connection of Django's is the one that requests are undone on."""
        is_late = not self._is_running
        if is_late or not GUARD.is_owner or connection.alias not in self.aliases:
            return False
        return not self._own or connection is connections[connection.alias]

    def place_of(self, connection: Any) -> str:
        """Whose a driver's connection is: a request's ``own``, or any ``other``.

        Empty for what the run itself does between requests.
        """
        if GUARD.is_owner:
            if not self._own and self._is_running:
                return ""
            if any(connection is one for one in self._own):
                return "own"
        return "other"

    def ask(self, connection: Any, sql: str, vendor: str) -> None:
        """Refuse what ends the transaction of a request, or writes beside it.

        Raises:
            RefusedStatement: It was refused.
        """
        place = self.place_of(connection)
        text = ""
        if place == "own":
            text = offence(sql, vendor, self.savepoints, self._tables)
        elif place == "other":
            text = change(sql, vendor)
        if text:
            self.refuse(place, text)

    def _look(
        self, execute: Any, sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        """Ask for what Django's cursors send, whatever the driver is."""
        connection = context["connection"]
        if GUARD.watches():
            self.ask(connection.connection, str(sql), connection.vendor)
        return execute(sql, params, many, context)

    def refuse(self, place: str, text: str) -> None:
        """Note and refuse a statement."""
        refusal = self.note(place, text)
        raise RefusedStatement(f"Refused while smoke tests run: {refusal}")

    def note(self, place: str, text: str) -> Refusal:
        """Note a statement as refused."""
        kind = "statements" if place == "own" else "threads"
        return GUARD.note(kind, " ".join(text.split())[:60])

    # -- a request ----------------------------------------------------------

    @contextlib.contextmanager
    def rolled_back(self, recorder: QueryRecorder) -> Iterator[None]:
        """Undo every change made in the block, whatever happens in it."""
        stack: list[tuple[str, Any, int, int]] = []
        with contextlib.ExitStack() as wrappers:
            try:
                for alias in self.aliases:
                    connection = connections[alias]
                    atomic = transaction.atomic(using=alias)
                    atomic._from_testcase = True  # type: ignore[attr-defined]
                    atomic.__enter__()
                    blocks = len(connection.atomic_blocks)
                    stack.append((alias, atomic, len(connection.savepoint_ids), blocks))
                    wrappers.enter_context(connection.execute_wrapper(recorder))
                    wrappers.enter_context(connection.execute_wrapper(self._look))
                    self._callbacks[alias] = len(connection.run_on_commit)
                    _shadow(connection)
                several = [connections[alias] for alias in self.aliases]
                ids = {name for one in several for name in one.savepoint_ids if name}
                self.savepoints = frozenset(name.lower() for name in ids)
                self._own = [one.connection for one in several]
                yield
            finally:
                self._own = []
                for alias, atomic, savepoints, blocks in reversed(stack):
                    self._undo(alias, atomic, savepoints, blocks)
                if recorder.has_changed:
                    _forget_cached_rows()

    def expect_callbacks(self) -> None:
        """Leave out the callbacks of what was made before the request."""
        for alias in self.aliases:
            self._callbacks[alias] = len(connections[alias].run_on_commit)

    def run_callbacks(self) -> None:
        """Do what the request wanted to be done once its rows are there.

        Raises:
            Exception: What a callback raises.
        """
        for alias in self.aliases:
            connection = connections[alias]
            if connection.needs_rollback:
                continue
            while waiting := connection.run_on_commit[self._callbacks[alias] :]:
                del connection.run_on_commit[self._callbacks[alias] :]
                for entry in waiting:
                    is_robust = len(entry) > 2 and entry[2]
                    with contextlib.suppress(*[Exception] * bool(is_robust)):
                        entry[1]()

    def _undo(self, alias: str, atomic: Any, savepoints: int, blocks: int) -> None:
        connection = connections[alias]
        for name in _SHADOWED:
            connection.__dict__.pop(name, None)
        was_ended = False
        del connection.run_on_commit[self._callbacks.get(alias, 0) :]
        try:
            del connection.savepoint_ids[savepoints:]
            del connection.atomic_blocks[blocks:]
            connection.in_atomic_block = True
            connection.needs_rollback = True
            atomic.__exit__(None, None, None)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            was_ended = True
        if self.is_nested:
            return
        if was_ended or connection.in_atomic_block or not _is_alive(connection):
            _forget(connection)


def _forget_cached_rows() -> None:
    """Empty the caches of rows that may have been made and undone."""
    if apps.is_installed("django.contrib.contenttypes"):
        from django.contrib.contenttypes.models import ContentType

        ContentType.objects.clear_cache()
    if apps.is_installed("django.contrib.sites"):
        from django.contrib.sites.models import Site

        Site.objects.clear_cache()


def _is_alive(connection: Any) -> bool:
    if connection.connection is None:
        return True
    if connection.vendor == "sqlite":
        try:
            connection.connection.execute("SELECT 1")
        except Exception:  # closed behind Django's back
            return False
        return True
    closed = getattr(connection.connection, "closed", False)
    return not closed and connection.errors_occurred is False


def _shadow(connection: Any) -> None:
    """Make Django's own calls that would end the transaction do nothing."""
    for name in _SHADOWED:
        connection.__dict__[name] = lambda *args, **kwargs: None


def _forget(connection: Any) -> None:
    """Drop a connection in whatever state it is; the next query makes a new one."""
    for name in _SHADOWED:
        connection.__dict__.pop(name, None)
    with contextlib.suppress(Exception):
        connection.connection.close()
    connection.connection = None
    connection.in_atomic_block = False
    connection.savepoint_ids = []
    connection.atomic_blocks = []
    connection.needs_rollback = False
    connection.closed_in_transaction = False
    connection.errors_occurred = False
    connection.run_on_commit = []
