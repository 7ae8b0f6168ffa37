"""From a dotted path, or a callable, to its task and to the options in force for it."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from importlib import import_module
from typing import Any

from yourlabs.runner import conf
from yourlabs.runner.chain.task import CHAIN_NAME, OPTIONS, Options, Task, innermost
from yourlabs.runner.chain.validation import path_of, why_refused
from yourlabs.runner.exceptions import InvalidTask, TaskNotFound


def load_tasks(functions: Iterable[str | Callable[[], Any]]) -> tuple[Task, ...]:
    """
    Return the tasks of `functions`, dotted paths or callables, in order.

    Raises:
        InvalidTask: One is neither, or leads to something that cannot be called.
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
        # A bound method is a new object each time, but one task all the same.
        known = (one for one in tasks if one.func == task.func)
        tasks.append(next(known, task))
    return tuple(tasks)


def load_task(function: str | Callable[[], Any]) -> Task:
    """Return the task of one dotted path or callable; raises as `load_tasks` does."""
    task = task_of(find(function) if isinstance(function, str) else function)
    try:
        signature = inspect.signature(task.func)
    except (TypeError, ValueError):
        # Some builtins have none.
        return task
    try:
        signature.bind()
    except TypeError as exc:
        msg = f"{task.path}{signature} cannot be called without arguments: {exc}."
        raise InvalidTask(msg) from None
    return task


def task_of(function: Any) -> Task:
    """
    Return the task of `function`, which need not have been decorated.

    Raises:
        InvalidTask: It cannot be called, or has no name.
    """
    made = getattr(function, "runner_task", None)
    if made is None:
        made = getattr(innermost(function), "runner_task", None)
    if isinstance(made, Task):
        if made.func is function:
            return made
        # A wrapper to which functools.wraps copied the attribute, a method that was
        # decorated in its class, or a partial: what was given is called.
        made = make_task(
            function, name=made.name, declared=made.declared, origin=made.sender
        )
    else:
        made = make_task(function)
    # A bound method or a builtin cannot keep it, and gets a new task each time.
    with contextlib.suppress(AttributeError, TypeError):
        function.runner_task = made
    return made


def make_task(
    function: Any,
    *,
    name: str | None = None,
    declared: Mapping[str, timedelta | None] | None = None,
    origin: Task | None = None,
) -> Task:
    reason = why_refused(function)
    if not reason and not callable(function):
        reason = f"{function!r} is no function: it cannot be called."
    if reason:
        raise InvalidTask(reason)
    inner, path = innermost(function), path_of(function)
    if name is None:
        # It may be unusable for a chain, as of a lambda: then the chain needs name=.
        name = str(getattr(inner, "__name__", type(inner).__name__))
    elif not isinstance(name, str) or not CHAIN_NAME.fullmatch(name):
        msg = (
            f"{name!r} cannot be the name of a task ({path}): expected letters, "
            "digits, '_', '-' and '.'. Give it another with task(name=...)."
        )
        raise InvalidTask(msg)
    return Task(function, path, name, declared or {}, options_for, origin)


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
    """Import the module; an error inside of it is not hidden."""
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

    A function that is imported elsewhere has several paths, also with other names. No
    module is imported to find out, unless the name is the function's own.
    """
    if path == task.path:
        return True
    module, _, name = path.rpartition(".")
    if name != getattr(task.func, "__name__", None) and module not in sys.modules:
        return False
    try:
        # Not `is`: a bound method is a new object each time.
        return bool(find(path) == task.func)
    except Exception:
        # The system check reports it; a broken entry must not stop this task.
        return False


def options_for(task: Task) -> Options:
    """
    Return the options of `task` that are in force on this server.

    ``RUNNER["TASKS"]`` wins over the decorator, which wins over ``RUNNER``, which
    wins over the defaults.

    Raises:
        ImproperlyConfigured: A setting is no duration, or not known.
    """
    values = {name: conf.option(name) for name in OPTIONS if name not in task.declared}
    values |= task.declared
    for path, adjusted in conf.task_settings().items():
        if is_path_of(path, task):
            values |= conf.check_task(path, adjusted)
            break
    return Options(**values)  # type: ignore[arg-type]
