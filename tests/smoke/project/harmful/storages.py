"""A storage and a cache of the project's own."""

from __future__ import annotations

import os
from typing import Any

from django.core.cache.backends.redis import RedisCache
from django.core.files.base import File
from django.core.files.storage import FileSystemStorage, Storage


class Overwriting(FileSystemStorage):
    """Deletes what is in the way."""

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """Make room for a file."""
        if self.exists(name):
            self.delete(name)
        return name


class Plain(Storage):
    """Does everything itself.

    Args:
        location: The folder.
    """

    def __init__(self, location: str) -> None:
        self.location = location

    def _place(self, name: str) -> str:
        return os.path.join(self.location, name)

    def _open(self, name: str, mode: str = "rb") -> Any:
        return File(open(self._place(name), mode))

    def _save(self, name: str, content: Any) -> str:
        with open(self._place(name), "wb") as file:
            file.write(content.read())
        return name

    def delete(self, name: str) -> None:
        """Delete a file."""
        os.remove(self._place(name))

    def exists(self, name: str) -> bool:
        """Whether there is a file."""
        return os.path.exists(self._place(name))

    def size(self, name: str) -> int:
        """How many bytes there are."""
        return os.path.getsize(self._place(name))


class Cache(RedisCache):
    """Can do what only Redis can."""

    @property
    def client(self) -> Any:
        """What talks to the server."""
        return self._cache.get_client(None, write=True)

    def drop_everything(self) -> Any:
        """Empty the whole server."""
        return self._cache.get_client(None, write=True).flushdb()
