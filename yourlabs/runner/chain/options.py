"""Which options of a task are in force on this server."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from yourlabs.runner import conf
from yourlabs.runner.chain.paths import is_path_of
from yourlabs.runner.chain.task import OPTIONS, Options, Task


def options_for(task: Task) -> Options:
    """
    Return the options of `task` that are in force on this server.

    ``RUNNER["TASKS"]`` wins over the decorator, which wins over ``RUNNER``, which
    wins over the defaults.

    Raises:
        ImproperlyConfigured: A setting is no duration, or not known.
    """
    adjusted = _adjusted(task)
    values = {name: _option(name, task, adjusted) for name in OPTIONS}
    return Options(**values)  # type: ignore[arg-type]


def _option(name: str, task: Task, adjusted: Mapping[str, Any]) -> timedelta | None:
    if name in adjusted:
        return conf.duration(f"RUNNER['TASKS'][{task.path!r}]", name, adjusted[name])
    if name in task.declared:
        return task.declared[name]
    return conf.option(name)


def _adjusted(task: Task) -> Mapping[str, Any]:
    for path, options in conf.task_settings().items():
        if is_path_of(path, task):
            conf.check_task(path, options)
            return options  # type: ignore[no-any-return]
    return {}
