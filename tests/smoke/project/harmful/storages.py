"""A storage and a cache of the project's own."""

from __future__ import annotations

from typing import Any

from django.core.cache.backends.redis import RedisCache
from django.core.files.storage import FileSystemStorage


class Overwriting(FileSystemStorage):
    """Deletes what is in the way."""

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """Make room for a file."""
        if self.exists(name):
            self.delete(name)
        return name


class Cache(RedisCache):
    """Can do what only Redis can."""

    def drop_everything(self) -> Any:
        """Empty the whole server."""
        return self._cache.get_client(None, write=True).flushdb()
