"""
Run chains of plain functions for ever, with a cooldown after each.

The names are imported when they are first used: this package is imported while Django
is still being set up, and by modules of tasks that only want the decorator.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_NAMES = {
    "chain.command": "Runner",
    "chain.decorator": "task",
    "chain.registry": "chains start_chain stop_all stop_chain",
    "chain.running": "token",
    "chain.status": "ChainStatus TaskStatus",
    "chain.task": "Chain Options Task",
    "chain.thread": "RunnerThread",
    "exceptions": (
        "AlreadyOwned ChainNameTaken ChainPaused ChainRuns InvalidTask RunnerError "
        "TakeOverTimeout TaskNotFound UnknownChain UnusableDatabase UnusableRunRoot"
    ),
    "failures.records": "ExceptionCount Failure Recovery Run Stall",
    "signals": (
        "chain_started chain_stopped task_failed task_recovered task_stalled "
        "task_started task_succeeded"
    ),
    "steer.control": "forget pause resume silence unsilence wake",
    "steer.document": "status",
}
"""The public names of each module of this package."""

_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}

if TYPE_CHECKING:
    from yourlabs.runner.chain.command import Runner as Runner
    from yourlabs.runner.chain.decorator import task as task
    from yourlabs.runner.chain.registry import chains as chains
    from yourlabs.runner.chain.registry import start_chain as start_chain
    from yourlabs.runner.chain.registry import stop_all as stop_all
    from yourlabs.runner.chain.registry import stop_chain as stop_chain
    from yourlabs.runner.chain.running import token as token
    from yourlabs.runner.chain.status import ChainStatus as ChainStatus
    from yourlabs.runner.chain.status import TaskStatus as TaskStatus
    from yourlabs.runner.chain.task import Chain as Chain
    from yourlabs.runner.chain.task import Options as Options
    from yourlabs.runner.chain.task import Task as Task
    from yourlabs.runner.chain.thread import RunnerThread as RunnerThread
    from yourlabs.runner.exceptions import AlreadyOwned as AlreadyOwned
    from yourlabs.runner.exceptions import ChainNameTaken as ChainNameTaken
    from yourlabs.runner.exceptions import ChainPaused as ChainPaused
    from yourlabs.runner.exceptions import ChainRuns as ChainRuns
    from yourlabs.runner.exceptions import InvalidTask as InvalidTask
    from yourlabs.runner.exceptions import RunnerError as RunnerError
    from yourlabs.runner.exceptions import TakeOverTimeout as TakeOverTimeout
    from yourlabs.runner.exceptions import TaskNotFound as TaskNotFound
    from yourlabs.runner.exceptions import UnknownChain as UnknownChain
    from yourlabs.runner.exceptions import UnusableDatabase as UnusableDatabase
    from yourlabs.runner.exceptions import UnusableRunRoot as UnusableRunRoot
    from yourlabs.runner.failures.records import ExceptionCount as ExceptionCount
    from yourlabs.runner.failures.records import Failure as Failure
    from yourlabs.runner.failures.records import Recovery as Recovery
    from yourlabs.runner.failures.records import Run as Run
    from yourlabs.runner.failures.records import Stall as Stall
    from yourlabs.runner.signals import chain_started as chain_started
    from yourlabs.runner.signals import chain_stopped as chain_stopped
    from yourlabs.runner.signals import task_failed as task_failed
    from yourlabs.runner.signals import task_recovered as task_recovered
    from yourlabs.runner.signals import task_stalled as task_stalled
    from yourlabs.runner.signals import task_started as task_started
    from yourlabs.runner.signals import task_succeeded as task_succeeded
    from yourlabs.runner.steer.control import forget as forget
    from yourlabs.runner.steer.control import pause as pause
    from yourlabs.runner.steer.control import resume as resume
    from yourlabs.runner.steer.control import silence as silence
    from yourlabs.runner.steer.control import unsilence as unsilence
    from yourlabs.runner.steer.control import wake as wake
    from yourlabs.runner.steer.document import status as status
else:
    __all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
