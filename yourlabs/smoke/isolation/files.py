"""Refuse changes of files but in the folder of a run."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import sys
import tempfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.sessions.backends.file import SessionStore

from yourlabs.smoke.isolation.guard import GUARD, Check, Refused
from yourlabs.smoke.isolation.patches import Patches

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Files:
    """The folder of one run, where files may be changed."""

    def __init__(self) -> None:
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix="smoke-"))

    @contextlib.contextmanager
    def temporary(self) -> Iterator[None]:
        """Make temporary files in the folder, and no byte code, for a while."""
        saved = tempfile.tempdir, sys.dont_write_bytecode
        tempfile.tempdir, sys.dont_write_bytecode = self.folder, True
        try:
            yield
        finally:
            if not GUARD.is_final:
                tempfile.tempdir, sys.dont_write_bytecode = saved

    def remove(self) -> None:
        """Delete the folder; nothing may be written there any more."""
        with GUARD.trusted():
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder = "/dev/null/gone"

    def checks(self) -> dict[str, Check]:
        """What to ask before a file is changed."""
        found: dict[str, Check] = {
            "open": self._open,
            "os.rename": lambda args: self._change(*args),
            "os.link": lambda args: self._change(args[1], args[3]),
            "os.symlink": lambda args: self._change(args[1], args[2]),
            "os.utime": lambda args: self._touch(args[0], args[3]),
            "os.chown": lambda args: self._touch(args[0], args[3]),
            "socket.bind": self._bind,
            "sqlite3.connect": lambda args: self._open_database(args[0]),
        }
        # The last value of an event is the folder that its path is relative to.
        for name in ("remove", "rmdir"):
            found[f"os.{name}"] = lambda args: self._change(args[0], args[-1])
        found["os.mkdir"] = lambda args: self._make_folder(args[0], args[-1])
        found["os.chmod"] = lambda args: self._touch(args[0], args[-1])
        for name in ("truncate", "setxattr", "removexattr", "chflags"):
            found[f"os.{name}"] = lambda args: self._touch(args[0])
        return found

    def _make_folder(self, path: Any, folder: int) -> None:
        # One that is there is asked for again and again, and nothing is done.
        if not os.path.isdir(_absolute(path, folder)):
            self._change(path, folder)

    def _open(self, args: tuple[Any, ...]) -> None:
        path, _, flags = args
        if flags & _WRITES and not isinstance(path, int):
            self._touch(path)

    def _bind(self, args: tuple[Any, ...]) -> None:
        # A socket that has a name is an entry of a folder.
        name = os.fsdecode(args[1]) if isinstance(args[1], (str, bytes)) else ""
        if name and not name.startswith("\0"):
            self._change(name)

    def _open_database(self, database: Any) -> None:
        name = os.fsdecode(database)
        path, is_harmless = name, False
        if name.startswith("file:"):
            path = urlsplit(name).path
            is_harmless = bool({"mode=ro", "mode=memory"} & _options(name))
        if path not in ("", ":memory:") and not is_harmless:
            self._touch(path)

    def _connect(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        """Connect to a database of SQLite that attaches no file it may not open."""
        connection = original(*args, **kwargs)

        def ask(action: int, name: Any, *others: Any) -> int:
            if action == sqlite3.SQLITE_ATTACH and GUARD.watches():
                try:
                    if name is None:  # a parameter of the statement names it
                        GUARD.refuse("paths", "a database that it attaches")
                    self._open_database(name)
                except Refused:
                    return sqlite3.SQLITE_DENY
            return sqlite3.SQLITE_OK

        connection.set_authorizer(ask)
        return connection

    def _make(self, original: Any, path: Any, *args: Any, **kwargs: Any) -> None:
        self._change(path, kwargs.get("dir_fd", -1))
        original(path, *args, **kwargs)

    def _touch(self, path: Any, folder: int = -1) -> None:
        """Ask for a file that a link may lead to."""
        if isinstance(path, int):
            path, folder = f"/proc/self/fd/{path}", -1
        self._ask(os.path.realpath(_absolute(path, folder)))

    def _change(self, path: Any, *others: Any) -> None:
        """Ask for entries of folders, links themselves included."""
        paths, folders = [path], [other for other in others if isinstance(other, int)]
        paths += [other for other in others if not isinstance(other, int)]
        for place, one in enumerate(paths):
            folder = folders[min(place, len(folders) - 1)] if folders else -1
            parent, name = os.path.split(_absolute(one, folder))
            self._ask(os.path.join(os.path.realpath(parent), name))

    def _ask(self, path: str) -> None:
        if path.startswith(self.folder + os.sep) or path == self.folder:
            return
        if GUARD.allows("paths", path) or _is_device(path):
            return
        GUARD.refuse("paths", path)

    def patch(self, patches: Patches) -> None:
        """Change what changes files and tells no hook."""
        for name in ("mkfifo", "mknod"):
            patches.guarded(os, name, self._make)
        for module in (sqlite3, sqlite3.dbapi2):
            patches.guarded(module, "connect", self._connect)
        # Sessions in files are of the run, which has to log in; a folder that is not
        # there is the project's to be told.
        if os.path.isdir(settings.SESSION_FILE_PATH or tempfile.gettempdir()):
            patches.replace(SessionStore, "_storage_path", self.folder)


def _absolute(path: Any, folder: int) -> str:
    text = os.fsdecode(path)
    if folder is not None and folder >= 0 and not os.path.isabs(text):
        return os.path.join(os.path.realpath(f"/proc/self/fd/{folder}"), text)
    return os.path.abspath(text)


def _options(uri: str) -> set[str]:
    return set(urlsplit(uri).query.split("&"))


def _is_device(path: str) -> bool:
    try:
        return stat.S_ISCHR(os.stat(path).st_mode)
    except OSError:
        return False
