"""Which release of a project runs: what it says, or what its sources say."""

from __future__ import annotations

import functools
import inspect
import sys
from hashlib import blake2b
from typing import Any

from yourlabs.runner import conf
from yourlabs.runner.chain.task import Chain

MAX_LAYERS = 100
"""How many wrappers are looked into: they can be a circle."""


def release_of(chain: Chain) -> str:
    """
    Return the name of the release that runs `chain`; empty when nothing is known.

    It is ``RUNNER["RELEASE"]``, or a digest of the sources of the modules of its
    functions: a process that runs other code gets another name. They are read once:
    what is edited later is not what runs here.
    """
    named = conf.release()
    if named is not None:
        return named
    functions = (_inside(task.func) for task in chain.tasks)
    modules = (getattr(function, "__module__", None) for function in functions)
    return _digest(tuple(str(module or "") for module in modules))


def _inside(function: Any) -> Any:
    """Return what is inside of wrappers and partials, however they are nested."""
    for _ in range(MAX_LAYERS):
        inside = getattr(function, "__wrapped__", function)
        if isinstance(inside, functools.partial):
            inside = inside.func
        if inside is function:
            break
        function = inside
    return function


@functools.lru_cache(maxsize=256)
def _digest(modules: tuple[str, ...]) -> str:
    digest = blake2b(digest_size=6)
    for name in sorted(set(modules)):
        digest.update(name.encode(errors="replace") + b"\0" + _source(name))
    return digest.hexdigest()


def _source(name: str) -> bytes:
    module = sys.modules.get(name)
    try:
        path = inspect.getsourcefile(module) if module is not None else None
        if path is None:
            return b""
        with open(path, "rb") as file:
            return file.read()
    except (OSError, TypeError):
        # Typed at a prompt, or shipped without its source.
        return b""
