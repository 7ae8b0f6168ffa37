"""Keep requests from changing anything: transactions, copies, settings."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from django.apps import apps
from django.db import connections, transaction

MAX_COPY_BYTES = 2 * 1024**3
"""Up to which size an SQLite database is copied, so that nothing reaches it."""

_CONTROL = re.compile(
    r"\s*(?:commit|end|begin|start\s+transaction|abort|prepare\s+transaction"
    r"|rollback(?!\s+(?:transaction\s+)?to\b))\b",
    re.IGNORECASE,
)
_SHADOWED = ("close", "commit", "rollback", "set_autocommit")
_CHANGE = re.compile(r"\s*(?:insert|update|delete|replace|create|drop|alter)", re.I)
_INSERT = re.compile(
    r"\s*(?:insert|replace)\b[^(]*?\binto\s+[\"`\[]?(?:\w+[\"`\]]?\.[\"`\[]?)?(\w+)",
    re.I,
)


def usable_aliases() -> tuple[list[str], dict[str, str]]:
    """The databases that answer, and why the others do not.

    Returns:
        The aliases that can be used, and an error text for each that cannot.
    """
    good, bad = [], {}
    for alias in connections:
        connection = connections[alias]
        if connection.settings_dict["ENGINE"].endswith("backends.dummy"):
            continue
        try:
            connection.ensure_connection()
        except Exception as error:  # each database driver has errors of its own
            bad[alias] = f"{type(error).__name__}: {error}"
        else:
            good.append(alias)
    return good, bad


class QueryRecorder:
    """Count the queries of one request, and refuse to end its transaction."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.has_changed = False
        self.tables: set[str] = set()
        """The tables that rows were inserted into."""

        self.is_counting = False

    def __call__(
        self,
        execute: Callable[..., Any],
        sql: Any,
        params: Any,
        many: bool,
        context: Any,
    ) -> Any:
        """Run a query, unless it would end the transaction around the request."""
        text = sql if isinstance(sql, str) else str(sql)
        if _CONTROL.match(text):
            return None
        if self.is_counting:
            self.texts.append(text)
        self.has_changed = self.has_changed or bool(_CHANGE.match(text))
        if inserted := _INSERT.match(text):
            self.tables.add(inserted[1])
        return execute(sql, params, many, context)

    def largest_group(self) -> tuple[int, str]:
        """How often the most frequent query ran, and its text."""
        counts: dict[str, int] = {}
        for text in self.texts:
            counts[text] = counts.get(text, 0) + 1
        if not counts:
            return 0, ""
        text = max(counts, key=counts.__getitem__)
        return counts[text], text


class Sandbox:
    """Roll back whatever is done to the databases. One thread only.

    Args:
        aliases: The databases to guard.
    """

    def __init__(self, aliases: list[str]) -> None:
        self.aliases = aliases
        self.copies: dict[str, tuple[Any, str]] = {}
        self.is_nested = any(connections[a].in_atomic_block for a in aliases)

    @contextlib.contextmanager
    def copied(self) -> Iterator[None]:
        """Work on copies of the SQLite files for a while.

        A view that commits behind Django's back then changes the copy only.
        """
        folder = tempfile.mkdtemp(prefix="smoke-")
        try:
            if not self.is_nested:
                for alias in self.aliases:
                    self._copy(alias, folder)
            yield
        finally:
            for alias, (original, _) in self.copies.items():
                _forget(connections[alias])
                connections[alias].settings_dict["NAME"] = original
            shutil.rmtree(folder, ignore_errors=True)

    def _copy(self, alias: str, folder: str) -> None:
        connection = connections[alias]
        original = connection.settings_dict["NAME"]
        name = str(original)
        if connection.vendor != "sqlite" or not os.path.isfile(name):
            return
        if os.path.getsize(name) > MAX_COPY_BYTES:
            return
        target = os.path.join(folder, f"{alias}.sqlite3")
        _backup(connection, target)
        connection.settings_dict["NAME"] = target
        self.copies[alias] = (original, target)

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
                    _shadow(connection)
                yield
            finally:
                for alias, atomic, savepoints, blocks in reversed(stack):
                    self._undo(alias, atomic, savepoints, blocks)
                if recorder.has_changed:
                    _forget_cached_rows()

    def _undo(self, alias: str, atomic: Any, savepoints: int, blocks: int) -> None:
        connection = connections[alias]
        _unshadow(connection)
        was_ended = (
            alias in self.copies
            and connection.connection is not None
            and not _is_in_transaction(connection)
        )
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
            if alias in self.copies:
                self._renew(alias)

    def _renew(self, alias: str) -> None:
        original, target = self.copies[alias]
        connection = connections[alias]
        for suffix in ("", "-journal", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                os.unlink(target + suffix)
        connection.settings_dict["NAME"] = original
        connection.ensure_connection()
        _backup(connection, target)
        connection.settings_dict["NAME"] = target


def _forget_cached_rows() -> None:
    """Empty the caches of rows that may have been made and undone."""
    if apps.is_installed("django.contrib.contenttypes"):
        from django.contrib.contenttypes.models import ContentType

        ContentType.objects.clear_cache()
    if apps.is_installed("django.contrib.sites"):
        from django.contrib.sites.models import Site

        Site.objects.clear_cache()


def _backup(connection: Any, target: str) -> None:
    import sqlite3

    connection.ensure_connection()
    with contextlib.closing(sqlite3.connect(target)) as copy:
        connection.connection.backup(copy)
    connection.close()


def _is_in_transaction(connection: Any) -> bool:
    try:
        return bool(connection.connection.in_transaction)
    except Exception:  # closed behind Django's back
        return False


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
    """Make the calls that would end the transaction do nothing."""
    for name in _SHADOWED:
        connection.__dict__[name] = lambda *args, **kwargs: None
    with contextlib.suppress(Exception):  # drivers written in C refuse this
        connection.connection.commit = lambda: None


def _unshadow(connection: Any) -> None:
    """Make these calls work again."""
    for name in _SHADOWED:
        connection.__dict__.pop(name, None)
    with contextlib.suppress(Exception):  # not every driver let itself be shadowed
        del connection.connection.commit


def _forget(connection: Any) -> None:
    """Drop a connection in whatever state it is; the next query makes a new one."""
    _unshadow(connection)
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
