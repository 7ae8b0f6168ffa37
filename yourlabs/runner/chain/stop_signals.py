"""The signals that end a process of its own: SIGTERM, SIGINT and SIGHUP."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

from yourlabs.runner.forks import renew_in_child
from yourlabs.runner.ownership.descriptors import is_open
from yourlabs.runner.ownership.files import inode_of

SAME_SIGNAL_S = 0.05
"""Two signals of one kind within this time are one, in seconds: ``timeout`` tells its
child and then its whole group, and so do parents that pass on Ctrl-C."""

LOOK_EVERY_S = 10.0
"""Longest sleep, in seconds, should a signal not reach the pipe."""

WITHOUT_PIPE_S = 0.5
"""How long it sleeps where something has closed the pipe, in seconds."""


class StopSignals:
    """
    Calls `stop` at the first signal, and leaves the process at the second.

    Forked children handle signals as if this had never been.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        """
        Handle nothing yet.

        Args:
            stop: Called in a signal handler: it must not wait, nor log.
        """
        self._stop = stop
        self._previous: dict[int, Any] = {}
        self._last: dict[int, float] = {}
        self._reading = self._writing = self._wakeup_before = -1
        self._inode = (0, 0)
        self.count = 0
        """How many signals have come."""
        _handling.add(self)

    def handle(self) -> None:
        """Handle the signals from now on. Without effect outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        numbers = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            # Under nohup it is ignored, and is to stay so.
            numbers.append(signal.SIGHUP)
        # The kernel may hand a signal to any thread, of a process that was frozen for
        # example, and Python calls the handler in the main thread, which has to wake.
        self._reading, self._writing = os.pipe()
        self._inode = inode_of(self._reading)
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)
        self._wakeup_before = signal.set_wakeup_fd(
            self._writing, warn_on_full_buffer=False
        )
        # As pid 1 of a container, too: without a handler SIGTERM would be ignored.
        for number in numbers:
            self._previous[number] = signal.signal(number, self._on_signal)

    def restore(self) -> None:
        """Handle the signals as before `handle`."""
        previous, self._previous = self._previous, {}
        for number, handler in previous.items():
            # None: it was not set from Python, and cannot be set again from here.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if previous:
            signal.set_wakeup_fd(self._wakeup_before)
            for descriptor in (self._reading, self._writing):
                if self._is_ours(descriptor):
                    os.close(descriptor)
            self._reading = self._writing = -1

    def handled(self) -> set[int]:
        """Return the signals that are handled now."""
        return set(self._previous)

    def notify(self) -> None:
        """End the current `wait`. Safe in any thread."""
        if self._is_ours(self._writing):
            # It may be full: then the wait ends anyway.
            with contextlib.suppress(OSError):
                os.write(self._writing, b".")

    def wait(self, seconds: float) -> bool:
        """Sleep, or less when a signal or `notify` comes. True: a signal has come."""
        if not self._previous:
            time.sleep(seconds)
        elif self._is_ours(self._reading) and self._is_ours(self._writing):
            poll = select.poll()
            poll.register(self._reading, select.POLLIN)
            if poll.poll(min(seconds, LOOK_EVERY_S) * 1000):
                os.read(self._reading, 4096)
        else:
            # Something has closed it. Signals would be written to who has the number.
            signal.set_wakeup_fd(-1)
            time.sleep(min(seconds, WITHOUT_PIPE_S))
        return self.count > 0

    def _is_ours(self, descriptor: int) -> bool:
        return is_open(descriptor, self._inode)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._last.get(number, -SAME_SIGNAL_S) < SAME_SIGNAL_S:
            return
        self._last[number] = now
        self.count += 1
        if self.count > 1:
            os._exit(128 + number)
        self._stop()


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
    os.register_at_fork(before=_hold_signals, after_in_parent=_let_signals)
renew_in_child("stop signals", _restore_in_child)
