"""Listens to the signals of every chain, and has a notifier tell what matters."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from yourlabs.runner import signals
from yourlabs.runner.chain.task import Task
from yourlabs.runner.failures.downtime import Incident, resumed
from yourlabs.runner.failures.records import Failure, Recovery, Run, Stall
from yourlabs.runner.log import logger
from yourlabs.runner.notify import notifications, releases, telling
from yourlabs.runner.notify.attempts import Key
from yourlabs.runner.notify.chain_log import ChainLog, history_of, new_start
from yourlabs.runner.notify.delivery import Delivery
from yourlabs.runner.notify.histories import NOTHING, History, Rules
from yourlabs.runner.notify.history_json import history_from_json
from yourlabs.runner.notify.report import Report
from yourlabs.runner.ownership.record import COMMAND

if TYPE_CHECKING:
    from yourlabs.runner.notifiers import Notifier

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
        self.delivery = Delivery(
            f"runner-{notifier.name}", self, notifier.send, label=notifier.label
        )
        self._receivers: tuple[tuple[Any, Callable[..., None]], ...] = (
            (signals.chain_started, self.chain_started),
            (signals.chain_stopped, self.chain_stopped),
            (signals.task_failed, self.task_failed),
            (signals.task_recovered, self.task_recovered),
            (signals.task_stalled, self.task_stalled),
        )
        self._renew()
        this = weakref.ref(self)
        if hasattr(os, "register_at_fork"):  # pragma: no branch
            os.register_at_fork(after_in_child=lambda: _renew(this()))

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self._logs: dict[str, ChainLog] = {}
        self._hanging: set[tuple[str, Task]] = set()

    def connect(self) -> None:
        """Listen to the signals. Harmless when it does already."""
        for signal, receiver in self._receivers:
            signal.connect(receiver, weak=False)

    def disconnect(self) -> None:
        """Listen no more; what is known stays known."""
        for signal, receiver in self._receivers:
            signal.disconnect(receiver)
        signals.task_succeeded.disconnect(self.task_succeeded)

    # Receivers of the signals.

    def chain_started(self, thread: Any) -> None:
        """Go on where the last owner of the chain ended."""
        keys = thread.chain.keys()
        log = ChainLog(thread.chain.name, thread.state, self.section, keys)
        log.thread = thread
        log.is_enabled = self.notifier.is_enabled()
        with self._lock:
            self._logs[thread.chain.name] = log
        if not log.is_enabled:
            return
        value = log.read()
        log.release = releases.release_of(thread.chain)
        # Who restarts what crashes is no person that wants to be told again.
        crashed = thread.lock.interrupted
        is_fresh = thread.fresh and (crashed is None or crashed.owner.kind != COMMAND)
        start = new_start(value, log.release, is_fresh=is_fresh)
        more = not (thread.once or thread.lock.was_cut)
        now = _now()
        with log.lock:
            for task, key in keys.items():
                history = history_from_json(history_of(value, key), now)
                if history == NOTHING and not start:
                    # Of most tasks nothing is known, and no rules are needed.
                    continue
                log.histories[key] = notifications.begin(
                    history, now, log.rules(task), start=start, more=more
                )
            log.write()
        for runner in thread.tasks:
            history = log.histories.get(runner.key, NOTHING)
            if history.is_down and runner.incident is None:
                # What was told is known, but not the downtime itself: the process was
                # killed in between, or nobody was to be told of its end.
                runner.incident = _incident_of(history)
        for task, key in keys.items():
            history = log.histories.get(key, NOTHING)
            if history.stalled_since is not None:
                self._listen_to_success(log.name, task)
            self._post(log, key)

    def chain_stopped(self, thread: Any) -> None:
        """Send what is due, for a moment, and leave the rest to the next owner."""
        for task in thread.chain.tasks:
            self._end_listening(thread.chain.name, task)
        log = self._logs.get(thread.chain.name)
        if log is None:
            return
        keys = [(thread.chain.name, key) for key in log.histories]
        if thread.once:
            self.delivery.flush(keys, LAST_FLUSH, retry_for=LAST_RETRIES)
        else:
            self.delivery.flush(keys, FLUSH)
        with self._lock:
            self._logs.pop(thread.chain.name, None)
        self.delivery.withdraw(keys)
        if not log.is_enabled:
            return
        with log.lock:
            log.write()

    def task_failed(self, sender: Task, *, failure: Failure, **_: Any) -> None:
        """Record a failure; wait a moment when it is told."""
        log, task = self._log(failure.chain), failure.task

        def change(history: History, rules: Rules) -> History:
            if history.stalled_since is not None:
                self._end_listening(failure.chain, task)
                took = _took(history, failure.started_at, failure.duration)
                history = notifications.record_stall_end(
                    history, failure.failed_at, took
                )
            return notifications.record_failure(
                history, failure, rules, where=log.where
            )

        if self._record(log, task, change):
            self._wait(log, task, task.fail_cooldown)

    def task_recovered(self, sender: Task, *, recovery: Recovery, **_: Any) -> None:
        """Record a recovery; wait a moment when it is told."""
        log, task = self._log(recovery.chain), recovery.task

        def change(history: History, rules: Rules) -> History:
            at = recovery.recovered_at
            if history.stalled_since is not None:
                self._end_listening(recovery.chain, task)
                history = notifications.record_stall_end(history, at)
            return notifications.record_recovery(history, at, recovery.downtime, rules)

        if self._record(log, task, change):
            self._wait(log, task, task.success_cooldown)

    def task_stalled(self, sender: Task, *, stall: Stall, **_: Any) -> None:
        """Record that a run hangs, and listen to its end."""
        log, task = self._logs.get(stall.chain), stall.task
        if log is None:
            # The chain has ended meanwhile, and the run with it.
            return

        def change(history: History, rules: Rules) -> History:
            history = notifications.record_stall(history, stall)
            if log.is_over(stall) and self._end_listening(stall.chain, task):
                # It ended while other receivers, and handlers of the log, were told.
                history = notifications.record_stall_end(history, _now())
            return history

        self._listen_to_success(stall.chain, task)
        self._record(log, task, change)

    def task_succeeded(self, sender: Task, *, run: Run, **_: Any) -> None:
        """Record the end of a run that hung. Connected only while one does."""
        task = run.task
        if not self._end_listening(run.chain, task):
            # Another chain runs the same task, and hangs in it.
            return

        def change(history: History, rules: Rules) -> History:
            at = run.ended_at or _now()
            took = _took(history, run.started_at, run.duration)
            return notifications.record_stall_end(history, at, took)

        self._record(self._log(run.chain), task, change)

    def _listen_to_success(self, chain: str, task: Task) -> None:
        with self._lock:
            self._hanging.add((chain, task))
            signals.task_succeeded.connect(
                self.task_succeeded, sender=task.sender, weak=False
            )

    def _end_listening(self, chain: str, task: Task) -> bool:
        """Listen no longer to a chain; return whether it was listened to."""
        with self._lock:
            if (chain, task) not in self._hanging:
                return False
            self._hanging.remove((chain, task))
            sender = task.sender
            if all(one.sender is not sender for _, one in self._hanging):
                signals.task_succeeded.disconnect(self.task_succeeded, sender=sender)
            if not self._hanging:
                # Only this takes the receiver away: else each success would cost.
                signals.task_succeeded.disconnect(self.task_succeeded)
        return True

    # What the delivery asks for.

    def take(self, key: Key) -> Report | None:
        """Return what is to be told now. None: nothing."""
        log, task = self._logs.get(key[0]), key[1]
        if log is None:
            return None
        with log.lock:
            log.histories[task], report = telling.make_report(
                log.histories.get(task, NOTHING),
                _now(),
                log.rules_of(task),
                chain=log.name,
                task=log.name_of(task),
                where=log.where,
            )
        return report

    def wait(self, key: Key) -> timedelta | None:
        """Return how long what is left has to wait. None: nothing is left."""
        log = self._logs.get(key[0])
        if log is None:
            return None
        history = log.histories.get(key[1], NOTHING)
        return telling.wait(history, _now(), log.rules_of(key[1]))

    def sent(self, key: Key, report: Report) -> None:
        """Record that `report` was delivered."""
        log, task = self._logs.get(key[0]), key[1]
        if log is not None:
            with log.lock:
                log.histories[task] = telling.told(
                    log.histories.get(task, NOTHING), report, _now(), log.rules_of(task)
                )
                log.write(now=True)
            self._post(log, task)
        logger.info(
            "[%s] Sent %s: %s",
            report.task,
            self.notifier.label,
            report.reason,
            extra={"action": "report_sent", "task": report.task},
        )

    # Inside.

    def _log(self, chain: str) -> ChainLog:
        """Return the log of `chain`: without a state when nobody said it started."""
        log = self._logs.get(chain)
        if log is not None:
            return log
        with self._lock:
            log = self._logs.get(chain)
            if log is None:
                log = ChainLog(chain, None, self.section)
                log.is_enabled = self.notifier.is_enabled()
                self._logs[chain] = log
        return log

    def _record(
        self, log: ChainLog, task: Task, change: Callable[[History, Rules], History]
    ) -> bool:
        """Change the history of `task`; return whether something is to be told now."""
        if not log.is_enabled:
            return False
        key = log.key_of(task)
        with log.lock:
            before = log.histories.get(key, NOTHING)
            after = change(before, log.rules(task))
            log.histories[key] = after
            is_decided = after.pending != before.pending
            if is_decided:
                # Before it is sent: a kill between the two must lose nothing.
                log.write(now=True)
            else:
                log.write_now_and_then()
        if not is_decided:
            self.delivery.restart()
            return False
        return self._post(log, key)

    def _post(self, log: ChainLog, key: str) -> bool:
        """Have what is pending delivered; return whether it is due now."""
        history = log.histories.get(key, NOTHING)
        delay = telling.wait(history, _now(), log.rules_of(key))
        if delay is None:
            return False
        self.delivery.post((log.name, key), delay)
        return not delay

    def _wait(self, log: ChainLog, task: Task, cooldown: timedelta) -> None:
        if not self.delivery.is_failing:
            seconds = min(cooldown.total_seconds(), PATIENCE)
            self.delivery.wait((log.name, log.key_of(task)), seconds)


def _took(
    history: History, started_at: datetime, duration: timedelta | None
) -> timedelta | None:
    """Return how long the run took that hung. None: it was another one."""
    since = history.stalled_since
    if since is None or abs(started_at - since) >= timedelta(seconds=1):
        return None
    return duration


def _incident_of(history: History) -> Incident:
    now = time.time()
    since = history.down_since.timestamp() if history.down_since else now
    incident = resumed(since, now=now, monotonic=time.monotonic())
    incident.failures = max(1, history.consecutive)
    return incident


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _renew(subscriber: Subscriber | None) -> None:
    if subscriber is not None:
        subscriber._renew()
