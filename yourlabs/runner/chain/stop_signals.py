"""The signals that end a process of its own: SIGTERM, SIGINT and SIGHUP."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

from yourlabs.runner.forks import renew_in_child

# Two signals of one kind within this time count as one: ``timeout`` signals its child
# and then its whole group, and so do parents that pass on Ctrl-C.
SAME_SIGNAL_S = 0.05
# Longest sleep. The kernel may deliver a signal to any thread, of a process that was
# frozen for example; Python calls the handler when the main thread wakes.
LOOK_EVERY_S = 1.0


class StopSignals:
    """
    Calls `stop` at the first signal, and leaves the process at the second.

    Forked children handle signals as if this had never been.

    Attributes:
        count: How many signals have come.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        """Handle nothing yet. `stop` is called in a signal handler: it may not wait."""
        self._stop = stop
        self._previous: dict[int, Any] = {}
        self._last: dict[int, float] = {}
        self._wakeup = threading.Lock()
        self._wakeup.acquire()
        self.count = 0

    def handle(self) -> None:
        """Handle the signals from now on. Without effect outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        _handling.append(self)
        # As pid 1 of a container, too: without a handler SIGTERM would be ignored.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # Under nohup SIGHUP is ignored, and is to stay so.
            is_nohup = signal.getsignal(number) is signal.SIG_IGN
            if number != signal.SIGHUP or not is_nohup:
                self._previous[number] = signal.signal(number, self._on_signal)

    def restore(self) -> None:
        """Handle the signals as before `handle`."""
        previous, self._previous = self._previous, {}
        for number, handler in previous.items():
            # None: it was not set from Python, and cannot be set again from here.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if self in _handling:
            _handling.remove(self)

    def notify(self) -> None:
        """End the current `wait`. Safe in any thread, and in a signal handler."""
        with suppress(RuntimeError):
            self._wakeup.release()

    def wait(self, seconds: float) -> bool:
        """Sleep, or less when a signal or `notify` comes. True: a signal has come."""
        self._wakeup.acquire(timeout=min(seconds, LOOK_EVERY_S))
        return self.count > 0

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._last.get(number, -SAME_SIGNAL_S) < SAME_SIGNAL_S:
            return
        self._last[number] = now
        self.count += 1
        if self.count > 1:
            os._exit(128 + number)
        self._stop()
        self.notify()


_handling: list[StopSignals] = []
_forking = threading.local()


def _hold_signals() -> None:
    # Python drops what comes to a child before its hooks have run.
    handled = {number for signals in _handling for number in signals._previous}
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, handled)


def _let_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _restore_in_child() -> None:
    # A child that a task forks, in a pool of multiprocessing for example, is ended by
    # SIGTERM; with the handler of its parent it would go on for ever.
    try:
        for signals in list(_handling):
            signals.restore()
    finally:
        _let_signals()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(before=_hold_signals, after_in_parent=_let_signals)
renew_in_child("stop signals", _restore_in_child)
