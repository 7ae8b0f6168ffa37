"""Tests of what surrounds one request."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest

from yourlabs.smoke import exchange
from yourlabs.smoke.exchange import RequestTimeout, limited


class Alarm(Exception):
    """Somebody else's timer has run out."""


@pytest.fixture
def alarm() -> Iterator[None]:
    """A handler of somebody else's timer; the one of the test comes back."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring)
    timer = signal.setitimer(signal.ITIMER_REAL, 0)
    yield
    signal.setitimer(signal.ITIMER_REAL, *timer)
    signal.signal(signal.SIGALRM, before)


def test_timer_of_somebody_else_goes_on(alarm: None) -> None:
    """A timer that was running before a request was limited runs on afterwards."""
    signal.setitimer(signal.ITIMER_REAL, 100)

    with pytest.raises(RequestTimeout), limited(60):
        signal.raise_signal(signal.SIGALRM)

    assert 60 < signal.getitimer(signal.ITIMER_REAL)[0] < 100


def test_timer_that_ran_out_meanwhile_rings(alarm: None) -> None:
    """A timer whose time comes during a request rings after it."""

    def work() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with suppress(RequestTimeout), limited(0.05):
            threading.Event().wait(60)
        threading.Event().wait(60)

    with pytest.raises(Alarm):
        work()


def test_timer_that_runs_out_at_the_begin_rings(
    alarm: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is it lost while the limit is set."""
    real, calls = signal.signal, []

    def slowly(number: int, handler: Any) -> Any:
        before = real(number, handler)
        calls.append(handler)
        if len(calls) == 1:
            # Longer than the timer takes, whatever it is that ends this.
            threading.Event().wait(0.1)
        return before

    def work() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        monkeypatch.setattr(exchange.signal, "signal", slowly)
        with suppress(RequestTimeout), limited(60):
            pass
        threading.Event().wait(60)

    with pytest.raises(Alarm):
        work()


def test_limit_that_is_lost_is_set_again(alarm: None) -> None:
    """What swallows the first exception does not last for ever."""

    intervals = []

    def swallow() -> None:
        with suppress(RequestTimeout):
            signal.raise_signal(signal.SIGALRM)
        intervals.append(signal.getitimer(signal.ITIMER_REAL)[1])
        signal.raise_signal(signal.SIGALRM)

    with pytest.raises(RequestTimeout), limited(60):
        swallow()

    assert [60.0] == intervals
    assert (0.0, 0.0) == signal.getitimer(signal.ITIMER_REAL)


@pytest.mark.parametrize("seconds", [None, 0])
def test_request_may_take_for_ever(alarm: None, seconds: float | None) -> None:
    """Without a limit no timer runs."""
    with limited(seconds):
        assert (0.0, 0.0) == signal.getitimer(signal.ITIMER_REAL)


def test_limit_is_of_the_main_thread_only(alarm: None) -> None:
    """Another thread, where signals cannot be handled, is not limited."""
    found = []

    def work() -> None:
        with limited(0.01):
            found.append(signal.getitimer(signal.ITIMER_REAL))

    other = threading.Thread(target=work)
    other.start()
    other.join(20)

    assert [(0.0, 0.0)] == found
