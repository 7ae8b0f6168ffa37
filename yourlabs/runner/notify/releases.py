"""Which release of a project runs: as its settings name it, or by its sources."""

from __future__ import annotations

import inspect
import sys
from functools import lru_cache, partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

from yourlabs.runner import conf
from yourlabs.runner.chain.task import Chain

MAX_LAYERS = 100
"""How many wrappers are looked into: they can be a circle."""


def release_of(chain: Chain) -> str:
    """
    Return the name of the release that runs `chain`.

    It is ``RUNNER["RELEASE"]``, or a digest of the sources of its functions' modules.
    They are read once: what is edited later is not what runs here.
    """
    named = conf.release()
    if named is not None:
        return named
    modules = (getattr(_inside(one.func), "__module__", "") for one in chain.tasks)
    return _digest(tuple(str(module or "") for module in modules))


def _inside(function: Any) -> Any:
    """Return what is inside of wrappers and partials, however they are nested."""
    for _ in range(MAX_LAYERS):
        inside = getattr(function, "__wrapped__", function)
        if isinstance(inside, partial):
            inside = inside.func
        if inside is function:
            break
        function = inside
    return function


@lru_cache(maxsize=256)
def _digest(modules: tuple[str, ...]) -> str:
    digest = blake2b(digest_size=6)
    for name in sorted(set(modules)):
        digest.update(name.encode(errors="replace") + b"\0" + _source(name))
    return digest.hexdigest()


def _source(name: str) -> bytes:
    try:
        return Path(inspect.getsourcefile(sys.modules[name]) or "").read_bytes()
    except (KeyError, OSError, TypeError):
        # Typed at a prompt, or shipped without its source.
        return b""
