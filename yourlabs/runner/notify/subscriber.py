"""Listens to the signals of every chain, and has a channel report what matters."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from typing import Any

from yourlabs.runner import signals
from yourlabs.runner.forks import renew_in_child
from yourlabs.runner.log import logger
from yourlabs.runner.notify.base import Notifier
from yourlabs.runner.notify.delivery import Delivery, Key, Send
from yourlabs.runner.notify.mail_text import Report
from yourlabs.runner.notify.notification_log import MAX_COPIES, NotificationLog

PATIENCE = 0.25
"""How long a chain waits for its report to be delivered, in seconds, if deliveries do
not fail: it keeps the lines of the log in order."""

FLUSH = 0.7
"""How long a chain that stops waits for its reports, in seconds: the next owner sends
what was not delivered."""

LAST_FLUSH = 10.0
"""The same for one that runs its tasks once: its next owner may come tomorrow, so it
also waits for reports that are tried again."""


connected: list[Subscriber] = []
"""The subscribers of this process that are connected."""


class Subscriber:
    """
    Has a notifier report what happens to the chains of this process.

    A forked child begins with nothing: the chains run in the parent.
    """

    def __init__(self, notifier: Notifier, *, section: str | None = None) -> None:
        """Make it; its log is in `section` of a chain's state."""
        self.notifier = notifier
        self.section = section or f"notifications.{notifier.name}"
        self._receivers: tuple[tuple[Any, Callable[..., None]], ...] = (
            (signals.chain_started, self.chain_started),
            (signals.chain_stopped, self.chain_stopped),
            (signals.task_failed, lambda _, *, failure, **__: self._happened(failure)),
            (signals.task_recovered, lambda _, *, recovery: self._happened(recovery)),
            (signals.task_stalled, lambda _, *, stall: self._happened(stall, 0.0)),
        )
        self._renew()
        this = weakref.WeakMethod(self._renew)
        renew_in_child("notify", lambda: (renew := this()) and renew())

    def _renew(self) -> None:
        self.delivery = Delivery(self.notifier, self._take, self._note)
        self._chains: dict[str, NotificationLog] = {}

    def connect(self) -> None:
        """Listen to the signals. Harmless when it is connected already."""
        if self not in connected:
            connected.append(self)
        for signal, receiver in self._receivers:
            signal.connect(receiver, weak=False)

    def disconnect(self) -> None:
        """Stop listening; the log stays."""
        if self in connected:
            connected.remove(self)
        for signal, receiver in self._receivers:
            signal.disconnect(receiver)

    def chain_started(self, thread: Any) -> None:
        """Open the log of the chain, and send what the last owner left unsent."""
        if not self.notifier.is_enabled():
            return
        log = self._chains[thread.chain.name] = NotificationLog(thread, self.section)
        for key in log.told:
            self._post(log, key)

    def chain_stopped(self, thread: Any) -> None:
        """Send what is due, for a moment, and leave the rest to the next owner."""
        log = self._chains.get(thread.chain.name)
        if log is None or log.thread is not thread:
            return
        keys = [(log.name, key) for key in log.told]
        timeout = LAST_FLUSH if thread.once else FLUSH
        self.delivery.wait(keys, timeout, retries=thread.once)
        if self._chains.get(log.name) is log:
            # It may have been started again meanwhile.
            del self._chains[log.name]
            self.delivery.withdraw(keys)
        with log.lock:
            log.write()

    def _happened(self, event: Any, patience: float = PATIENCE) -> None:
        log = self._chains.get(event.chain)
        if log is not None and event.task in log.keys:
            self.send_owed(event.chain, log.keys[event.task], patience)

    def send_owed(self, name: str, key: str, patience: float = 0.0) -> None:
        """Have what is owed sent; wait `patience` seconds, at most the cooldown."""
        log = self._find((name, key))
        if log is None or not self._post(log, key) or self.delivery.is_failing:
            return
        cooldown = log.executions[key].cooldown.total_seconds()
        self.delivery.wait([(name, key)], min(patience, cooldown))

    def _post(self, log: NotificationLog, key: str) -> bool:
        """Have what is owed sent when it is due; return whether that is now."""
        found = log.owed(key)
        wait = 0.0 if found.reasons else found.wait
        if wait is not None:
            self.delivery.post((log.name, key), wait)
        return bool(found.reasons)

    def _find(self, key: Key) -> NotificationLog | None:
        """Return the log of a task. None: its chain has stopped."""
        log = self._chains.get(key[0])
        return log if log is not None and key[1] in log.told else None

    def _take(self, key: Key) -> Report | float | None:
        log = self._find(key)
        return None if log is None else log.report(key[1])

    def _note(self, send: Send) -> bool:
        """Record that a report was delivered, or may have been; see `Delivery`."""
        log, report, label = self._find(send.key), send.report, self.notifier.label
        is_answered = send.error is None
        if log is not None:
            if not log.note(send.key[1], report, is_answered=is_answered):
                return False
            self._post(log, send.key[1])
        elif not is_answered:
            return False
        level, action = logging.INFO, "report_sent"
        queue = f" (handed to {send.handed_to})" if send.handed_to else ""
        text = f"Sent {label}: {report.reason}{queue}"
        if not is_answered:
            level, action = logging.ERROR, "report_unanswered"
            text = (
                f"Sent {label} {MAX_COPIES} times, and nobody said that it was taken: "
                f"{report.reason}. It counts as told."
            )
        extra = {"action": action, "task": report.task}
        logger.log(level, "[%s] %s", report.task, text, extra=extra)
        return True
