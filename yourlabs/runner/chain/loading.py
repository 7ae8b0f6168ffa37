"""From a dotted path, or a callable, to its task."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from yourlabs.runner.chain.decorator import task_of
from yourlabs.runner.chain.paths import find
from yourlabs.runner.chain.task import Task
from yourlabs.runner.exceptions import InvalidTask


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
    task = task_of(find(function) if isinstance(function, str) else function)
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
