"""Whatever can be called without arguments can be a task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial, wraps
from typing import Any

import pytest

from yourlabs.runner.chain.decorator import task
from yourlabs.runner.chain.loading import task_of
from yourlabs.runner.chain.task import Task, make_chain
from yourlabs.runner.exceptions import InvalidTask


def sync() -> str:
    """Do next to nothing."""
    return "done"


@dataclass
class Callme:
    """A callable object that has no hash."""

    answer: str = "done"

    def __call__(self) -> str:
        return self.answer

    def method(self) -> str:
        return self.answer

    @task(fail_cooldown=3)
    def decorated(self) -> str:
        return self.answer


class Slotted:
    """A callable object that takes no attributes."""

    __slots__ = ()

    def __call__(self) -> str:
        return "done"


def declared(function: Any) -> Task:
    made: Task = function.runner_task
    return made


def test_bare() -> None:
    """The bare decorator returns the same function, with its task."""

    def function() -> str:
        return "done"

    decorated = task(function)

    assert decorated is function
    assert function() == "done"
    made = declared(function)
    assert made.func is function
    assert made.name == "function"
    assert made.path.endswith("test_bare.<locals>.function")
    assert made.declared == {}


def test_called_without_options() -> None:
    """The decorator may be called without options."""

    @task()
    def function() -> None:
        """Do nothing."""

    assert declared(function).declared == {}


def test_options() -> None:
    """Options are kept as they were declared, as durations."""

    @task(
        success_cooldown=timedelta(days=1, minutes=1),
        fail_cooldown=0.5,
        non_recoverable_downtime=60,
        max_duration=None,
        name="sync-all",
    )
    def function() -> None:
        """Do nothing."""

    made = declared(function)
    assert made.name == "sync-all"
    assert made.declared == {
        "success_cooldown": timedelta(seconds=86_460),
        "fail_cooldown": timedelta(seconds=0.5),
        "non_recoverable_downtime": timedelta(minutes=1),
        "max_duration": None,
    }


@pytest.mark.parametrize("option", ["success_cooldown", "fail_cooldown"])
def test_bad_option(option: str) -> None:
    """A bad option is an error where it is declared, with its name and value."""
    with pytest.raises(InvalidTask, match=f"{option} is 'soon'"):
        task(**{option: "soon"})  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["", "a b", "../up", "a/b", ".", 5, "<lambda>"])
def test_bad_name(name: Any) -> None:
    """A name that cannot be a file's is an error where it is declared."""
    with pytest.raises(InvalidTask, match=r"Give it another with task\(name"):
        task(name=name)(partial(sync))


def test_options_by_position() -> None:
    """An option that is given by position is told apart from a function."""
    with pytest.raises(InvalidTask, match="called with 60: options are given by keyw"):
        task(60)  # type: ignore[call-overload]


def test_lambda() -> None:
    """A lambda is a task; where it has no name, its chain needs one."""
    nameless = task_of(lambda: "done")
    with pytest.raises(InvalidTask, match="'<lambda>' cannot be the name of a chain"):
        make_chain([nameless])
    assert make_chain([nameless], name="nap").tasks == (nameless,)
    function = task(name="nap")(lambda: "done")

    assert declared(function).name == "nap"
    assert task_of(function).func() == "done"


def test_partial() -> None:
    """A partial is a task, of the path of its function."""
    assert task_of(partial(partial(sync))).name == "sync"
    assert task_of(partial(partial(sync))).path == f"{__name__}.sync"
    function = task(name="part")(partial(sync))

    assert task_of(function) is declared(function)
    assert task_of(function).name == "part"


def test_partial_of_a_task() -> None:
    """It has the options and the sender of the task."""

    @task(name="special", fail_cooldown=7)
    def function() -> str:
        return "done"

    made = task_of(partial(function))

    assert (made.name, made.fail_cooldown) == ("special", timedelta(seconds=7))
    assert made.func() == "done"
    assert made.sender is declared(function)


def test_callable_object() -> None:
    """An object without a hash is a task, of the path and the name of its class."""
    assert task_of(Callme()).name == "Callme"
    function = task(name="call_me")(Callme())

    assert task_of(function).name == "call_me"
    assert task_of(function).path == f"{__name__}.Callme"
    assert task_of(function).func() == "done"


def test_slotted_object() -> None:
    """An object that takes no attribute cannot be decorated, and is told so."""
    with pytest.raises(InvalidTask, match="cannot be decorated: wrap it in a plain"):
        task(name="slotted")(Slotted())


def test_bound_method() -> None:
    """A bound method is a task of its own object."""
    first, second = Callme("first"), Callme("second")

    assert task_of(first.method).name == "method"
    assert task_of(first.method).func() == "first"
    assert task_of(second.method).func() == "second"


def test_decorated_method() -> None:
    """A method that was decorated in its class keeps its options when it is bound."""
    made = task_of(Callme("bound").decorated)

    assert made.func() == "bound"
    assert made.name == "decorated"
    assert made.declared == {"fail_cooldown": timedelta(seconds=3)}


def test_wrapped() -> None:
    """A wrapper of a task is what is called, with the options of the task."""

    @task(name="inner", fail_cooldown=5)
    def inner() -> str:
        return "inner"

    @wraps(inner)
    def wrapper() -> str:
        return f"wrapped {inner()}"

    made = task_of(wrapper)

    assert made.func() == "wrapped inner"
    assert made.name == "inner"
    assert made.declared == {"fail_cooldown": timedelta(seconds=5)}
    assert task_of(wrapper) is made
    assert task_of(inner).func() == "inner"


def test_wrapped_before() -> None:
    """Decorated above a wrapper, the wrapper is the task."""

    def logged(function: Callable[[], str]) -> Callable[[], str]:
        @wraps(function)
        def wrapper() -> str:
            return f"logged {function()}"

        return wrapper

    @task
    @logged
    def function() -> str:
        return "done"

    assert task_of(function).func() == "logged done"
    assert task_of(function).name == "function"


def test_static_and_class_methods() -> None:
    """Static and class methods are tasks, decorated on either side."""

    class Office:
        @staticmethod
        @task
        def inside() -> str:
            return "inside"

        @task(fail_cooldown=7)
        @staticmethod
        def outside() -> str:
            return "outside"

        @task(fail_cooldown=8)
        @classmethod
        def whole(cls) -> str:
            return cls.__name__

    assert task_of(Office.inside).func() == "inside"
    assert task_of(Office.outside).func() == "outside"
    assert task_of(Office.outside).fail_cooldown == timedelta(seconds=7)
    assert task_of(Office.whole).func() == "Office"
    assert task_of(Office.whole).fail_cooldown == timedelta(seconds=8)


def test_async() -> None:
    """A coroutine function is a task and can still be awaited."""

    @task(fail_cooldown=1)
    async def function() -> str:
        return "done"

    assert asyncio.run(function()) == "done"
    assert task_of(function).name == "function"
