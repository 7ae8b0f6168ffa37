"""A memory cache in the place of each cache, for whoever holds an instance of it."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache

from yourlabs.smoke.isolation.guard import GUARD
from yourlabs.smoke.isolation.patches import Patches, Replacement

_METHODS = [
    *("add", "get", "set", "touch", "delete", "get_many", "set_many", "delete_many"),
    *("get_or_set", "has_key", "incr", "decr", "incr_version", "decr_version"),
    *("clear", "close"),
]
_METHODS += [f"a{name}" for name in _METHODS]
_PLACES = ("_servers", "_server", "_dir", "_table", "key_prefix")
"""The attributes by which instances of one alias are told from those of another."""


class _Memory(LocMemCache):
    """Stands in for another cache during one request."""

    def __init__(self) -> None:
        BaseCache.__init__(self, {})
        # Django would keep them in a place that all caches of this kind share.
        self._cache: OrderedDict[str, Any] = OrderedDict()
        self._expire_info: dict[str, Any] = {}
        self._lock = threading.Lock()


class Caches:
    """The memory caches of one run, which are empty before each request."""

    def __init__(self) -> None:
        self._memories: dict[Any, _Memory] = {}

    def patch(self, patches: Patches) -> None:
        """Change the classes of all caches."""
        for alias in settings.CACHES:
            # Only a class that was imported can be changed.
            with contextlib.suppress(Exception):
                caches[alias]
        patches.family(BaseCache, [*_METHODS, "__contains__"], self._instead)
        patches.family(BaseCache, _only_real, _refusal)

    def forget(self) -> None:
        """Empty them."""
        for memory in list(self._memories.values()):
            memory.clear()

    def _instead(self, name: str) -> Replacement:
        def call(original: Any, cache: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(cache, (_Memory, DummyCache)):
                return original(cache, *args, **kwargs)
            return getattr(self._memory(cache), name)(*args, **kwargs)

        return call

    def _memory(self, cache: Any) -> _Memory:
        state = vars(cache)
        # Caches in memory have no name, but share what they keep.
        shared = id(state["_cache"]) if isinstance(cache, LocMemCache) else 0
        key = (type(cache), shared, *(repr(state.get(name)) for name in _PLACES))
        if key not in self._memories:
            memory = _Memory()
            for name in ("default_timeout", "key_prefix", "version", "key_func"):
                setattr(memory, name, state.get(name, getattr(memory, name)))
            self._memories.setdefault(key, memory)
        return self._memories[key]


def _only_real(owner: type) -> Iterator[str]:
    """The names of what a class can do beyond what every cache can."""
    for name in list(vars(owner)):
        if not name.startswith("_") and not hasattr(BaseCache, name):
            yield name


def _refusal(name: str) -> Replacement:
    def refuse(original: Any, cache: Any, *args: Any, **kwargs: Any) -> None:
        GUARD.refuse("caches", f"{type(cache).__name__}.{name}")

    return refuse
