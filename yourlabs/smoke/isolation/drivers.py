"""Ask before a database driver sends anything, by whichever way it is called."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db.backends.base.base import BaseDatabaseWrapper

from yourlabs.smoke.isolation.guard import GUARD, Unreachable
from yourlabs.smoke.isolation.patches import Patches, Replacement

if TYPE_CHECKING:
    from yourlabs.smoke.isolation.database import Databases

_CURSOR = ("execute", "executemany", "stream", "copy", "copy_expert", "callproc")
_ENDINGS = (
    *("commit", "rollback", "begin", "set_autocommit"),
    *("tpc_prepare", "tpc_commit", "tpc_rollback"),
)
_MODES = ("set_read_only", "set_session")
_SQLITE_READS = {
    *(sqlite3.SQLITE_PRAGMA, sqlite3.SQLITE_READ, sqlite3.SQLITE_SELECT),
    *(sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_SAVEPOINT),
    *(sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE),
}


class Drivers:
    """Asks the databases of a run before each statement."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._factories: dict[str, Any] = {}

    def patch(self, patches: Patches) -> None:
        """Change the classes of the drivers that are written in Python."""
        self._patches = patches
        patches.late("psycopg", self._psycopg)
        patches.late("psycopg2.extensions", self._psycopg2)
        patches.late("pymysql.connections", self._mysql)
        patches.late("MySQLdb.connections", self._mysql)
        patches.family(
            BaseDatabaseWrapper, ["get_new_connection"], lambda name: self._connect
        )

    def _psycopg(self, module: Any) -> None:
        for cursor in (module.Cursor, module.AsyncCursor):
            self._patches.family(cursor, _CURSOR, lambda name: self._execute)
        self._change(module.Connection, (*_ENDINGS, *_MODES, "close"))
        # Every connection is made by it, those of event loops included.
        opening = self._opening(module.conninfo.conninfo_to_dict, self._databases.pools)
        self._patches.guarded(module.generators, "connect", opening)

    def _psycopg2(self, module: Any) -> None:
        # Its classes are written in C and cannot be changed, but they can be extended.
        cursor: Any = type("Cursor", (module.cursor,), {})
        mode = module.connection.autocommit
        write = self._patches.call(mode.__set__, self._ending("autocommit"))
        names = {"autocommit": property(mode.__get__, write)}
        connection: Any = type("Connection", (module.connection,), names)
        for name in ("execute", "executemany", "copy_expert", "callproc"):
            self._patches.guarded(cursor, name, self._execute)
        self._change(
            connection, (*_ENDINGS, *_MODES, "set_isolation_level", "reset", "close")
        )
        self._factories = {"connection_factory": connection, "cursor_factory": cursor}
        opening = self._opening(module.parse_dsn, frozenset())
        self._patches.guarded(sys.modules["psycopg2"], "_connect", opening)

    def _opening(
        self,
        read: Callable[[str], dict[str, Any]],
        pools: frozenset[tuple[str, str, str]],
    ) -> Replacement:
        """What refuses connections that are neither Django's nor of its pools."""

        def connect(original: Any, text: str, *args: Any, **kwargs: Any) -> Any:
            for host, port, name in addresses_of(read(text)):
                is_allowed = GUARD.allows("hosts", host, f"{host}:{port}")
                if not is_allowed and (host, port, name) not in pools:
                    GUARD.refuse("hosts", f"{host}:{port}", Unreachable)
            return original(text, *args, **kwargs)

        return connect

    def _mysql(self, module: Any) -> None:
        self._patches.guarded(module.Connection, "query", self._query)
        self._change(module.Connection, (*_ENDINGS, "autocommit", "close"))

    def _change(self, owner: Any, names: tuple[str, ...]) -> None:
        for name in names:
            if hasattr(owner, name):
                self._patches.guarded(owner, name, self._ending(name))

    def _connect(self, original: Any, wrapper: Any, params: Any) -> Any:
        """Let Django itself connect to the databases that the project has."""
        if wrapper.alias not in self._databases.known:
            return original(wrapper, params)
        options = wrapper.settings_dict["OPTIONS"]
        if options.get("pool") and not self._databases.is_own(wrapper):
            # What can only read must not go back to a pool.
            changed = {**options, "pool": None}
            wrapper.settings_dict = {**wrapper.settings_dict, "OPTIONS": changed}
        if self._factories and wrapper.Database.__name__ == "psycopg2":
            params = {**params, **self._factories}
        with GUARD.trusted():
            return original(wrapper, params)

    def _execute(
        self, original: Any, cursor: Any, query: Any, *a: Any, **k: Any
    ) -> Any:
        self._databases.ask(cursor.connection, _text(query, cursor), "postgresql")
        return original(cursor, query, *a, **k)

    def _query(
        self, original: Any, connection: Any, sql: Any, *a: Any, **k: Any
    ) -> Any:
        self._databases.ask(connection, _text(sql, None), "mysql")
        return original(connection, sql, *a, **k)

    def _ending(self, name: str) -> Replacement:
        def end(
            original: Callable[..., Any], connection: Any, *a: Any, **k: Any
        ) -> Any:
            place = self._databases.place_of(connection)
            if place == "own" and name == "close":
                return None
            if place == "own" or (place == "other" and name in _MODES):
                self._databases.refuse(place, f"connection.{name}()")
            return original(connection, *a, **k)

        return end

    def authorize(self, connection: Any) -> None:
        """Let SQLite ask before it compiles a statement, whoever runs it."""

        def ask(action: int, one: Any, two: Any, *others: Any) -> int:
            if not GUARD.watches():
                return sqlite3.SQLITE_OK
            place = self._databases.place_of(connection)
            text = self._offence(place, action, one, two)
            if not text:
                return sqlite3.SQLITE_OK
            self._databases.note(place, text)
            return sqlite3.SQLITE_DENY

        connection.set_authorizer(ask)

    def _offence(self, place: str, action: int, one: Any, two: Any) -> str:
        if place == "other":
            return f"a statement on {one}" if action not in _SQLITE_READS else ""
        if place == "own":
            if action == sqlite3.SQLITE_TRANSACTION:
                return str(one)
            if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH):
                return f"ATTACH {one}"
            is_end = action == sqlite3.SQLITE_SAVEPOINT and one != "BEGIN"
            if is_end and str(two).lower() in self._databases.savepoints:
                return f"{one} {two}"
        return ""


def addresses_of(params: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The hosts, ports and the database that the parameters of a connection name."""
    hosts = str(params.get("host") or os.environ.get("PGHOST") or "localhost")
    ports = str(params.get("port") or 5432).split(",")
    name = str(params.get("dbname"))
    return [(host, port, name) for host in hosts.split(",") for port in ports]


def release(connection: Any) -> None:
    """Let SQLite ask nobody any more."""
    is_old = sys.version_info < (3, 11)
    connection.set_authorizer((lambda *args: sqlite3.SQLITE_OK) if is_old else None)


def _text(query: Any, cursor: Any) -> str:
    if isinstance(query, (bytes, bytearray)):
        return bytes(query).decode("utf-8", "replace")
    write = getattr(query, "as_string", None)
    return write(cursor) if write else str(query)
