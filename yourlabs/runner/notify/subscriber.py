"""Listens to the signals of every chain, and has a notifier tell what matters."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from yourlabs.runner import signals
from yourlabs.runner.chain.task import Task
from yourlabs.runner.failures.records import Failure, Recovery, Stall
from yourlabs.runner.forks import renew_in_child
from yourlabs.runner.log import logger
from yourlabs.runner.notify.base import Notifier
from yourlabs.runner.notify.chain_told import (
    LOOK_AT_HANGS_EVERY,
    MAX_COPIES,
    ChainTold,
)
from yourlabs.runner.notify.delivery import Delivery, Key
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
            (signals.task_failed, self.task_failed),
            (signals.task_recovered, self.task_recovered),
            (signals.task_stalled, self.task_stalled),
        )
        self._renew()
        this = weakref.ref(self)
        renew_in_child("notify", lambda: _renew(this()))

    def _renew(self) -> None:
        self.delivery = Delivery(
            f"runner-{self.notifier.name}",
            self,
            self.notifier.send,
            label=self.notifier.label,
        )
        self._chains: dict[str, ChainTold] = {}

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

    # Receivers of the signals.

    def chain_started(self, thread: Any) -> None:
        """Go on where the last owner of the chain ended."""
        if not self.notifier.is_enabled():
            return
        chain = self._chains[thread.chain.name] = ChainTold(thread, self.section)
        for key in chain.told:
            self._post(chain, key)

    def chain_stopped(self, thread: Any) -> None:
        """Send what is due, for a moment, and leave the rest to the next owner."""
        chain = self._chains.get(thread.chain.name)
        if chain is None or chain.thread is not thread:
            return
        keys = [(chain.name, key) for key in chain.told]
        if thread.once:
            self.delivery.wait(keys, LAST_FLUSH, retry_for=LAST_RETRIES)
        else:
            self.delivery.wait(keys, FLUSH)
        if self._chains.get(chain.name) is chain:
            # It may have been started again meanwhile.
            del self._chains[chain.name]
            self.delivery.withdraw(keys)
        with chain.lock:
            chain.write()

    def task_failed(self, sender: Task, *, failure: Failure, **_: Any) -> None:
        """Have a failure told, if that is owed; wait a moment for it."""
        self._tell(failure.chain, failure.task, PATIENCE)

    def task_recovered(self, sender: Task, *, recovery: Recovery, **_: Any) -> None:
        """Have a recovery told, if that is owed; wait a moment for it."""
        self._tell(recovery.chain, recovery.task, PATIENCE)

    def task_stalled(self, sender: Task, *, stall: Stall, **_: Any) -> None:
        """Have a stall told, if that is owed."""
        self._tell(stall.chain, stall.task, 0.0)

    def _tell(self, name: str, task: Task, patience: float) -> None:
        chain = self._chains.get(name)
        if chain is not None and task in chain.keys:
            self.tell(name, chain.keys[task], patience)

    def tell(self, name: str, key: str, patience: float = 0.0) -> None:
        """
        Have what is owed told; wait a moment for it.

        Args:
            name: Of the chain.
            key: Of the task in it.
            patience: How long to wait, in seconds, and no longer than its cooldown.
        """
        chain = self._find((name, key))
        if chain is None or not self._post(chain, key) or self.delivery.is_failing:
            return
        cooldown = chain.executions[key].cooldown.total_seconds()
        self.delivery.wait([(name, key)], min(patience, cooldown))

    def _post(self, chain: ChainTold, key: str) -> bool:
        """Have what is owed delivered; return whether that is now."""
        found = chain.decide(key)
        if found.reasons:
            self.delivery.post((chain.name, key))
        elif found.wait is not None:
            self.delivery.post((chain.name, key), found.wait)
        elif chain.told[key].hangs:
            self.delivery.post((chain.name, key), LOOK_AT_HANGS_EVERY)
        return bool(found.reasons)

    def _find(self, key: Key) -> ChainTold | None:
        """Return the chain of a task; None: another one has its name by now."""
        chain = self._chains.get(key[0])
        return chain if chain is not None and key[1] in chain.told else None

    # What the delivery asks for.

    def take(self, key: Key) -> Report | float | None:
        """Return what is to be told now, or in how many seconds to ask again."""
        chain = self._find(key)
        return None if chain is None else chain.report(key[1])

    def sent(self, key: Key, report: Report) -> None:
        """Record that `report` was delivered."""
        chain = self._find(key)
        if chain is not None:
            chain.take_note(key[1], report)
            self._post(chain, key[1])
        logger.info(
            "[%s] Sent %s: %s",
            report.task,
            self.notifier.label,
            report.reason,
            extra={"action": "report_sent", "task": report.task},
        )

    def unanswered(self, key: Key, report: Report) -> bool:
        """Record that `report` may have been delivered; say whether it counts as so."""
        chain = self._find(key)
        if chain is None or not chain.take_note(key[1], report, is_copy=True):
            return False
        logger.error(
            "[%s] Sent %s %d times, and nobody said that it was taken: %s. It counts "
            "as told.",
            report.task,
            self.notifier.label,
            MAX_COPIES,
            report.reason,
            extra={"action": "report_unanswered", "task": report.task},
        )
        self._post(chain, key[1])
        return True


def _renew(subscriber: Subscriber | None) -> None:
    if subscriber is not None:
        subscriber._renew()
