"""What can be called and does nothing then is refused, with what to give instead."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import celery
import pytest
from django.core.management import BaseCommand
from django.core.management.commands.check import Command as CheckCommand

from tests.runner.fakes import make, quick
from yourlabs.runner import start_chain
from yourlabs.runner.chain.decorator import task
from yourlabs.runner.chain.validation import why_nothing_ran
from yourlabs.runner.exceptions import InvalidTask


@pytest.fixture(autouse=True)
def no_mail(settings: Any) -> None:
    """Failures are looked at, not mailed."""
    settings.RUNNER = {"EMAIL": False}


queue = celery.Celery("refused", broker="memory://")


@celery.shared_task
def shared() -> None:
    """Do nothing."""


@queue.task(bind=True)
def bound(self: Any) -> None:
    """Do nothing."""


class Job:
    """Does its work when it is run."""

    def run(self) -> None:
        """Do nothing."""


class Rows:
    """An object that is called."""

    def __call__(self) -> Iterator[int]:
        yield 1


def generate() -> Iterator[int]:
    yield 1


async def generate_later() -> AsyncIterator[int]:
    yield 1


class Command(BaseCommand):
    """A command of a project."""


class QueuedTask:
    """What django.tasks makes of a function; it cannot be called."""

    def __init__(self, func: Callable[[], None]) -> None:
        self.func = func


QueuedTask.__module__, QueuedTask.__name__ = "django.tasks.base", "Task"

REFUSED = {
    "a class": (Job, "Job is a class: .* calls a method of it"),
    "a partial of a class": (functools.partial(Job), "Job is a class"),
    "a command": (CheckCommand, r"call_command\('check'\)"),
    "a command of a project": (Command, r"call_command\('test_validation'\)"),
    "a command's object": (Command(), r"call_command\('test_validation'\)"),
    "a generator function": (generate, "generate is a generator function.* loops"),
    "an asynchronous one": (generate_later, "generate_later is a generator function"),
    "a partial of one": (functools.partial(generate), "is a generator function"),
    "an object of one": (Rows(), "Rows is a generator function"),
    "a shared task": (shared, r"shared is a Celery task: .*delay\(\)"),
    "a bound Celery task": (bound, r"bound is a Celery task: .*delay\(\)"),
    "a django.tasks task": (QueuedTask(Job().run), r"Job.run is .*enqueue\(\)"),
    "nothing to call": (42, "42 is no function"),
}


@pytest.mark.parametrize(("function", "hint"), REFUSED.values(), ids=REFUSED)
def test_refused(function: Any, hint: str) -> None:
    """A chain of it is refused, with what to give instead."""
    with pytest.raises(InvalidTask, match=hint):
        start_chain([function], name="refused")


@pytest.mark.parametrize("name", ["a class", "a shared task", "a generator function"])
def test_decorated(name: str) -> None:
    """The decorator refuses it as well, where it is written."""
    function, hint = REFUSED[name]

    with pytest.raises(InvalidTask, match=hint):
        task(function)
    with pytest.raises(InvalidTask, match=hint):
        task(fail_cooldown=1)(function)


def decorator_without_its_call() -> Callable[[], None]:
    return lambda: None


@contextlib.contextmanager
def block() -> Iterator[None]:
    yield


LAZY = {
    "a function": decorator_without_its_call,
    "a partial": lambda: functools.partial(print),
    "a method": lambda: Job().run,
    "a class": lambda: Job,
    "a generator": lambda: generate(),
    "a map": lambda: map(print, [1]),
    "a filter": lambda: filter(print, [1]),
    "a context manager": block,
}


@pytest.mark.parametrize("function", LAZY.values(), ids=LAZY)
def test_nothing_ran(function: Callable[[], Any]) -> None:
    """What returns something that is still to be called or looped over fails."""
    thread = make(quick(function))
    (execution,) = thread.tasks

    execution.run()

    assert thread.status().failures == 1
    assert "its work has not been done" in why_nothing_ran(function, function())


@pytest.mark.parametrize("result", [None, True, False, 0, "text", [1], {"a": 1}, Job()])
def test_ran(result: object) -> None:
    """Any other result says nothing."""
    thread = make(quick(lambda: result))
    (execution,) = thread.tasks

    execution.run()

    assert thread.status().failures == 0
