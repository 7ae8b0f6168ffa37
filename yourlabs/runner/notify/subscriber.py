"""Listens to the signals of every chain, and has a notifier tell what matters."""

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
from yourlabs.runner.notify.ledger import LOOK_AT_HANGS_EVERY, MAX_COPIES, Ledger
from yourlabs.runner.notify.report import Report

PATIENCE = 0.25
"""A chain waits so long for its report to be delivered, in seconds, and never while
delivery fails: the log then reads in the order in which things happened."""

FLUSH = 0.7
"""A chain that stops waits so long for its reports, in seconds: the next owner sends
what was not delivered."""

LAST_FLUSH = 10.0
"""So long waits one that ran its tasks once: the next owner may come tomorrow."""

LAST_RETRIES = 5.0
"""So long it waits for reports that are tried again, in seconds."""


connected: list[Subscriber] = []
"""Those that listen, of this process."""


class Subscriber:
    """
    Tells a notifier of what happens to every chain of this process.

    Its receivers run in the threads of the chains; reports are sent by its own. A
    forked child begins with nothing: the chains run in the parent.
    """

    def __init__(self, notifier: Notifier, *, section: str | None = None) -> None:
        """
        Make it; `connect` has it listen.

        Args:
            notifier: What sends.
            section: Of the chains' state. None: made of the notifier's name.
        """
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
        self._chains: dict[str, Ledger] = {}

    def connect(self) -> None:
        """Listen to the signals. Harmless when it does already."""
        if self not in connected:
            connected.append(self)
        for signal, receiver in self._receivers:
            signal.connect(receiver, weak=False)

    def disconnect(self) -> None:
        """Listen no more; what is known stays known."""
        if self in connected:
            connected.remove(self)
        for signal, receiver in self._receivers:
            signal.disconnect(receiver)

    def chain_started(self, thread: Any) -> None:
        """Go on where the last owner of the chain ended."""
        if not self.notifier.is_enabled():
            return
        ledger = self._chains[thread.chain.name] = Ledger(thread, self.section)
        for key in ledger.told:
            self._post(ledger, key)

    def chain_stopped(self, thread: Any) -> None:
        """Send what is due, for a moment, and leave the rest to the next owner."""
        ledger = self._chains.get(thread.chain.name)
        if ledger is None or ledger.thread is not thread:
            return
        keys = [(ledger.name, key) for key in ledger.told]
        timeout, retry_for = (LAST_FLUSH, LAST_RETRIES) if thread.once else (FLUSH, 0.0)
        self.delivery.wait(keys, timeout, retry_for=retry_for)
        if self._chains.get(ledger.name) is ledger:
            # It may have been started again meanwhile.
            del self._chains[ledger.name]
            self.delivery.withdraw(keys)
        with ledger.lock:
            ledger.write()

    def _happened(self, event: Any, patience: float = PATIENCE) -> None:
        ledger = self._chains.get(event.chain)
        if ledger is not None and event.task in ledger.keys:
            self.tell(event.chain, ledger.keys[event.task], patience)

    def tell(self, name: str, key: str, patience: float = 0.0) -> None:
        """
        Have what is owed told; wait a moment for it.

        Args:
            name: Of the chain.
            key: Of the task in it.
            patience: How long to wait, in seconds, and no longer than its cooldown.
        """
        ledger = self._find((name, key))
        if ledger is None or not self._post(ledger, key) or self.delivery.is_failing:
            return
        cooldown = ledger.executions[key].cooldown.total_seconds()
        self.delivery.wait([(name, key)], min(patience, cooldown))

    def _post(self, ledger: Ledger, key: str) -> bool:
        """Have what is owed delivered; return whether that is now."""
        found = ledger.owed(key)
        wait = 0.0 if found.reasons else found.wait
        if wait is None and ledger.told[key].hangs:
            wait = LOOK_AT_HANGS_EVERY
        if wait is not None:
            self.delivery.post((ledger.name, key), wait)
        return bool(found.reasons)

    def _find(self, key: Key) -> Ledger | None:
        """Return the ledger of a task; None: another chain has its name by now."""
        ledger = self._chains.get(key[0])
        return ledger if ledger is not None and key[1] in ledger.told else None

    def _take(self, key: Key) -> Report | float | None:
        ledger = self._find(key)
        return None if ledger is None else ledger.report(key[1])

    def _note(self, send: Send) -> bool:
        """Record that a report was delivered, or may have been; see `Delivery`."""
        ledger, report, label = self._find(send.key), send.report, self.notifier.label
        is_answered = send.error is None
        if ledger is not None:
            if not ledger.note(send.key[1], report, is_answered=is_answered):
                return False
            self._post(ledger, send.key[1])
        elif not is_answered:
            return False
        level, action = logging.INFO, "report_sent"
        text = f"Sent {label}: {report.reason}"
        if not is_answered:
            level, action = logging.ERROR, "report_unanswered"
            text = (
                f"Sent {label} {MAX_COPIES} times, and nobody said that it was taken: "
                f"{report.reason}. It counts as told."
            )
        elif send.handed_to:
            text += f" (handed to {send.handed_to})"
        extra = {"action": action, "task": report.task}
        logger.log(level, "[%s] %s", report.task, text, extra=extra)
        return True
