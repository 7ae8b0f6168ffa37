"""Tasks, their options, and the chains they make."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any

from yourlabs.runner.exceptions import InvalidTask

# What a chain's name is made of: it is the stem of its files in RUN_ROOT.
CHAIN_NAME = re.compile(r"[\w-][\w.-]*", re.ASCII)
DOWN = ".down"  # ends the name under which it is kept that a chain cannot run
MAX_NAME = 200  # longest name of a chain, in characters: a file name has 255 bytes


@dataclass(frozen=True, slots=True)
class Options:
    """What can be adjusted of a task; durations are `timedelta`."""

    success_cooldown: timedelta = timedelta(minutes=5)
    """Wait after a run that succeeded."""

    fail_cooldown: timedelta = timedelta(minutes=20)
    """Wait after a run that failed."""

    non_recoverable_downtime: timedelta = timedelta(hours=12)
    """How long a task may be down before the admins are reminded of it."""

    max_duration: timedelta | None = None
    """A run that takes longer is reported as stalled. None: never."""


NEVER_ZERO = ("non_recoverable_downtime", "max_duration")
OPTIONS = tuple(field.name for field in fields(Options))  # the names of the options


def as_option(name: str, value: object) -> timedelta | None:
    """
    Return the option `name`, given as a `timedelta` or in seconds, as a duration.

    Raises:
        InvalidTask: It is none, negative, not finite, or zero in `NEVER_ZERO`. None is
            one for `max_duration` only.
    """
    if value is None and name == "max_duration":
        return None
    duration, problem = timedelta(), ""
    if isinstance(value, timedelta):
        duration = value
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        kind = type(value).__name__
        problem = f" ({kind}): expected a timedelta or a number of seconds."
    elif isinstance(value, float) and not math.isfinite(value):
        problem = ": expected a finite number of seconds."
    else:
        try:
            duration = timedelta(seconds=value)
        except OverflowError:
            problem = " seconds: that is longer than a timedelta can hold."
    if duration < timedelta():
        problem = ": a duration cannot be negative."
    elif not (duration or problem) and name in NEVER_ZERO:
        problem = ": it must be longer than zero."
    if problem:
        msg = f"{name} is {value!r}{problem}"
        raise InvalidTask(msg)
    return duration


def innermost(function: Any) -> Any:
    """Return what a `functools.partial` calls in the end; anything else as it is."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


@dataclass(frozen=True, eq=False)
class Task:
    """
    A function and what the runner knows of it. There is one for each function.

    It is the sender of the task signals, which compare senders by identity, so two
    tasks are equal only if they are the same one.
    """

    func: Callable[[], Any]
    """What is called, without arguments."""

    path: str
    """Dotted path of the function."""

    name: str
    """What the task is called in logs, mails and in its chain's name."""

    declared: Mapping[str, timedelta | None] = field(default_factory=dict)
    """The options that were given to the decorator, and no others."""

    resolve: Callable[[Task], Options] = field(
        default=lambda task: Options(**task.declared), repr=False
    )
    """Says which options are in force now: settings can adjust what was declared."""

    origin: Task | None = field(default=None, repr=False)
    """The task of the decorated function, where this is one of a wrapper around it, or
    of a method that is bound. None: this is the one."""

    @property
    def sender(self) -> Task:
        """The sender of its signals: what is ``runner_task`` of the function."""
        return self.origin or self

    @property
    def options(self) -> Options:
        """What the settings say now; a chain keeps to what it was made with."""
        return self.resolve(self)

    @property
    def success_cooldown(self) -> timedelta:
        """Wait after a run that succeeded, as it is in force."""
        return self.options.success_cooldown

    @property
    def fail_cooldown(self) -> timedelta:
        """Wait after a run that failed, as it is in force."""
        return self.options.fail_cooldown

    @property
    def non_recoverable_downtime(self) -> timedelta:
        """Time between two reminders of one downtime, as it is in force."""
        return self.options.non_recoverable_downtime

    @property
    def max_duration(self) -> timedelta | None:
        """Longest run that is not reported as stalled; None: any."""
        return self.options.max_duration

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, eq=False, slots=True)
class Chain:
    """Tasks that run in order, for ever, under one name."""

    name: str
    tasks: tuple[Task, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """The dotted paths of the functions: what makes two chains the same."""
        return tuple(task.path for task in self.tasks)

    def keys(self) -> dict[Task, str]:
        """
        Return the key of each task in the chain's state.

        It is the dotted path of the function; for functions that a factory made, which
        share one, the path and the name. If that is shared, too, as by methods of two
        objects, a number follows, in their order.
        """
        keys: dict[Task, str] = {}
        for task in dict.fromkeys(self.tasks):
            path, _, last = task.path.rpartition(".")
            is_made = path.endswith("<locals>") and last != task.name
            first = key = f"{task.path}:{task.name}" if is_made else task.path
            number = 1
            while key in keys.values():
                number += 1
                key = f"{first}:{number}"
            keys[task] = key
        return keys

    def index_of(self, path: str, index: int) -> int:
        """Return where the function of `path` is in it: at `index` if it can be."""
        paths = self.paths
        # The same function may come twice, and a deploy may have changed the chain.
        return index if paths[index : index + 1] == (path,) else paths.index(path)


def make_chain(tasks: Sequence[Task], *, name: str | None = None) -> Chain:
    """
    Return the chain of `tasks`, called `name` or the tasks' names joined by `_`.

    Raises:
        InvalidTask: There is no task, or the name cannot be a file's name.
    """
    if not tasks:
        msg = "A chain needs at least one function; none was given."
        raise InvalidTask(msg)
    chain_name = "_".join(task.name for task in tasks) if name is None else name
    msg = f"{chain_name!r} cannot be the name of a chain: "
    if not isinstance(chain_name, str) or not CHAIN_NAME.fullmatch(chain_name):
        msg += "expected letters, digits, '_', '-' and '.', not beginning with '.'."
    elif chain_name.endswith(DOWN):
        msg += f"under names that end with {DOWN!r} it is kept that one cannot run."
    elif len(chain_name) > MAX_NAME:
        msg = (
            f"The name of the chain has {len(chain_name)} characters, at most "
            f"{MAX_NAME} can be a file's name."
        )
    else:
        return Chain(chain_name, tuple(tasks))
    raise InvalidTask(f"{msg} Choose another with name=.")
