"""Refuse changes of files; what goes through a storage is kept in a folder instead."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.sessions.backends.file import SessionStore
from django.core.files.base import File
from django.core.files.storage import FileSystemStorage

from yourlabs.smoke.isolation.guard import GUARD, Check
from yourlabs.smoke.isolation.patches import Patches

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Files:
    """The folder of one run, where files may be changed, and the storages' overlay."""

    def __init__(self) -> None:
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix="smoke-"))
        self._overlay = os.path.join(self.folder, "storages")
        self._deleted: set[str] = set()
        self._is_used = False

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
        self.folder = self._overlay = "/dev/null/gone"

    def forget(self) -> None:
        """Let storages have what they had before the request."""
        if self._is_used:
            self._is_used = False
            self._deleted.clear()
            with GUARD.trusted():
                shutil.rmtree(self._overlay, ignore_errors=True)

    # -- files --------------------------------------------------------------

    def checks(self) -> dict[str, Check]:
        """What to ask before a file is changed."""
        found: dict[str, Check] = {
            "open": self._open,
            "os.rename": lambda args: self._change(*args),
            "os.link": lambda args: self._change(args[1], args[3]),
            "os.symlink": lambda args: self._change(args[1], args[2]),
            "os.utime": lambda args: self._touch(args[0], args[3]),
            "os.chown": lambda args: self._touch(args[0], args[3]),
            "sqlite3.connect": self._open_database,
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

    def _open_database(self, args: tuple[Any, ...]) -> None:
        name = os.fsdecode(args[0])
        path = urlsplit(name).path if name.startswith("file:") else name
        is_harmless = "mode=ro" in name or "mode=memory" in name
        if path not in ("", ":memory:") and not is_harmless:
            self._touch(path)

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

    # -- storages -----------------------------------------------------------

    def patch(self, patches: Patches) -> None:
        """Lay the folder over every storage of files, those of subclasses too."""
        for name in ("path", "_open", "_save", "delete", "listdir"):
            replacement = getattr(self, "storage_" + name.lstrip("_"))
            patches.guarded(FileSystemStorage, name, replacement)
        for name in ("mkfifo", "mknod"):
            # No event tells of these.
            patches.guarded(os, name, self._make)
        # Sessions in files are of the run, which has to log in; a folder that is not
        # there is the project's to be told.
        if os.path.isdir(settings.SESSION_FILE_PATH or tempfile.gettempdir()):
            patches.replace(SessionStore, "_storage_path", self.folder)

    def _beside(self, real: str) -> str:
        return self._overlay + os.sep + os.path.abspath(real).lstrip(os.sep)

    def storage_path(self, original: Any, storage: Any, name: str) -> str:
        """Where a file can be read: the real one, unless a request changed it.

        What is not there can be written there.
        """
        with GUARD.trusted():
            real: str = original(storage, name)
        beside = self._beside(real)
        if real not in self._deleted and not os.path.lexists(beside):
            if os.path.lexists(real):
                return real
            if os.path.isdir(os.path.dirname(real)):
                self._is_used = True
                os.makedirs(os.path.dirname(beside), exist_ok=True)
        return beside

    def storage_open(
        self, original: Any, storage: Any, name: str, mode: str = "rb"
    ) -> Any:
        """Open a file; for changes, a copy of it."""
        path = storage.path(name)
        if set(mode) & set("wax+"):
            real = self._real(storage, name)
            beside = self._beside(real)
            self._is_used = True
            os.makedirs(os.path.dirname(beside), exist_ok=True)
            if path != beside:
                shutil.copyfile(path, beside)
            path = beside
        return File(open(path, mode))

    def storage_save(self, original: Any, storage: Any, name: str, content: Any) -> str:
        """Write a file into the folder."""
        target = self._beside(self._real(storage, name))
        self._is_used = True
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            for chunk in content.chunks():
                file.write(chunk if isinstance(chunk, bytes) else chunk.encode())
        return name.replace("\\", "/")

    def storage_delete(self, original: Any, storage: Any, name: str) -> None:
        """Delete a file for the rest of the request."""
        if not name:
            original(storage, name)
        real = self._real(storage, name)
        self._is_used = True
        self._deleted.add(real)
        beside = self._beside(real)
        if os.path.isdir(beside):
            shutil.rmtree(beside)
        elif os.path.lexists(beside):
            os.remove(beside)

    def storage_listdir(
        self, original: Any, storage: Any, path: str
    ) -> tuple[list[str], list[str]]:
        """List what is there, with what was written and without what was deleted."""
        real = self._real(storage, path)
        found: tuple[dict[str, None], dict[str, None]] = {}, {}
        for folder in (real, self._beside(real)):
            if not os.path.isdir(folder):
                continue
            for entry in os.scandir(folder):
                is_real = folder == real
                if not is_real or os.path.join(real, entry.name) not in self._deleted:
                    found[not entry.is_dir()].setdefault(entry.name)
        if not os.path.isdir(real) and not os.path.isdir(self._beside(real)):
            raise FileNotFoundError(real)
        return list(found[0]), list(found[1])

    def _real(self, storage: Any, name: str) -> str:
        with GUARD.trusted():
            return str(os.path.abspath(storage.path(name)))


def _absolute(path: Any, folder: int) -> str:
    text = os.fsdecode(path)
    if folder is not None and folder >= 0 and not os.path.isabs(text):
        return os.path.join(os.path.realpath(f"/proc/self/fd/{folder}"), text)
    return os.path.abspath(text)


def _is_device(path: str) -> bool:
    try:
        return stat.S_ISCHR(os.stat(path).st_mode)
    except OSError:
        return False
