"""From a dotted path to what it leads to."""

from __future__ import annotations

import difflib
import sys
from importlib import import_module
from typing import Any

from yourlabs.runner.chain.task import Task
from yourlabs.runner.exceptions import TaskNotFound


def find(path: str) -> Any:
    """
    Return what the dotted `path` leads to; importing it may raise anything.

    Raises:
        TaskNotFound: It leads nowhere.
    """
    module_name, _, name = path.rpartition(".")
    if not module_name or not all(part.isidentifier() for part in path.split(".")):
        msg = f"{path!r} is no dotted path to a function, like 'tasks.send_mail'."
        raise TaskNotFound(msg)
    owner = _import(module_name, path)
    try:
        return getattr(owner, name)
    except AttributeError:
        raise TaskNotFound(_not_in(owner, module_name, name)) from None


def _import(module_name: str, path: str) -> Any:
    """Import the module; what it raises itself while it is imported is not hidden."""
    try:
        return import_module(module_name)
    except ModuleNotFoundError as exc:
        missing = exc.name or ""
        if module_name != missing and not module_name.startswith(f"{missing}."):
            raise
        parent, _, attribute = module_name.rpartition(".")
        # A function in a class: the last but one part is no module.
        owner = sys.modules.get(parent)
        if owner is not None and hasattr(owner, attribute):
            return getattr(owner, attribute)
        msg = f"There is no module {missing!r}, so {path!r} cannot be found."
        raise TaskNotFound(msg) from None


def _not_in(owner: Any, module_name: str, name: str) -> str:
    names = [key for key in dir(owner) if callable(getattr(owner, key, None))]
    close = difflib.get_close_matches(name, names, n=1)
    kind = "class" if isinstance(owner, type) else type(owner).__name__
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return f"There is no function {name!r} in the {kind} {module_name!r}{hint}"


def is_path_of(path: str, task: Task) -> bool:
    """
    Say whether the dotted `path` leads to the function of `task`.

    A function may be imported elsewhere and be known by several paths, also by other
    names. To find out, no module is imported but where the name is the function's own.
    """
    if path == task.path:
        return True
    module, _, name = path.rpartition(".")
    if name != getattr(task.func, "__name__", None) and module not in sys.modules:
        return False
    try:
        # A bound method is another object each time, which is equal.
        return bool(find(path) == task.func)
    except Exception:
        # Told by the system check; a broken neighbour must not stop this task.
        return False
