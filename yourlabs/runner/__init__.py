"""
Run chains of plain functions for ever, with a cooldown after each.

The names are imported when they are first used: this package is imported while Django
is still being set up, and by modules of tasks that only want the decorator.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yourlabs.runner.chain.command import Runner
    from yourlabs.runner.chain.decorator import task
    from yourlabs.runner.chain.registry import (
        chains,
        start_chain,
        stop_all,
        stop_chain,
    )
    from yourlabs.runner.chain.status import ChainStatus, TaskStatus
    from yourlabs.runner.chain.task import Chain, Options, Task
    from yourlabs.runner.chain.thread import RunnerThread
    from yourlabs.runner.chain.token import token
    from yourlabs.runner.exceptions import (
        AlreadyOwned,
        ChainNameTaken,
        ChainPaused,
        ChainRuns,
        InvalidTask,
        RunnerError,
        TakeOverTimeout,
        TaskNotFound,
        UnknownChain,
        UnusableDatabase,
        UnusableRunRoot,
    )
    from yourlabs.runner.failures.records import (
        ExceptionCount,
        Failure,
        Recovery,
        Run,
        Stall,
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
    from yourlabs.runner.steer.control import (
        forget,
        pause,
        resume,
        silence,
        unsilence,
        wake,
    )
    from yourlabs.runner.steer.document import status

_HOMES = {
    "exceptions": (
        "AlreadyOwned",
        "ChainNameTaken",
        "ChainPaused",
        "ChainRuns",
        "InvalidTask",
        "RunnerError",
        "TakeOverTimeout",
        "TaskNotFound",
        "UnknownChain",
        "UnusableDatabase",
        "UnusableRunRoot",
    ),
    "failures.records": ("ExceptionCount", "Failure", "Recovery", "Run", "Stall"),
    "chain.status": ("ChainStatus", "TaskStatus"),
    "chain.task": ("Chain", "Options", "Task"),
    "chain.decorator": ("task",),
    "chain.command": ("Runner",),
    "chain.token": ("token",),
    "chain.registry": ("chains", "start_chain", "stop_all", "stop_chain"),
    "signals": (
        "chain_started",
        "chain_stopped",
        "task_failed",
        "task_recovered",
        "task_stalled",
        "task_started",
        "task_succeeded",
    ),
    "chain.thread": ("RunnerThread",),
    "steer.control": ("forget", "pause", "resume", "silence", "unsilence", "wake"),
    "steer.document": ("status",),
}

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AlreadyOwned",
    "Chain",
    "ChainNameTaken",
    "ChainPaused",
    "ChainRuns",
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
    "UnknownChain",
    "UnusableDatabase",
    "UnusableRunRoot",
    "chain_started",
    "chain_stopped",
    "chains",
    "forget",
    "pause",
    "resume",
    "silence",
    "start_chain",
    "status",
    "stop_all",
    "stop_chain",
    "task",
    "task_failed",
    "task_recovered",
    "task_stalled",
    "task_started",
    "task_succeeded",
    "token",
    "unsilence",
    "wake",
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
