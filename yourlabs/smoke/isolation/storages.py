"""Keep what goes through a storage of files in a folder, for one request."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import FileSystemStorage, Storage

from yourlabs.smoke.isolation.guard import GUARD
from yourlabs.smoke.isolation.patches import Patches

_IN_FOLDERS = ("path", "_open", "_save", "delete", "listdir")
_TIMES = ("get_accessed_time", "get_created_time", "get_modified_time")
_ELSEWHERE = ("_open", "_save", "delete", "listdir", "exists", "size", *_TIMES)


class Storages:
    """Lays a folder over every storage: what was changed there is read there."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._deleted: set[str] = set()
        self._is_used = False

    def forget(self) -> None:
        """Let storages have what they had before the request."""
        if self._is_used:
            self._is_used = False
            self._deleted.clear()
            with GUARD.trusted():
                shutil.rmtree(self._folder, ignore_errors=True)

    def patch(self, patches: Patches) -> None:
        """Change Django's storage in folders, and all that are of another kind.

        What a project adds to the former is its own code, and is run.
        """
        for name in _IN_FOLDERS:
            patches.guarded(FileSystemStorage, name, self._instead(name))
        patches.family(Storage, _names_of, self._instead)

    def _instead(self, name: str) -> Any:
        found = getattr(self, f"_{name.lstrip('_')}", None)
        return found or (
            lambda original, storage, key: self._time(original, storage, key)
        )

    def _place(self, storage: Any, name: str) -> str:
        """What tells a file from all others: where it really is, in a folder."""
        if not isinstance(storage, FileSystemStorage):
            return os.path.abspath(f"/{id(storage)}/{name}")
        with GUARD.trusted():
            return str(os.path.abspath(storage.path(name)))

    def _beside(self, place: str) -> str:
        return self._folder + os.sep + place.lstrip(os.sep)

    def _make(self, place: str) -> str:
        """Where a file can be written."""
        self._is_used = True
        beside = self._beside(place)
        os.makedirs(os.path.dirname(beside), exist_ok=True)
        return beside

    def _path(self, original: Any, storage: Any, name: str) -> str:
        """Where a file can be read: the real one, unless a request changed it.

        What is not there can be written there.
        """
        with GUARD.trusted():
            real: str = original(storage, name)
        place = os.path.abspath(real)
        beside = self._beside(place)
        if place in self._deleted:
            return beside
        if os.path.lexists(beside):
            # What else is in a folder was not changed.
            return real if os.path.isdir(real) else beside
        if not os.path.lexists(real) and os.path.isdir(os.path.dirname(real)):
            return self._make(place)
        return real if os.path.lexists(real) else beside

    def _open(self, original: Any, storage: Any, name: str, mode: str = "rb") -> Any:
        """Open a file; for changes, a copy of it."""
        place = self._place(storage, name)
        beside = self._beside(place)
        is_real = not os.path.lexists(beside) and place not in self._deleted
        if set(mode) & set("wax+"):
            self._make(place)
            if is_real and "w" not in mode:
                with contextlib.suppress(FileNotFoundError):
                    self._copy(original(storage, name, "rb"), beside)
        elif is_real:
            return original(storage, name, mode)
        return File(open(beside, mode))

    def _copy(self, file: Any, beside: str) -> None:
        with file, open(beside, "wb") as target:
            shutil.copyfileobj(file, target)

    def _save(self, original: Any, storage: Any, name: str, content: Any) -> str:
        """Write a file into the folder."""
        with open(self._make(self._place(storage, name)), "wb") as file:
            for chunk in content.chunks():
                file.write(chunk if isinstance(chunk, bytes) else chunk.encode())
        return name.replace("\\", "/")

    def _delete(self, original: Any, storage: Any, name: str) -> None:
        """Delete a file for the rest of the request."""
        if not name:
            original(storage, name)
        place = self._place(storage, name)
        beside = self._make(place)
        self._deleted.add(place)
        if os.path.isdir(beside):
            shutil.rmtree(beside)
        elif os.path.lexists(beside):
            os.remove(beside)

    def _listdir(
        self, original: Any, storage: Any, path: str
    ) -> tuple[list[str], list[str]]:
        """List what is there, with what was written and without what was deleted."""
        place = self._place(storage, path)
        beside = self._beside(place)
        entries = list(os.scandir(beside)) if os.path.isdir(beside) else []
        try:
            real = original(storage, path)
        except FileNotFoundError:
            if not os.path.isdir(beside):
                raise
            real = [], []
        found = []
        for names, is_folder in zip(real, (True, False), strict=True):
            kept = [n for n in names if os.path.join(place, n) not in self._deleted]
            kept += [one.name for one in entries if one.is_dir() is is_folder]
            found.append(list(dict.fromkeys(kept)))
        return found[0], found[1]

    def _exists(self, original: Any, storage: Any, name: str) -> bool:
        place = self._place(storage, name)
        if os.path.lexists(self._beside(place)):
            return True
        return place not in self._deleted and original(storage, name)

    def _size(self, original: Any, storage: Any, name: str) -> int:
        beside = self._beside(self._place(storage, name))
        if os.path.lexists(beside):
            return os.path.getsize(beside)
        size: int = original(storage, name)
        return size

    def _time(self, original: Any, storage: Any, name: str) -> datetime:
        beside = self._beside(self._place(storage, name))
        if os.path.lexists(beside):
            zone = timezone.utc if settings.USE_TZ else None
            return datetime.fromtimestamp(os.path.getmtime(beside), tz=zone)
        when: datetime = original(storage, name)
        return when


def _names_of(owner: type) -> Iterable[str]:
    return () if issubclass(owner, FileSystemStorage) else _ELSEWHERE
