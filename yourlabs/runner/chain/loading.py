"""From a dotted path, or a callable, to its task."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from yourlabs.runner.chain.decorator import task_of
from yourlabs.runner.chain.task import Task
from yourlabs.runner.exceptions import InvalidTask, TaskNotFound


def load_tasks(functions: Iterable[str | Callable[[], Any]]) -> tuple[Task, ...]:
    """
    Return the tasks of `functions`, in order.

    Args:
        functions: Dotted paths or callables.

    Raises:
        InvalidTask: One of them is neither, or leads to something that cannot be
            called.
        TaskNotFound: A path leads nowhere.
    """
    if isinstance(functions, str):
        msg = f"{functions!r} is one string: expected a list, [{functions!r}]."
        raise InvalidTask(msg)
    if not isinstance(functions, Iterable):
        msg = f"{functions!r} is no list of functions: expected [{functions!r}]."
        raise InvalidTask(msg)
    tasks: list[Task] = []
    for task in map(load_task, functions):
        # A bound method is another object each time: there is one task for it all the
        # same, which is down, or up, as a whole.
        known = (one for one in tasks if one.func == task.func)
        tasks.append(next(known, task))
    return tuple(tasks)


def load_task(function: str | Callable[[], Any]) -> Task:
    """Return the task of one dotted path or callable; raises as `load_tasks` does."""
    task = task_of(_find(function) if isinstance(function, str) else function)
    _check_arguments(task)
    return task


def _check_arguments(task: Task) -> None:
    try:
        signature = inspect.signature(task.func)
    except (TypeError, ValueError):
        # Some builtins have none.
        return
    try:
        signature.bind()
    except TypeError as exc:
        msg = f"{task.path}{signature} cannot be called without arguments: {exc}."
        raise InvalidTask(msg) from None


def _find(path: str) -> Any:
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
        # A bound method is another object, and another task, each time.
        return bool(load_task(path).func == task.func)
    except Exception:
        # Told by the system check; a broken neighbour must not stop this task.
        return False
