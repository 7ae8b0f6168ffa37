"""
Delivery of reports by a thread of its own, which no chain has to wait for.

A report is made when it is about to be sent, so it is always up to date, and several
reasons are one report. What is queued is the key of its task and no text: the queue is
bounded by the number of tasks.
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
from yourlabs.runner.notify.base import DeliveryUnconfirmed, Notifier
from yourlabs.runner.notify.mail_text import Report

FIRST_RETRY = 1.0
"""Wait after the first send of a report that failed, in seconds; it doubles."""

LAST_RETRY = 300.0
"""Longest wait between two tries of one report, in seconds."""

GIVE_UP = 60.0
"""A send that takes longer counts as hanging and is tried anew, in seconds."""

MAX_HUNG = 3
"""While so many sends hang, no other is begun."""

Key = tuple[str, str]
"""Name of the chain, and key of the task."""


class Send(threading.Thread):
    """
    One try to deliver a report, in a daemon thread: it may hang for ever, alone.

    Attributes:
        ends: When it is given up, on the monotonic clock.
        error: What was raised. None: nothing.
        handed_to: What `Notifier.send` returned.
        is_whole: The report was handed over; only the answer is missing.
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
        """Send, and pass on how it went. Called by `start`."""
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
    """Give `Notifier.send`, which calls it, more time than `GIVE_UP` for an answer."""
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

        `take` returns the report of a task that is due now, or in how many seconds to
        ask again. `note` records that a report was delivered, or may have been; it
        returns whether that is enough. Both are called from threads of its own.
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
        self._has_reported_failure = False

    def post(self, key: Key, delay: float = 0.0) -> None:
        """Send the report of `key`, if there is one, after `delay` seconds."""
        with self._changed:
            due = time.monotonic() + delay
            known = self._due.get(key, due)
            # After a failed send its retry is waited for, whatever else is to be sent.
            # Else the sooner one counts: where it is too early, `take` returns a wait.
            self._due[key] = known if key in self._tries else min(due, known)
            self._start()
            self._changed.notify_all()

    def wait(
        self, keys: Iterable[Key], timeout: float, *, retries: bool = False
    ) -> bool:
        """
        Wait until what is due of `keys` was sent, up to `timeout` seconds.

        While sends fail, it waits only for one that has begun already; with `retries`
        also for what is tried again in that time.
        """
        wanted, deadline = set(keys), time.monotonic() + timeout

        def is_over() -> bool:
            until = time.monotonic()
            if self.is_failing:
                until = deadline if retries else -1.0
            return self._busy not in wanted and not any(
                self._due.get(key, until + 1) <= until for key in wanted
            )

        with self._changed:
            return self._changed.wait_for(is_over, timeout) and not self.is_failing

    def withdraw(self, keys: Iterable[Key]) -> None:
        """Send no more reports of `keys`; a send that has begun goes on."""
        with self._changed:
            for key in keys:
                self._due.pop(key, None)
                self._tries.pop(key, None)
            self._changed.notify_all()

    def end(self, send: Send, error: BaseException | None) -> None:
        """Note that `send` is over; called by its own thread."""
        with self._changed:
            send.error, send.is_over = error, True
            self._hung.discard(send)
            if send.is_hung and error is not None and send.key in self._due:
                # The retry was put off in case this send succeeded after all.
                self._due[send.key] = time.monotonic()
            self._changed.notify_all()
        if send.is_hung and error is None:
            self._finish(send, None)

    def _start(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        try:
            self._thread.start()
        except RuntimeError as exc:
            # No more threads, or the interpreter ends. The next post tries again.
            self._thread = None
            self._log_failure(exc)

    def _run(self) -> None:
        while key := self._next():
            try:
                self._deliver(key)
            except BaseException:
                # A bug in here must not stop other reports. Nothing else may post
                # this one again.
                logger.exception("The delivery of reports raised.")
                self.post(key, LAST_RETRY)
            finally:
                with self._changed:
                    self._busy = None
                    self._changed.notify_all()

    def _next(self) -> Key:
        """Wait for a report that is due, and return its key."""
        with self._changed:
            while True:
                now, left = time.monotonic(), threading.TIMEOUT_MAX
                if self._due and len(self._hung) < MAX_HUNG:
                    left = min(min(self._due.values()) - now, left)
                if left <= 0:
                    ready = [key for key, due in self._due.items() if due <= now]
                    # Those that fail must not keep the others from being tried.
                    self._busy = min(ready, key=lambda one: self._tries.get(one, 0))
                    del self._due[self._busy]
                    return self._busy
                self._changed.wait(left)

    def _deliver(self, key: Key) -> None:
        found = self._take(key)
        if isinstance(found, Report):
            send = Send(self, key, found)
            try:
                send.start()
                error = self._wait_for(send)
            except RuntimeError as exc:
                error = exc
            self._finish(send, error)
        elif found is not None:
            # Not at once: that would be a busy loop.
            self.post(key, max(found, FIRST_RETRY))
        else:
            with self._changed:
                self._tries.pop(key, None)

    def _wait_for(self, send: Send) -> BaseException | None:
        """Wait for the end of a send, or give it up; return what went wrong."""
        with self._changed:
            while not send.is_over:
                left = send.ends - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            else:
                return send.error
            send.is_hung = True
            self._hung.add(send)
            send.error = TimeoutError(f"it hangs for {GIVE_UP:g} seconds")
            if send.is_whole:
                send.error = DeliveryUnconfirmed("no answer came")
        if len(self._hung) >= MAX_HUNG:
            logger.error(
                "%d sends of %s hang: the next one begins when one of them ends. Give "
                "what sends a timeout.",
                len(self._hung),
                self.notifier.label,
                extra={"action": "delivery_hangs"},
            )
        return send.error

    def _finish(self, send: Send, error: BaseException | None) -> None:
        """Note how a send went: it is tried again, or it is done."""
        is_done = error is None
        if error is None or isinstance(error, DeliveryUnconfirmed):
            try:
                is_done = self._note(send) or is_done
            except BaseException:
                # It was delivered: a bug in here must not have it sent again.
                logger.exception("Could not take note of what was sent.")
        if error is not None and not is_done:
            self._try_again(send, error)
            return
        with self._changed:
            self.is_failing = False
            self._tries.pop(send.key, None)
            works_again = self._has_reported_failure and not self._tries
            if works_again:
                self._has_reported_failure = False
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
            # One that hangs may still be delivered, and mostly ends by itself. A wrong
            # setting does not mend itself in a moment.
            is_long = send.is_hung or isinstance(error, ImproperlyConfigured)
            wait = LAST_RETRY if is_long else backoff(tries)
            self._due[send.key] = time.monotonic() + wait
        self._log_failure(error)

    def _log_failure(self, error: BaseException) -> None:
        try:
            reason = one_line(f"{type(error).__name__}: {error}", 300)
        except BaseException:
            reason = type(error).__name__
        logger.log(
            logging.DEBUG if self._has_reported_failure else logging.WARNING,
            "Could not send %s: %s. It is tried again until it works.",
            self.notifier.label,
            reason,
            extra={"action": "delivery_failed"},
        )
        self._has_reported_failure = True


def backoff(failures: int) -> float:
    """Return how many seconds to wait after so many failures, with jitter."""
    longest = min(LAST_RETRY, FIRST_RETRY * 2.0 ** min(failures - 1, 30))
    return longest * random.uniform(0.8, 1.0)
