"""Sends what a task did in a thread of its own, a few times a minute at the most."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from yourlabs.runner import signals
from yourlabs.runner.chain.loading import load_tasks
from yourlabs.runner.failures.records import Failure, Run
from yourlabs.runner.failures.redact import redact
from yourlabs.runner.forks import renew_in_child
from yourlabs.runner.log import logger

MINUTE_S = 60.0
FLUSH_S = 2.0  # how long a chain that stops waits for what is due


class Event(NamedTuple):
    """What a task did."""

    kind: str
    """``start``, ``success`` or ``fail``."""
    text: str = ""
    """The failure, with secrets masked."""
    duration: float | None = None
    """In seconds. None: it has begun."""


class Sender:
    """
    Listens to one task for as long as the process lives, and sends what it did.

    No chain ever waits for it but at its end, for a moment. Of what comes too fast the
    newest is sent, and a failure always. What cannot be sent is logged once, and
    dropped: the next one is as good.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        send: Callable[[Event], None],
        *,
        per_minute: int,
        starts: bool,
    ) -> None:
        (self.task,) = load_tasks([function])
        self._send, self._per_minute = send, per_minute
        self._renew()
        renew_in_child("notify", self._renew)
        sender = self.task.sender
        if starts:
            signals.task_started.connect(self._started, sender=sender, weak=False)
        signals.task_succeeded.connect(self._succeeded, sender=sender, weak=False)
        signals.task_failed.connect(self._failed, sender=sender, weak=False)
        signals.chain_stopped.connect(self._stopped, weak=False)

    def _renew(self) -> None:
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._due: dict[str, Event] = {}
        self._sent: deque[float] = deque(maxlen=self._per_minute)
        self._is_busy = self._has_complained = False

    def _started(self, _: Any, *, run: Run) -> None:
        self.post(Event("start"))

    def _succeeded(self, _: Any, *, run: Run) -> None:
        duration = None if run.duration is None else run.duration.total_seconds()
        self.post(Event("success", "", duration))

    def _failed(self, _: Any, *, failure: Failure, **__: Any) -> None:
        text = failure.traceback or f"{failure.exception_type}: {failure.message}"
        self.post(Event("fail", redact(text), failure.duration.total_seconds()))

    def _stopped(self, _: Any) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: not (self._is_busy or self._due) or self._wait() > 0, FLUSH_S
            )

    def post(self, event: Event) -> None:
        """Have an event sent, when that may be."""
        with self._changed:
            if event.kind != "start":
                # It is over, so nobody needs to know that it began.
                self._due.pop("start", None)
            self._due[event.kind] = event
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name=f"{self.task.name}-checkins", daemon=True
                )
                try:
                    self._thread.start()
                except RuntimeError:
                    self._thread = None
            self._changed.notify_all()

    def _wait(self) -> float:
        """Return how long it takes until one more may be sent, in seconds."""
        if len(self._sent) < self._per_minute:
            return 0.0
        return self._sent[0] + MINUTE_S - time.monotonic()

    def _next(self) -> Event:
        with self._changed:
            while not self._due or self._wait() > 0:
                self._changed.wait(self._wait() if self._due else None)
            kind = "fail" if "fail" in self._due else next(iter(self._due))
            self._is_busy = True
            self._sent.append(time.monotonic())
            return self._due.pop(kind)

    def _run(self) -> None:
        while True:
            event = self._next()
            try:
                self._send(event)
                self._has_complained = False
            except Exception as exc:
                self._complain(exc)
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()

    def _complain(self, exc: Exception) -> None:
        if not self._has_complained:
            self._has_complained = True
            logger.warning(
                "[%s] Could not check in: %s. The next run tries again.",
                self.task.name,
                exc,
                extra={"action": "checkin_failed", "task": self.task.name},
            )
