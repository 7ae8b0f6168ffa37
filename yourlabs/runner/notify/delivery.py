"""
Delivery of reports by a thread of its own, which nothing else waits for.

What is to be said is asked for when it is about to be sent, so what waits is always up
to date, and several reasons for one task are one message. The queue holds a key a task
and no text: it is bounded by the number of tasks.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Protocol

from yourlabs.runner.log import logger
from yourlabs.runner.notify.attempts import Attempt, Key
from yourlabs.runner.notify.report import Report

FIRST_RETRY = 1.0
"""Wait after the first send that failed, in seconds; it doubles with each."""

LAST_RETRY = 300.0
"""Longest wait between two tries, in seconds."""

FRESH_RETRY = 10.0
"""Longest wait of a report that was not tried yet, after another one failed, in
seconds: that one may have been refused for what it says."""

GIVE_UP = 60.0
"""A send that takes longer is left to itself and tried anew, in seconds."""

MAX_STUCK = 3
"""How many sends that were given up may hang at once before no other is begun."""

FORGET = 3_600.0
"""After so long one that hangs is not counted any more, in seconds."""

MAX_THREADS = 30
"""How many may hang in all: each has a thread."""


class Source(Protocol):
    """Knows what is to be told. Called from the threads of a `Delivery`."""

    def take(self, key: Key) -> Report | None:
        """Return what is to be told now. None: nothing."""

    def wait(self, key: Key) -> timedelta | None:
        """Return how long the rest has to wait. None: nothing is left."""

    def sent(self, key: Key, report: Report) -> None:
        """Take note that `report` was delivered."""


class Delivery:
    """
    Sends reports, one after the other, until they are delivered.

    All methods may be called from any thread, and none of them raises. In a forked
    child it begins empty: what waited is sent by the parent.
    """

    def __init__(
        self, name: str, source: Source, send: Callable[[Report], None], *, label: str
    ) -> None:
        """
        Make it; its thread is started with the first report.

        Args:
            name: Of the thread.
            source: What is told.
            send: Delivers one report, or raises. Called in a thread.
            label: What the log calls that which is sent.
        """
        self.name = name
        self.send = send
        self._source = source
        self._label = label
        self._renew()
        this = weakref.ref(self)
        if hasattr(os, "register_at_fork"):  # pragma: no branch
            os.register_at_fork(after_in_child=lambda: _renew(this()))

    def _renew(self) -> None:
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._due: dict[Key, float] = {}
        self._tries: dict[Key, int] = {}
        self._busy: Key | None = None
        self._failures = 0
        self._retry_at = self._fresh_at = 0.0
        self._stuck: set[Attempt] = set()
        self._is_closed = False
        self._is_hopeless = False
        self._has_complained = False

    @property
    def is_failing(self) -> bool:
        """The last send failed, so nobody should wait for the next one."""
        return self._failures > 0

    def post(self, key: Key, delay: timedelta = timedelta()) -> None:
        """Have what is to be told of `key` sent, after `delay`."""
        with self._changed:
            due = time.monotonic() + delay.total_seconds()
            known = self._due.get(key, due)
            # It has failed: something more to tell is no reason to hurry. Else the
            # sooner one: who comes too early is told how long to wait.
            self._due[key] = known if key in self._tries else min(due, known)
            self._start()
            self._changed.notify_all()

    def restart(self) -> None:
        """Start the thread where it could not be started for what waits."""
        if self._thread is None and self._due:
            with self._changed:
                self._start()

    def wait(self, key: Key, timeout: float) -> bool:
        """
        Wait until what is to be told of `key` now was sent.

        Args:
            key: What was posted.
            timeout: At most so many seconds, and no longer than sends succeed.
        """
        return self._wait_for({key}, timeout) and not self.is_failing

    def flush(
        self, keys: Iterable[Key], timeout: float, *, retry_for: float = 0.0
    ) -> bool:
        """
        Wait until what is due of `keys` was sent, up to `timeout` seconds.

        While sends fail only one that has begun already is waited for, and what is
        tried again in the next `retry_for` seconds.
        """
        return self._wait_for(set(keys), timeout, retry_for=retry_for)

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

    def end(self, attempt: Attempt) -> None:
        """Take note that `attempt` is over; called by its own thread."""
        with self._changed:
            attempt.is_over = True
            is_late = attempt.is_given_up
            self._stuck.discard(attempt)
            if is_late and attempt.error and attempt.key in self._due:
                # It was waited for, lest it be told twice.
                self._due[attempt.key] = time.monotonic()
            self._changed.notify_all()
        if is_late and not attempt.error:
            self._take_note(attempt.key, attempt.report)

    def _wait_for(
        self, keys: set[Key], timeout: float, *, retry_for: float = 0.0
    ) -> bool:
        now = time.monotonic()
        deadline, retry_until = now + timeout, now + retry_for
        with self._changed:
            while self._is_awaited(keys, retry_until):
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def _is_awaited(self, keys: set[Key], retry_until: float) -> bool:
        if self._busy in keys:
            return True
        until = time.monotonic()
        if self.is_failing:
            if self._is_hopeless or retry_until <= until:
                return False
            until = retry_until
        return any(self._when(key) <= until for key in self._due if key in keys)

    def _start(self) -> None:
        if self._is_closed or (self._thread is not None and self._thread.is_alive()):
            return
        self._thread = threading.Thread(
            target=self._run, args=(self._changed,), name=self.name, daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError as exc:
            # No more threads, or the interpreter ends. What waits is in the state.
            self._thread = None
            self._complain(f"its thread cannot be started: {exc}")

    def _run(self, mutex: threading.Condition) -> None:
        while True:
            try:
                key = self._next()
                if key is None:
                    return
                self._deliver(key)
            except BaseException:
                # A mistake in here must not cost the admins the rest.
                logger.exception("The delivery of reports raised.")
                time.sleep(FIRST_RETRY)
            finally:
                with mutex:
                    self._busy = None
                    mutex.notify_all()

    def _next(self) -> Key | None:
        """Wait for a report that is due, and return its key. None: it was closed."""
        with self._changed:
            while not self._is_closed:
                now = time.monotonic()
                ready = [key for key in self._due if self._when(key) <= now]
                if ready and not self._is_blocked(now):
                    # Those that fail must not keep the others from being tried.
                    key = min(ready, key=lambda one: self._tries.get(one, 0))
                    del self._due[key]
                    self._busy = key
                    return key
                self._changed.wait(self._sleep(now))
        return None

    def _sleep(self, now: float) -> float | None:
        """Return how many seconds there is nothing to do. None: nobody knows."""
        if not self._due:
            return None
        left = min(map(self._when, self._due)) - now
        if self._is_blocked(now):
            if len(self._stuck) >= MAX_THREADS:
                return None
            ends = sorted(one.given_up_at + FORGET for one in self._stuck)
            left = ends[-MAX_STUCK] - now
        return min(max(left, 0.0), threading.TIMEOUT_MAX)

    def _is_blocked(self, now: float) -> bool:
        """Say whether so many sends hang that none may be begun."""
        fresh = sum(now - one.given_up_at < FORGET for one in self._stuck)
        return fresh >= MAX_STUCK or len(self._stuck) >= MAX_THREADS

    def _when(self, key: Key) -> float:
        """Return when to send what waits of `key`, on the monotonic clock."""
        rest = self._retry_at if key in self._tries else self._fresh_at
        return max(self._due[key], rest)

    def _deliver(self, key: Key) -> None:
        report = self._source.take(key)
        if report is None:
            delay = self._source.wait(key)
            if delay is not None:
                # Not at once: it would be asked for again and again.
                self.post(key, max(delay, timedelta(seconds=FIRST_RETRY)))
            else:
                # Nothing of it is left that could be tried again.
                with self._changed:
                    self._tries.pop(key, None)
            return
        attempt = Attempt(self, key, report)
        error = self._attempt(attempt)
        if error:
            self._after_failure(attempt, error)
        else:
            self._take_note(key, report)

    def _attempt(self, attempt: Attempt) -> str:
        """Send a report. Return what went wrong, empty when nothing did."""
        try:
            attempt.start()
        except RuntimeError as exc:
            return f"no thread can be started: {exc}"
        with self._changed:
            self._changed.wait_for(lambda: attempt.is_over or self._is_closed, GIVE_UP)
            if attempt.is_over:
                return attempt.error
            attempt.is_given_up = True
            attempt.given_up_at = time.monotonic()
            self._stuck.add(attempt)
            is_blocked = self._is_blocked(attempt.given_up_at)
        if is_blocked:
            logger.error(
                "%d sends of %s hang: the next one begins when one of them ends, or in "
                "an hour. Give what sends a timeout.",
                len(self._stuck),
                self._label,
                extra={"action": "delivery_hangs"},
            )
        return f"it hangs for {GIVE_UP:g} seconds"

    def _after_failure(self, attempt: Attempt, error: str) -> None:
        key, hangs = attempt.key, attempt.is_given_up
        with self._changed:
            if hangs and attempt.is_over:
                # Just now, after all.
                if not attempt.error:
                    return
                hangs = False
            self._failures += 1
            self._is_hopeless = attempt.is_hopeless
            self._tries[key] = self._tries.get(key, 0) + 1
            now = time.monotonic()
            self._retry_at = now + backoff(self._failures)
            self._fresh_at = min(self._retry_at, now + FRESH_RETRY)
            # One that hangs may be delivered yet, and has an end as a rule.
            self._due[key] = now + (LAST_RETRY if hangs else backoff(self._tries[key]))
        self._complain(error)

    def _complain(self, error: str) -> None:
        level = logging.DEBUG if self._has_complained else logging.WARNING
        self._has_complained = True
        logger.log(
            level,
            "Could not send %s: %s. It is tried again until it works.",
            self._label,
            error,
            extra={"action": "delivery_failed"},
        )

    def _take_note(self, key: Key, report: Report) -> None:
        with self._changed:
            self._failures = 0
            self._is_hopeless = False
            self._retry_at = self._fresh_at = 0.0
            self._tries.pop(key, None)
            works_again = self._has_complained and not self._tries
            if works_again:
                self._has_complained = False
        if works_again:
            logger.warning(
                "Sending %s works again.",
                self._label,
                extra={"action": "delivery_works"},
            )
        try:
            self._source.sent(key, report)
        except BaseException:
            # It was delivered: a mistake in here must not have it sent again.
            logger.exception("Could not take note of what was sent.")


def backoff(failures: int) -> float:
    """Return how many seconds to wait after so many failures, with jitter."""
    longest = min(LAST_RETRY, FIRST_RETRY * 2.0 ** min(failures - 1, 30))
    return longest * random.uniform(0.8, 1.0)


def _renew(delivery: Delivery | None) -> None:
    if delivery is not None:
        delivery._renew()
