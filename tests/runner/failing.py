"""Everything that a task can raise."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable
from typing import Any, NoReturn

from django.core.exceptions import ValidationError
from django.db import OperationalError

from yourlabs.runner import task

EXCEPTION_GROUP: Any = getattr(builtins, "ExceptionGroup", None)
"""None before Python 3.11."""


class Unprintable(RuntimeError):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Exiting(Exception):
    """Its text ends the interpreter."""

    def __str__(self) -> str:
        raise SystemExit(3)


class Wordless(Exception):
    """Its text is none."""

    def __str__(self) -> str:
        return None  # type: ignore[return-value]


class Untouchable(Exception):
    """No attribute of it can be had."""

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(3)


class Unsettable(Exception):
    """Nothing can be set on it."""

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise KeyboardInterrupt

    def with_traceback(self, tb: object) -> NoReturn:
        raise KeyboardInterrupt


class Lying(Exception):
    """It claims to be of another class."""

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise GeneratorExit


class OwnBase(BaseException):
    """Derived from the base of all exceptions."""


def raising(exc: BaseException | type[BaseException]) -> Callable[[], NoReturn]:
    def fail() -> NoReturn:
        raise exc

    return fail


def recursion() -> None:
    recursion()


def memory() -> object:
    return bytearray(2**62)


def grouped() -> None:
    raise EXCEPTION_GROUP(
        "many", [ValueError("one"), EXCEPTION_GROUP("few", [KeyError("two")])]
    )


def cyclic() -> None:
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


def self_caused() -> None:
    exc = ValueError("mine")
    exc.__cause__ = exc.__context__ = exc
    raise exc


def long_chain() -> None:
    exc: BaseException = OSError("the root")
    for number in range(5_000):
        above = ValueError(number)
        above.__cause__ = exc
        exc = above
    raise exc


def in_handler() -> None:
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        raise SystemExit("while handling") from None


async def cancelled() -> None:
    raise asyncio.CancelledError


async def awaited_exit() -> None:
    await asyncio.sleep(0)
    raise SystemExit(5)


async def awaited_interrupt() -> None:
    await asyncio.sleep(0)
    raise KeyboardInterrupt


async def awaited_failure() -> None:
    await asyncio.sleep(0)
    raise ValueError("awaited")


FAILING: dict[str, Callable[..., Any]] = {
    "exception": raising(Exception("plain")),
    "class": raising(ValueError),
    "base": raising(OwnBase("base")),
    "exit": raising(SystemExit(3)),
    "interrupt": raising(KeyboardInterrupt()),
    "generator_exit": raising(GeneratorExit()),
    "stop_iteration": raising(StopIteration()),
    "stop_async_iteration": raising(StopAsyncIteration()),
    "cancelled_error": raising(asyncio.CancelledError()),
    "recursion": recursion,
    "memory": memory,
    "memory_raised": raising(MemoryError()),
    "cyclic": cyclic,
    "self_caused": self_caused,
    "long_chain": long_chain,
    "in_handler": in_handler,
    "unprintable": raising(Unprintable("x")),
    "exiting": raising(Exiting("x")),
    "wordless": raising(Wordless("x")),
    "untouchable": raising(Untouchable("x")),
    "unsettable": raising(Unsettable("x")),
    "lying": raising(Lying("x")),
    "huge": raising(ValueError("x" * 10_000_000)),
    "surrogates": raising(ValueError("\ud800 \udfff \0 \x1b[31m \r\n Bcc: x@y")),
    "header": raising(ValueError("Subject\nBcc: victim@example.com")),
    "undecodable": raising(UnicodeDecodeError("utf-8", b"\xff" * 1_000, 0, 1, "bad")),
    "validation": raising(ValidationError({"name": ["bad"]})),
    "database": raising(OperationalError("server closed the connection")),
    "shutdown": raising(
        RuntimeError("cannot schedule futures after interpreter shutdown")
    ),
    "syntax": raising(SyntaxError("bad", ("file.py", 1, 2, "def f(:", 1, 3))),
    "async_cancelled": cancelled,
    "async_exit": awaited_exit,
    "async_interrupt": awaited_interrupt,
    "async_failure": awaited_failure,
}
if EXCEPTION_GROUP is not None:
    FAILING["group"] = grouped
    FAILING["base_group"] = raising(
        getattr(builtins, "BaseExceptionGroup")("b", [SystemExit(1), OwnBase()])  # noqa: B009
    )


def _with_a_path(name: str, function: Callable[..., Any]) -> None:
    """Make `function` one of this module, to be found by a dotted path."""

    def call() -> Any:
        # A coroutine is awaited by the runner.
        return function()

    call.__name__ = call.__qualname__ = f"raise_{name}"
    globals()[call.__name__] = task(success_cooldown=0, fail_cooldown=0)(call)


for _name, _function in FAILING.items():
    _with_a_path(_name, _function)
