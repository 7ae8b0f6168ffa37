"""Replace methods of classes for as long as something is guarded.

A replacement acts in guarded threads only; everybody else gets the original. Classes
are changed, not instances: what was made before a run is covered, and nothing of it
stays changed.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import sys
from collections.abc import Callable, Iterable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from yourlabs.smoke.isolation.guard import GUARD

_MISSING = object()

Replacement = Callable[..., Any]
"""Called with the original first, then with what that would be called with."""


class Patches(MetaPathFinder):
    """What was replaced. Finds the modules, too, that are to be changed later."""

    def __init__(self) -> None:
        self._undos: list[Callable[[], Any]] = []
        self._late: dict[str, Callable[[Any], None]] = {}
        sys.meta_path.insert(0, self)

    def replace(self, owner: Any, name: str, value: Any) -> None:
        """Set an attribute until `restore`."""
        saved = vars(owner).get(name, _MISSING)
        if saved is _MISSING:
            self.undo(lambda: delattr(owner, name))
        else:
            self.undo(lambda: setattr(owner, name, saved))
        setattr(owner, name, value)

    def undo(self, call: Callable[[], Any]) -> None:
        """Call something when everything is put back."""
        self._undos.append(call)

    def restore(self) -> None:
        """Put everything back."""
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(self)
        while self._undos:
            self._undos.pop()()

    def guarded(self, owner: Any, name: str, replacement: Replacement) -> None:
        """Call something else in the place of a function, in guarded threads."""
        self.replace(owner, name, self.call(getattr(owner, name), replacement))

    def call(self, original: Any, replacement: Replacement) -> Replacement:
        """A function that calls something else in guarded threads."""

        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            if GUARD.watches():
                return replacement(original, *args, **kwargs)
            return original(*args, **kwargs)

        return call

    def family(
        self,
        base: type,
        names: Iterable[str] | Callable[[type], Iterable[str]],
        replacement: Callable[[str], Replacement],
    ) -> None:
        """Replace methods of a class and of its subclasses, those of later ones too.

        Args:
            base: The class.
            names: Those of the methods, or what tells them for a class.
            replacement: What to call in the place of a method, by its name.
        """
        first: Any = base
        begun = vars(base).get("__init_subclass__")

        def change(owner: Any) -> None:
            for name in names(owner) if callable(names) else names:
                method = vars(owner).get(name)
                if isinstance(method, property) and method.fget:
                    read = self.call(method.fget, replacement(name))
                    self.replace(owner, name, property(read, method.fset, method.fdel))
                elif callable(method) and not isinstance(method, (staticmethod, type)):
                    self.guarded(owner, name, replacement(name))

        def begin(owner: Any, /, **kwargs: Any) -> None:
            if begun is None:
                super(first, owner).__init_subclass__(**kwargs)
            else:
                begun.__get__(None, owner)(**kwargs)
            change(owner)

        for owner in _descendants(base):
            change(owner)
        self.replace(base, "__init_subclass__", classmethod(begin))

    def late(self, name: str, change: Callable[[Any], None]) -> None:
        """Change a module now, or as soon as it is imported."""
        if name in sys.modules:
            _try(change, sys.modules[name])
        else:
            self._late[name] = change

    def find_spec(
        self, name: str, path: Any, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find what is to be changed, and let it be changed when it is there."""
        change = self._late.pop(name, None)
        if change is None:
            return None
        spec = importlib.util.find_spec(name)
        loader: Any = spec and spec.loader
        if loader is not None:
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                _try(change, module)

            loader.exec_module = exec_module
        return spec


def _try(change: Callable[[Any], None], module: Any) -> None:
    # A library of another age may lack the names; what it sends is refused anyway.
    with contextlib.suppress(AttributeError):
        change(module)


def _descendants(base: type) -> list[type]:
    found: dict[type, None] = {base: None}
    several = [base]
    while several:
        below: list[type] = several.pop().__subclasses__()
        below = [owner for owner in below if owner not in found]
        found.update(dict.fromkeys(below))
        several += below
    return list(found)
