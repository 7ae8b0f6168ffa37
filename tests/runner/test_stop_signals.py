"""Signals that end a process of its own: which count, and what may be in their way."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from yourlabs.runner.chain import stop_signals
from yourlabs.runner.chain.stop_signals import StopSignals


class Left(BaseException):
    """The process would have ended."""


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what was asked for; leaving the process raises."""

    def leave(code: int) -> None:
        raise Left(code)

    monkeypatch.setattr(os, "_exit", leave)
    return []


@pytest.fixture
def signals(stops: list[str]) -> Iterator[StopSignals]:
    """Return an object that handles the signals of this process."""
    made = StopSignals(lambda: stops.append("stop"))
    made.handle()
    yield made
    made.restore()


def test_second_signal(signals: StopSignals, stops: list[str]) -> None:
    """The second one does not wait."""
    signals._on_signal(signal.SIGTERM, None)
    with pytest.raises(Left, match=str(128 + signal.SIGINT)):
        signals._on_signal(signal.SIGINT, None)

    assert stops == ["stop"]


def test_closed_terminal(
    signals: StopSignals, stops: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shell and the kernel both hang up: that is one signal. A later one is not."""
    signals._on_signal(signal.SIGHUP, None)
    signals._on_signal(signal.SIGHUP, None)
    assert stops == ["stop"]

    monkeypatch.setattr(stop_signals, "SAME_SIGNAL_S", 0.0)
    with pytest.raises(Left):
        signals._on_signal(signal.SIGHUP, None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_that_comes_twice(
    signals: StopSignals, stops: list[str], number: int
) -> None:
    """``timeout`` tells its child and then the group: that is one signal, too."""
    signals._on_signal(number, None)
    signals._on_signal(number, None)

    assert stops == ["stop"]


def test_signal_that_comes_often(
    signals: StopSignals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who does not stop telling is heard."""
    now = 1000.0
    monkeypatch.setattr(stop_signals.time, "monotonic", lambda: now)
    signals._on_signal(signal.SIGTERM, None)
    now += 0.04
    signals._on_signal(signal.SIGTERM, None)
    now += 0.04
    with pytest.raises(Left):
        signals._on_signal(signal.SIGTERM, None)


def test_notify(signals: StopSignals) -> None:
    """Who waits is woken by any thread, and by a signal."""
    threading.Timer(0.01, signals.notify).start()
    assert not signals.wait(60)

    os.kill(os.getpid(), signal.SIGTERM)
    assert signals.wait(60)


def test_wait_elsewhere() -> None:
    """In another thread there are no signals to wait for, and it sleeps."""
    answers: list[bool] = []
    unhandled = StopSignals(lambda: None)

    def wait() -> None:
        unhandled.handle()
        answers.append(unhandled.wait(0.01))

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()

    assert answers == [False]
    assert not unhandled._previous
