"""
Delivery of reports by a thread of its own, which nothing else waits for.

What is to be said is asked for when it is about to be sent, so what waits is always up
to date, and several reasons for one task are one message. The queue holds a key a task
and no text: it is bounded by the number of tasks.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable

from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from yourlabs.runner.failures.text import one_line
from yourlabs.runner.log import logger
from yourlabs.runner.notify.base import Notifier, Unanswered
from yourlabs.runner.notify.report import Report

FIRST_RETRY = 1.0
"""Wait after the first send of a report that failed, in seconds; it doubles."""

LAST_RETRY = 300.0
"""Longest wait between two tries of one report, in seconds."""

GIVE_UP = 60.0
"""A send that takes longer is left to itself and tried anew, in seconds."""

MAX_HUNG = 3
"""How many that were left to themselves may hang before no other is begun."""

Key = tuple[str, str]
"""Name of the chain, and key of the task."""


class Send(threading.Thread):
    """
    One try to deliver a report, in a daemon thread: it may hang for ever, alone.

    Attributes:
        ends: When it is given up, on the monotonic clock.
        error: What was raised. None: nothing.
        handed_to: What the channel has handed it to. None: it was sent.
        is_whole: The report was handed over; what is missing is the answer.
        is_over: It has ended.
        is_hung: It was given up.
    """

    def __init__(self, delivery: Delivery, key: Key, report: Report) -> None:
        super().__init__(name=f"{delivery.name}-send", daemon=True)
        self.delivery, self.key, self.report = delivery, key, report
        self.ends = time.monotonic() + GIVE_UP
        self.error: BaseException | None = None
        self.handed_to: str | None = None
        self.is_over = self.is_whole = self.is_hung = False

    def run(self) -> None:
        """Send, and say how it went. Called by `start`."""
        error = None
        try:
            self.handed_to = self.delivery.notifier.send(self.report)
        except BaseException as exc:
            # A backend can raise anything, even SystemExit.
            error = exc
        try:
            # A backend may keep mails in a database.
            connections.close_all()
        except Exception:
            logger.exception("A database connection could not be closed.")
        self.delivery.end(self, error)


def expect_answer(seconds: float) -> None:
    """
    Give a channel more time; it has handed its report over and waits for the answer.

    To be called in its `send`. Without it a send is given up after `GIVE_UP` seconds.
    """
    send = threading.current_thread()
    if isinstance(send, Send):
        send.is_whole, send.ends = True, time.monotonic() + seconds


class Delivery:
    """
    Sends reports, one after the other, until they are delivered.

    All methods may be called from any thread, and none of them raises.

    Attributes:
        is_failing: The last send failed, so nobody should wait for the next one.
    """

    def __init__(
        self,
        notifier: Notifier,
        take: Callable[[Key], Report | float | None],
        note: Callable[[Send], bool],
    ) -> None:
        """
        Make it; its thread is started with the first report.

        Args:
            notifier: What sends.
            take: Returns what is to be told now, or in how many seconds to ask again.
            note: Takes note that a report was delivered, or may have been; returns
                whether that is the end of it. Both are called from its threads.
        """
        self.notifier, self.name = notifier, f"runner-{notifier.name}"
        self.is_failing = False
        self._take, self._note = take, note
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._due: dict[Key, float] = {}
        self._tries: dict[Key, int] = {}
        self._busy: Key | None = None
        self._hung: set[Send] = set()
        self._is_closed = self._has_reported_failure = False

    def post(self, key: Key, delay: float = 0.0) -> None:
        """Have what is to be told of `key` sent, after `delay` seconds."""
        with self._changed:
            due = time.monotonic() + delay
            known = self._due.get(key, due)
            # It has failed: something more to tell is no reason to hurry. Else the
            # sooner one: who comes too early is told how long to wait.
            self._due[key] = known if key in self._tries else min(due, known)
            self._start()
            self._changed.notify_all()

    def wait(
        self, keys: Iterable[Key], timeout: float, *, retry_for: float = 0.0
    ) -> bool:
        """
        Wait until what is due of `keys` was sent, up to `timeout` seconds.

        While sends fail only one that has begun already is waited for, and what is
        tried again in the next `retry_for` seconds.
        """
        wanted, retry_until = set(keys), time.monotonic() + retry_for

        def is_over() -> bool:
            until = time.monotonic()
            if self.is_failing:
                until = retry_until if retry_until > until else -1.0
            return self._busy not in wanted and not any(
                self._due.get(key, until + 1) <= until for key in wanted
            )

        with self._changed:
            return self._changed.wait_for(is_over, timeout) and not self.is_failing

    def withdraw(self, keys: Iterable[Key]) -> None:
        """Take back what waits of `keys`; a send that has begun goes on."""
        with self._changed:
            for key in keys:
                self._due.pop(key, None)
                self._tries.pop(key, None)
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread, after the send that has begun. What waits is dropped."""
        with self._changed:
            self._is_closed = True
            self._due.clear()
            self._changed.notify_all()

    def end(self, send: Send, error: BaseException | None) -> None:
        """Take note that `send` is over; called by its own thread."""
        with self._changed:
            send.error, send.is_over = error, True
            self._hung.discard(send)
            if send.is_hung and error is not None and send.key in self._due:
                # It was waited for, lest it be told twice.
                self._due[send.key] = time.monotonic()
            self._changed.notify_all()
        if send.is_hung and error is None:
            self._finish(send, None)

    def _start(self) -> None:
        if self._is_closed or (self._thread is not None and self._thread.is_alive()):
            return
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        try:
            self._thread.start()
        except RuntimeError as exc:
            # No more threads, or the interpreter ends. The next post tries again.
            self._thread = None
            self._log_failure(exc)

    def _run(self) -> None:
        while (key := self._next()) is not None:
            try:
                self._deliver(key)
            except BaseException:
                # A mistake in here must not cost the admins the rest. Nothing else
                # may come to have it asked for again.
                logger.exception("The delivery of reports raised.")
                self.post(key, LAST_RETRY)
            finally:
                with self._changed:
                    self._busy = None
                    self._changed.notify_all()

    def _next(self) -> Key | None:
        """Wait for a report that is due, and return its key. None: it was closed."""
        with self._changed:
            while not self._is_closed:
                now, left = time.monotonic(), None
                if self._due and len(self._hung) < MAX_HUNG:
                    left = min(min(self._due.values()) - now, threading.TIMEOUT_MAX)
                if left is not None and left <= 0:
                    ready = [key for key, due in self._due.items() if due <= now]
                    # Those that fail must not keep the others from being tried.
                    self._busy = min(ready, key=lambda one: self._tries.get(one, 0))
                    del self._due[self._busy]
                    return self._busy
                self._changed.wait(left)
        return None

    def _deliver(self, key: Key) -> None:
        found = self._take(key)
        if isinstance(found, Report):
            send = Send(self, key, found)
            try:
                send.start()
                error = self._wait_for(send)
            except RuntimeError as exc:
                error = exc
            if not self._is_closed:
                self._finish(send, error)
        elif found is not None:
            # Not at once: it would be asked for again and again.
            self.post(key, max(found, FIRST_RETRY))
        else:
            # Nothing of it is left that could be tried again.
            self.withdraw([key])

    def _wait_for(self, send: Send) -> BaseException | None:
        """Wait for the end of a send, or give it up; return what went wrong."""
        with self._changed:
            while not (send.is_over or self._is_closed):
                left = send.ends - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            if send.is_over or self._is_closed:
                return send.error
            send.is_hung = True
            self._hung.add(send)
            error = send.error = (
                Unanswered("no answer came")
                if send.is_whole
                else TimeoutError(f"it hangs for {GIVE_UP:g} seconds")
            )
        if len(self._hung) >= MAX_HUNG:
            logger.error(
                "%d sends of %s hang: the next one begins when one of them ends. Give "
                "what sends a timeout.",
                len(self._hung),
                self.notifier.label,
                extra={"action": "delivery_hangs"},
            )
        return error

    def _finish(self, send: Send, error: BaseException | None) -> None:
        """Take note of how a send went: it is tried again, or it is done."""
        is_done = False
        if error is None or isinstance(error, Unanswered):
            try:
                is_done = self._note(send)
            except BaseException:
                # It was delivered: a mistake in here must not have it sent again.
                logger.exception("Could not take note of what was sent.")
                is_done = error is None
        if not is_done and error is not None:
            self._try_again(send, error)
            return
        with self._changed:
            self.is_failing = False
            self._tries.pop(send.key, None)
            works_again = self._has_reported_failure and not self._tries
            self._has_reported_failure = self._has_reported_failure and not works_again
        if works_again:
            logger.warning(
                "Sending %s works again.",
                self.notifier.label,
                extra={"action": "delivery_works"},
            )

    def _try_again(self, send: Send, error: BaseException) -> None:
        with self._changed:
            self.is_failing = True
            tries = self._tries[send.key] = self._tries.get(send.key, 0) + 1
            # One that hangs may be delivered yet, and has an end as a rule. What the
            # settings make fail does not mend itself in a moment.
            is_long = send.is_hung or isinstance(error, ImproperlyConfigured)
            wait = LAST_RETRY if is_long else backoff(tries)
            self._due[send.key] = time.monotonic() + wait
        self._log_failure(error)

    def _log_failure(self, error: BaseException) -> None:
        try:
            reason = one_line(f"{type(error).__name__}: {error}", 300)
        except BaseException:
            reason = type(error).__name__
        level = logging.DEBUG if self._has_reported_failure else logging.WARNING
        self._has_reported_failure = True
        logger.log(
            level,
            "Could not send %s: %s. It is tried again until it works.",
            self.notifier.label,
            reason,
            extra={"action": "delivery_failed"},
        )


def backoff(failures: int) -> float:
    """Return how many seconds to wait after so many failures, with jitter."""
    longest = min(LAST_RETRY, FIRST_RETRY * 2.0 ** min(failures - 1, 30))
    return longest * random.uniform(0.8, 1.0)
