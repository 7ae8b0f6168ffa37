"""Signals that end a process of its own: which count, and what may be in their way."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from yourlabs.runner.chain import stopping
from yourlabs.runner.chain.stopping import StopSignals


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
    made = StopSignals(
        lambda: stops.append("stop"),
        give_way=lambda: stops.append("give way"),
        candidate=bytes,
    )
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

    monkeypatch.setattr(stopping, "ONCE", 0.0)
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
    monkeypatch.setattr(stopping.time, "monotonic", lambda: now)
    signals._on_signal(signal.SIGTERM, None)
    now += 0.04
    signals._on_signal(signal.SIGTERM, None)
    now += 0.04
    with pytest.raises(Left):
        signals._on_signal(signal.SIGTERM, None)


def test_no_pipe(
    signals: StopSignals, stops: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where none is to be had signals are handled all the same, and later by a pipe."""

    def no_pipe() -> tuple[int, int]:
        raise OSError(errno.EMFILE, "Too many open files")

    reading = signals._pipe.reading
    os.close(reading)
    monkeypatch.setattr(stopping, "WITHOUT_PIPE", 0.01)
    with monkeypatch.context() as patched:
        patched.setattr(os, "pipe", no_pipe)
        assert not signals.wait(60)
        assert signals._pipe.reading == -1
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.wait(60)

    assert signals.wait(60)
    assert signals._pipe.wait(0)
    assert stops == ["stop"]


def test_pipe_that_was_closed(signals: StopSignals) -> None:
    """Whatever closes it, the wait ends, and nothing else is written to or closed."""
    end = threading.Event()
    thread = threading.Thread(target=lambda: (end.wait(), signals.end()))
    thread.start()
    reading, writing = signals._pipe.reading, signals._pipe.writing
    null = os.open("/dev/null", os.O_RDONLY)
    for descriptor in (reading, writing):
        os.dup2(null, descriptor)

    end.set()
    signals.join(thread)
    assert not signals.wait(0.01)

    assert not thread.is_alive()
    assert signals._pipe.reading not in (reading, writing)
    signals.restore()
    for descriptor in (reading, writing, null):
        os.close(descriptor)
