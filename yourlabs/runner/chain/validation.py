"""Objects that can be called, and would do nothing then: what to give instead."""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
from typing import Any

from yourlabs.runner.chain.task import innermost

# What a call returns if its work only begins with another call or a loop.
LAZY_RESULTS: tuple[type, ...] = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.GeneratorType,
    types.AsyncGeneratorType,
    functools.partial,
    type,
    map,
    filter,
)


def path_of(function: Any) -> str:
    """Return the dotted path of a function, or of the class of another callable."""
    inner = innermost(function)
    qualified = getattr(inner, "__qualname__", type(inner).__qualname__)
    return f"{getattr(inner, '__module__', None) or 'builtins'}.{qualified}"


def why_refused(function: Any) -> str:
    """Return why to call `function` would do nothing; empty: nothing is known."""
    inner = innermost(function)
    commands = _bases(inner, "django.core.management.base", "BaseCommand")
    if commands:
        name = str(commands[0].__module__).rpartition(".")[2]
        return (
            f"{path_of(commands[0])} is a management command: give a function that "
            f"calls django.core.management.call_command({name!r})."
        )
    if isinstance(inner, type):
        return (
            f"{path_of(inner)} is a class: a call would only make an object. Give a "
            "function that makes it and calls a method of it."
        )
    if _bases(inner, "celery.", "Task"):
        return (
            f"{path_of(inner)} is a Celery task: give a function that calls its "
            "delay(), which enqueues it, or the plain function below @shared_task."
        )
    if _bases(inner, "django.tasks.", "Task") or _bases(inner, "django_tasks.", "Task"):
        return (
            f"{inner.func.__module__}.{inner.func.__qualname__} is a task of "
            "django.tasks: give a function that calls its enqueue(), or the plain "
            "function below @task."
        )
    called = inner if inspect.isroutine(inner) else getattr(inner, "__call__", inner)  # noqa: B004
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        return (
            f"{path_of(function)} is a generator function: a call would run nothing "
            "of it. Give a function that loops over it."
        )
    return ""


def _bases(value: Any, module: str, name: str) -> list[type]:
    """Return the class of `value` and its bases, if one is `name` of `module`."""
    # `__class__`, as proxies have it, and not `type`: Celery hands proxies out.
    kind = value if isinstance(value, type) else getattr(value, "__class__", type)
    mro: list[type] = list(getattr(kind, "__mro__", ()))
    known = any(
        f"{one.__module__}.".startswith(module) and one.__name__ == name for one in mro
    )
    return mro if known else []


def why_nothing_ran(function: Any, result: Any) -> str:
    """Return why the call that returned `result` did nothing; empty: it did."""
    kind = type(result)
    is_context = issubclass(kind, contextlib._GeneratorContextManager)
    if not is_context and not issubclass(kind, LAZY_RESULTS):
        return ""
    what = "a context manager" if is_context else f"a {type(result).__name__}"
    return (
        f"{path_of(function)} returned {what}, so that its work has not been done. "
        "Give a function that does the work when it is called."
    )
