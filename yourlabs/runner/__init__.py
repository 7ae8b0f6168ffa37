"""
Run chains of plain functions for ever, with a cooldown after each.

The names are imported when they are first used: this package is imported while Django
is still being set up, and by modules of tasks that only want the decorator.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yourlabs.runner.core.exceptions import (
        AlreadyOwned,
        ChainNameTaken,
        InvalidTask,
        RunnerError,
        TakeOverTimeout,
        TaskNotFound,
        UnusableRunRoot,
    )
    from yourlabs.runner.core.records import (
        ExceptionCount,
        Failure,
        Recovery,
        Run,
        Stall,
    )
    from yourlabs.runner.core.status import ChainStatus, TaskStatus
    from yourlabs.runner.core.task import Chain, Options, Task
    from yourlabs.runner.declare import task
    from yourlabs.runner.runners import (
        Runner,
        chains,
        start_chain,
        stop_all,
        stop_chain,
    )
    from yourlabs.runner.signals import (
        chain_started,
        chain_stopped,
        task_failed,
        task_recovered,
        task_stalled,
        task_started,
        task_succeeded,
    )
    from yourlabs.runner.threads import RunnerThread

_HOMES = {
    "core.exceptions": (
        "AlreadyOwned",
        "ChainNameTaken",
        "InvalidTask",
        "RunnerError",
        "TakeOverTimeout",
        "TaskNotFound",
        "UnusableRunRoot",
    ),
    "core.records": ("ExceptionCount", "Failure", "Recovery", "Run", "Stall"),
    "core.status": ("ChainStatus", "TaskStatus"),
    "core.task": ("Chain", "Options", "Task"),
    "declare": ("task",),
    "runners": ("Runner", "chains", "start_chain", "stop_all", "stop_chain"),
    "signals": (
        "chain_started",
        "chain_stopped",
        "task_failed",
        "task_recovered",
        "task_stalled",
        "task_started",
        "task_succeeded",
    ),
    "threads": ("RunnerThread",),
}

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AlreadyOwned",
    "Chain",
    "ChainNameTaken",
    "ChainStatus",
    "ExceptionCount",
    "Failure",
    "InvalidTask",
    "Options",
    "Recovery",
    "Run",
    "Runner",
    "RunnerError",
    "RunnerThread",
    "Stall",
    "TakeOverTimeout",
    "Task",
    "TaskNotFound",
    "TaskStatus",
    "UnusableRunRoot",
    "chain_started",
    "chain_stopped",
    "chains",
    "start_chain",
    "stop_all",
    "stop_chain",
    "task",
    "task_failed",
    "task_recovered",
    "task_stalled",
    "task_started",
    "task_succeeded",
]


def __getattr__(name: str) -> Any:
    try:
        home = _HOME_OF[name]
    except KeyError:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg) from None
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
