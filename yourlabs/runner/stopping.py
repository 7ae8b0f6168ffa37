"""The signals that end a process of its own: SIGTERM, SIGINT and SIGHUP."""

from __future__ import annotations

import os
import signal
import threading
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any


class StopSignals:
    """
    Calls `stop` at the first signal, and leaves the process at the second.

    SIGTERM while another process waits to take the chain over is most likely from
    that process. The first one asks to yield only: should that process give up, the
    chain goes on. Another one stops, and none of them leaves: however many candidates
    come and go, a function that is running is finished. Forked children handle signals
    as if this had never been.
    """

    def __init__(
        self,
        stop: Callable[[], None],
        *,
        give_way: Callable[[], None],
        is_wanted: Callable[[], bool],
    ) -> None:
        """
        Handle nothing yet.

        Args:
            stop: Called in a signal handler, like the others.
            give_way: Stops if another process still wants it then.
            is_wanted: Says whether another process waits for this one to stop.
        """
        self._stop = stop
        self._give_way = give_way
        self._is_wanted = is_wanted
        self._asked_to_yield = False
        self._previous: dict[int, Any] = {}
        self._stopped = False
        self._count = 0
        # A bare lock: a handler may release it whatever the main thread is doing.
        self._bell = threading.Lock()
        self._bell.acquire()
        _handling.add(self)

    def handle(self) -> None:
        """Handle the signals from now on. Without effect outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        numbers = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            # Under nohup it is ignored, and is to stay so.
            numbers.append(signal.SIGHUP)
        # As pid 1 of a container, too: without a handler SIGTERM would be ignored.
        for number in numbers:
            self._previous[number] = signal.signal(number, self._on_signal)

    def restore(self) -> None:
        """Handle the signals as before `handle`."""
        previous, self._previous = self._previous, {}
        for number, handler in previous.items():
            # None: it was not set from Python, and cannot be set again from here.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def handled(self) -> set[int]:
        """Return the signals that are handled now."""
        return set(self._previous)

    def wait(self, seconds: float) -> bool:
        """Sleep, or less when a signal comes. True: one came."""
        self._bell.acquire(timeout=seconds)
        return self._stopped

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM and self._is_wanted():
            if not self._asked_to_yield:
                self._asked_to_yield = True
                self._give_way()
                return
        else:
            self._count += 1
            if self._count > 1:
                os._exit(128 + number)
        self._stopped = True
        self._stop()
        if self._bell.locked():
            self._bell.release()


_handling: weakref.WeakSet[StopSignals] = weakref.WeakSet()
_forking = threading.local()


def _hold_signals() -> None:
    # One that comes to the child before its handlers are restored would be lost.
    handled = {number for signals in list(_handling) for number in signals.handled()}
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, handled)


def _let_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _restore_in_child() -> None:
    # A child that a task forks, in a pool of multiprocessing for example, is ended by
    # SIGTERM; with the handler of its parent it would go on for ever.
    for signals in list(_handling):
        signals.restore()
    _let_signals()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(
        before=_hold_signals,
        after_in_parent=_let_signals,
        after_in_child=_restore_in_child,
    )
