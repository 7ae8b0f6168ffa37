"""The decorator that makes a task of a function."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar, overload

from yourlabs.runner.chain.loading import make_task
from yourlabs.runner.chain.task import as_option
from yourlabs.runner.chain.validation import why_refused
from yourlabs.runner.exceptions import InvalidTask

F = TypeVar("F", bound=Callable[..., Any])

Duration = timedelta | float

UNSET: Any = object()
"""Not given: the settings decide. None has a meaning for `max_duration`."""


@overload
def task(func: F) -> F: ...


@overload
def task(
    func: None = None,
    *,
    success_cooldown: Duration = ...,
    fail_cooldown: Duration = ...,
    non_recoverable_downtime: Duration = ...,
    max_duration: Duration | None = ...,
    name: str | None = None,
) -> Callable[[F], F]: ...


def task(
    func: F | None = None,
    *,
    success_cooldown: Duration = UNSET,
    fail_cooldown: Duration = UNSET,
    non_recoverable_downtime: Duration = UNSET,
    max_duration: Duration | None = UNSET,
    name: str | None = None,
) -> F | Callable[[F], F]:
    """
    Make a task of a function: ``@task`` or ``@task(fail_cooldown=60)``.

    The same function is returned and can be called as before; its `Task` is its
    attribute ``runner_task``. ``async def`` functions are taken too. Every duration is
    a `timedelta` or a number of seconds; what is not given comes from the setting
    ``RUNNER``, and ``RUNNER["TASKS"]`` wins over what is given.

    Args:
        func: The function; it is called without arguments. When it returns ``True``
            it has more to do, and is run again without a cooldown.
        success_cooldown: Wait after a run that succeeded. Default: 5 minutes.
        fail_cooldown: Wait after a run that failed. Default: 20 minutes.
        non_recoverable_downtime: How long it may be down until the admins are
            reminded, and each time again. Default: 12 hours.
        max_duration: A run that takes longer is reported as stalled. None: never.
        name: What it is called in logs and mails. None: the function's name.

    Raises:
        InvalidTask: An option is no duration, or the name is not usable. It is a
            `ValueError`.
    """
    if func is not None and not callable(func):
        reason = f"@task was called with {func!r}: options are given by keyword."
        raise InvalidTask(why_refused(func) or reason)
    given = {
        "success_cooldown": success_cooldown,
        "fail_cooldown": fail_cooldown,
        "non_recoverable_downtime": non_recoverable_downtime,
        "max_duration": max_duration,
    }
    declared = {
        option: as_option(option, value)
        for option, value in given.items()
        if value is not UNSET
    }
    decorate = partial(_decorate, name=name, declared=declared)
    return decorate if func is None else decorate(func)


def _decorate(function: F, **options: Any) -> F:
    # Above @staticmethod or @classmethod: what is found in the class is inside.
    inside: Any = function
    if isinstance(function, (staticmethod, classmethod)):
        inside = function.__func__
    made = make_task(inside, **options)
    try:
        inside.runner_task = made
    except (AttributeError, TypeError):
        msg = f"{function!r} cannot be decorated: wrap it in a plain function."
        raise InvalidTask(msg) from None
    return function
