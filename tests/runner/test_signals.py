"""Receivers are called, and whatever they do harms nobody."""

from __future__ import annotations

import gc
import inspect
import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest

from tests.runner.fakes import log, running, until
from yourlabs import runner
from yourlabs.runner import signals, task
from yourlabs.runner.chain.signals import send_robust

NAMES = [
    "task_started",
    "task_succeeded",
    "task_failed",
    "task_recovered",
    "task_stalled",
    "chain_started",
    "chain_stopped",
]


@pytest.mark.parametrize("name", NAMES)
def test_public(name: str) -> None:
    """Each signal is found in the package, in a namespace of its own."""
    import blinker

    signal = getattr(runner, name)

    assert signal is getattr(signals, name)
    assert signal.name == name
    assert signal is not blinker.signal(name)


@pytest.mark.parametrize(
    "raised",
    [ValueError("no"), SystemExit(1), KeyboardInterrupt(), GeneratorExit()],
    ids=repr,
)
def test_raising_receiver(raised: BaseException) -> None:
    """A receiver that raises is logged, and the next one is called."""
    calls = []

    def broken(sender: Any, **payload: Any) -> None:
        calls.append("broken")
        raise raised

    def healthy(sender: Any, **payload: Any) -> None:
        calls.append("healthy")

    signal = signals.task_started
    with signal.connected_to(broken), signal.connected_to(healthy), log() as kept:
        send_robust(signal, object(), run=None)

    assert sorted(calls) == ["broken", "healthy"]
    assert kept.actions() == ["receiver_failed"]
    assert "broken" in kept.texts()[0]
    assert "task_started" in kept.texts()[0]


def test_unprintable_receiver() -> None:
    """A receiver whose repr raises, too, is logged."""

    class Receiver:
        def __call__(self, sender: Any, **payload: Any) -> None:
            raise ValueError("no")

        def __repr__(self) -> str:
            raise RuntimeError("no repr")

    receiver = Receiver()
    with signals.task_started.connected_to(receiver), log() as kept:
        send_robust(signals.task_started, object(), run=None)

    assert kept.actions() == ["receiver_failed"]


def test_coroutine_receiver() -> None:
    """A coroutine function is no receiver: that is said, and nothing is left open."""
    calls = []

    async def receiver(sender: Any, **payload: Any) -> None:
        calls.append("called")

    with signals.task_started.connected_to(receiver), log() as kept:
        send_robust(signals.task_started, object(), run=None)
    gc.collect()

    assert calls == []
    assert kept.actions() == ["receiver_failed"]
    assert "coroutine function" in str(kept.records[0].exc_text)


@pytest.mark.parametrize(
    ("ends", "code"), [(lambda: None, 0), (lambda: sys.exit(3), 3)]
)
def test_receiver_that_forks(ends: Callable[[], None], code: int) -> None:
    """A child that it forks ends with it, and is no chain."""
    children: list[int] = []

    def receiver(sender: Any, **payload: Any) -> None:
        child = os.fork()
        if child == 0:  # pragma: no cover - in a child
            ends()
        else:
            children.append(child)

    with signals.task_started.connected_to(receiver), log() as kept:
        send_robust(signals.task_started, object(), run=None)

    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == code
    assert kept.actions() == []


def test_weak_receiver() -> None:
    """A receiver that was let go of is not called."""
    calls = []

    class Listener:
        def listen(self, sender: Any, **payload: Any) -> None:
            calls.append("called")

    listener = Listener()
    signals.task_started.connect(listener.listen)
    send_robust(signals.task_started, object(), run=None)
    del listener
    gc.collect()

    send_robust(signals.task_started, object(), run=None)

    assert calls == ["called"]


def test_sender() -> None:
    """A receiver of one sender hears of no other."""
    calls: list[Any] = []
    mine, other = object(), object()

    def receiver(sender: Any, **payload: Any) -> None:
        calls.append(sender)

    with signals.task_started.connected_to(receiver, sender=mine):
        send_robust(signals.task_started, other, run=None)
        send_robust(signals.task_started, mine, run=None)

    assert calls == [mine]


def test_sender_of_a_wrapper() -> None:
    """It is the task that the function has when receivers are connected."""

    def wrapper_of(function: Callable[[], None]) -> Callable[[], None]:
        @wraps(function)
        def wrapper() -> None:
            function()

        return wrapper

    @wrapper_of
    @task(success_cooldown=0)
    def wrapped() -> None:
        """Do nothing."""

    class Office:
        @task(success_cooldown=0)
        def air(self) -> None:
            """Do nothing."""

    senders = (wrapped.runner_task, Office.air.runner_task)  # type: ignore[attr-defined]
    seen: list[Any] = []

    def receiver(sender: Any, *, run: Any) -> None:
        seen.append((sender, run.task))

    for sender in senders:
        signals.task_succeeded.connect(receiver, sender=sender)
    with running(wrapped, Office().air) as thread:
        until(lambda: len(seen) >= 2)

    assert seen[:2] == list(zip(senders, thread.chain.tasks, strict=True))
    assert not set(senders) & set(thread.chain.tasks)


def test_receiver_that_disconnects() -> None:
    """A receiver may disconnect itself, or connect another, while it is called."""
    calls = []

    def late(sender: Any, **payload: Any) -> None:
        calls.append("late")

    def once(sender: Any, **payload: Any) -> None:
        calls.append("once")
        signals.task_started.disconnect(once)
        signals.task_started.connect(late)

    signals.task_started.connect(once)
    try:
        send_robust(signals.task_started, object(), run=None)
        send_robust(signals.task_started, object(), run=None)
    finally:
        signals.task_started.disconnect(late)

    assert calls == ["once", "late"]


def test_too_few_arguments() -> None:
    """A receiver that does not take the payload is logged like one that raises."""

    def receiver(sender: Any) -> None:
        """Take no payload."""

    with signals.task_started.connected_to(receiver), log() as kept:
        send_robust(signals.task_started, object(), run=None)

    assert kept.actions() == ["receiver_failed"]


def test_nobody_listens() -> None:
    """Without receivers nothing is called or made."""
    assert inspect.signature(send_robust)
    send_robust(signals.chain_stopped, object())
