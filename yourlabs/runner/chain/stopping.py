"""The signals that end a process of its own: SIGTERM, SIGINT and SIGHUP."""

from __future__ import annotations

import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

from yourlabs.runner.ownership.descriptors import SelfPipe

ONCE = 0.05
"""Two signals of one kind within this time are one, in seconds: ``timeout`` tells its
child and then its whole group, and so do parents that pass on Ctrl-C."""

LOOK_EVERY = 10.0
"""Longest sleep, in seconds. A signal and the end of the thread end it by a pipe, which
something in the process may close without knowing what it is."""

WITHOUT_PIPE = 0.5
"""How long it sleeps where none is to be had, in seconds."""


class StopSignals:
    """
    Calls `stop` at the first signal, and leaves the process at the second.

    SIGTERM from another process that wants to take the chain over is not counted: it
    asks to yield, should that process be waiting still when the running function is
    finished. However many candidates come and go, no function is cut, and while none
    of them takes over, the chain goes on. Forked children handle signals as if this
    had never been.
    """

    def __init__(
        self,
        stop: Callable[[], None],
        *,
        give_way: Callable[[], None],
        candidate: Callable[[], bytes],
    ) -> None:
        """
        Handle nothing yet.

        Args:
            stop: Called in a signal handler, like the others.
            give_way: Stops if another process wants it then.
            candidate: Returns who has announced a signal last; empty: nobody.
        """
        self._stop = stop
        self._give_way = give_way
        self._candidate = candidate
        self._candidates: set[bytes] = set()
        self._previous: dict[int, Any] = {}
        self._stopped = False
        self._count = 0
        self._has_ended = False
        self._last: dict[int, float] = {}
        self._pipe = SelfPipe()
        self._wakeup = -1
        _handling.add(self)

    def handle(self) -> None:
        """Handle the signals from now on. Without effect outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        numbers = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            # Under nohup it is ignored, and is to stay so.
            numbers.append(signal.SIGHUP)
        # The kernel may have any thread take a signal, of a process that was frozen for
        # example; Python calls the handler in the main thread, which has to wake up.
        self._wakeup = self._open()
        # As pid 1 of a container, too: without a handler SIGTERM would be ignored.
        for number in numbers:
            self._previous[number] = signal.signal(number, self._on_signal)

    def _open(self) -> int:
        """Make the pipe; return what signals were written to before."""
        self._pipe.open()
        return signal.set_wakeup_fd(self._pipe.writing, warn_on_full_buffer=False)

    def restore(self) -> None:
        """Handle the signals as before `handle`."""
        previous, self._previous = self._previous, {}
        for number, handler in previous.items():
            # None: it was not set from Python, and cannot be set again from here.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if previous:
            signal.set_wakeup_fd(self._wakeup)
            self._pipe.close()

    def handled(self) -> set[int]:
        """Return the signals that are handled now."""
        return set(self._previous)

    def wait(self, seconds: float) -> bool:
        """Sleep, or less when a signal comes. True: one came."""
        self._sleep(seconds)
        return self._stopped

    def join(self, thread: threading.Thread) -> None:
        """Wait for `thread`, which calls `end` last, and handle signals meanwhile."""
        while self._previous and thread.is_alive() and not self._has_ended:
            self._sleep(LOOK_EVERY)
        thread.join()

    def end(self) -> None:
        """Say that the thread that is waited for is about to end."""
        self._has_ended = True
        self._pipe.ring()

    def _sleep(self, seconds: float) -> None:
        if not self._previous:
            time.sleep(seconds)
        elif not self._pipe.wait(min(seconds, LOOK_EVERY)):
            # Something closed it. Signals would be written into who got the number.
            signal.set_wakeup_fd(-1)
            try:
                self._open()
            except OSError:
                # No descriptor is to be had now. Signals are handled all the same.
                time.sleep(min(seconds, WITHOUT_PIPE))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM and self._is_from_candidate():
            self._give_way()
            return
        now = time.monotonic()
        if now - self._last.get(number, -ONCE) < ONCE:
            return
        self._last[number] = now
        self._count += 1
        if self._count > 1:
            os._exit(128 + number)
        self._stopped = True
        self._stop()

    def _is_from_candidate(self) -> bool:
        candidate = self._candidate()
        if not candidate or candidate in self._candidates:
            # Each announces one signal; the next one is from somebody else.
            return False
        self._candidates.add(candidate)
        return True


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
    try:
        for signals in list(_handling):
            signals.restore()
    finally:
        _let_signals()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(
        before=_hold_signals,
        after_in_parent=_let_signals,
        after_in_child=_restore_in_child,
    )
