"""
For tests: chains that run without waiting, in memory, by a clock that a test moves.

Nothing here touches a file.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from yourlabs.runner import signals
from yourlabs.runner.chain.loading import load_tasks
from yourlabs.runner.chain.task import DOWN, Chain, Task, make_chain
from yourlabs.runner.chain.thread import RunnerThread
from yourlabs.runner.failures.records import Failure, Recovery
from yourlabs.runner.notify.mail_text import Report
from yourlabs.runner.notify.notification_log import NotificationLog
from yourlabs.runner.ownership.base import Claim, Clock
from yourlabs.runner.ownership.record import HOSTED, Identity, OwnerRecord, RunMark
from yourlabs.runner.ownership.request import RequestTimeout


class FakeClock:
    """
    Stands in for the module `time`; it stands still until a test moves it.

    Args:
        now: Where it begins, in seconds since the epoch.
    """

    def __init__(self, now: float = 1_750_000_000.0) -> None:
        self._time, self._monotonic = now, 1_000.0

    def time(self) -> float:
        """Return seconds since the epoch."""
        return self._time

    def monotonic(self) -> float:
        """Return seconds since some moment."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._time += seconds
        self._monotonic += seconds

    def set_back(self, seconds: float) -> None:
        """Set the clock on the wall back; negative: forward. No time passes."""
        self._time -= seconds


@contextmanager
def eager_chain(
    functions: Iterable[str | Callable[[], Any]],
    *,
    name: str | None = None,
    clock: FakeClock | None = None,
) -> Iterator[EagerChain]:
    """
    Have a chain that runs in the calling thread, for as long as the block lasts.

    Args:
        functions: As for `start_chain`.
        name: Of the chain. None: the functions' names joined by ``_``.
        clock: Passes the cooldowns. None: a new one.

    Raises:
        InvalidTask, TaskNotFound, ImproperlyConfigured: As `start_chain`.
    """
    made = make_chain(load_tasks(functions), name=name)
    chain = EagerChain(made, clock or FakeClock())
    with (
        signals.chain_started.connected_to(chain._started, chain._thread),
        signals.task_failed.connected_to(chain._failed),
        signals.task_recovered.connected_to(chain._recovered),
    ):
        try:
            yield chain
        finally:
            chain._thread.loop.release()


class EagerChain:
    """
    A chain that a test runs, as many times as it wants; made by `eager_chain`.

    Attributes:
        clock: The clock of the chain. `run` moves it by the cooldowns.
        failures: What was sent with `task_failed`, in order.
        recoveries: What was sent with `task_recovered`, in order.
        reports: The mails that the admins would have got by now, in order.
    """

    def __init__(self, chain: Chain, clock: FakeClock) -> None:
        self.clock = clock
        self.failures: list[Failure] = []
        self.recoveries: list[Recovery] = []
        self.reports: list[Report] = []
        backend = MemoryBackend(clock)
        self._thread = RunnerThread(
            chain,
            ownership=backend.ownership(chain),
            store=backend.store(chain),
            watcher=_NoWatcher(),
            clock=clock,
        )
        self._next_at = clock.monotonic()
        self._log: NotificationLog | None = None

    @property
    def runs(self) -> int:
        """How many functions were run."""
        return sum(task.runs for task in dict.fromkeys(self._thread.tasks))

    @property
    def cooldown(self) -> float:
        """How long the chain waits now, until its next run, in seconds."""
        return max(0.0, self._next_at - self.clock.monotonic())

    def run(self, times: int = 1) -> None:
        """Run the next functions, so many calls; the clock passes the cooldowns."""
        enough = self.runs + times
        while self.runs < enough:
            self.clock.advance(self.cooldown)
            self._next_at = self._thread.loop.tick()

    def _started(self, sender: RunnerThread) -> None:
        self._log = NotificationLog(sender, "testing", clock=self.clock.time)

    def _failed(self, sender: Task, *, failure: Failure, **_: Any) -> None:
        if failure.chain == self._thread.chain.name:
            self.failures.append(failure)
            self._report(failure.task)

    def _recovered(self, sender: Task, *, recovery: Recovery) -> None:
        if recovery.chain == self._thread.chain.name:
            self.recoveries.append(recovery)
            self._report(recovery.task)

    def _report(self, task: Task) -> None:
        assert self._log is not None
        key = self._log.keys[task]
        report = self._log.report(key)
        if isinstance(report, Report):
            self._log.note(key, report)
            self.reports.append(report)


class _NoWatcher:
    def watch(self, thread: RunnerThread) -> None:
        """Do nothing: there is no thread that sleeps."""

    unwatch = watch


@dataclass(eq=False)
class MemoryStore:
    """A `Store` in memory, with what else all "processes" see of one chain."""

    mutex: threading.RLock = field(default_factory=threading.RLock)
    claim: MemoryClaim | None = None
    record: OwnerRecord | None = None
    requests: list[MemoryOwnership] = field(default_factory=list)
    document: str = "{}"
    control: str = "{}"

    def load(self) -> dict[str, Any]:
        return dict(json.loads(self.document))

    read = load

    def save(self, claim: Claim, sections: Mapping[str, Any]) -> None:
        document = json.dumps(dict(sections))
        if claim.check():
            self.document = document

    def desired(self, known: dict[str, Any] | None = None) -> dict[str, Any]:
        return dict(json.loads(self.control))

    def steer(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        with self.mutex:
            self.control = json.dumps(change(self.desired()))


class MemoryBackend:
    """
    A `Backend` whose chains end with it. Each `Ownership` of it stands for a process.

    Args:
        clock: The clock of its chains. None: the real one.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = time if clock is None else clock
        self._chains: dict[str, MemoryStore] = {}

    def names(self) -> list[str]:
        return sorted(name for name in self._chains if not name.endswith(DOWN))

    def forget(self, name: str) -> bool:
        """Forget a chain; False: it runs."""
        kept = self._chains.get(name)
        if kept is not None and kept.claim is not None:
            return False
        self._chains.pop(name, None)
        return True

    def ownership(self, chain: Chain, *, kind: str = HOSTED) -> MemoryOwnership:
        return MemoryOwnership(self.store(chain), chain, kind, self.clock)

    def store(self, chain: Chain) -> MemoryStore:
        return self._chains.setdefault(chain.name, MemoryStore())


class MemoryOwnership:
    """An `Ownership` in memory. `acquire` raises `error`; `silent` is what is wrong."""

    def __init__(
        self, kept: MemoryStore, chain: Chain, kind: str, clock: Clock
    ) -> None:
        self.error: Exception | None = None
        self.silent: str | None = None
        self.borrows = False
        self._kept, self._chain, self._clock = kept, chain, clock
        self._identity = Identity(os.getpid(), None, "", 0, "memory", kind)
        self._requests_of_others = RequestTimeout()
        self._asked: int | None = None

    def acquire(self) -> MemoryClaim | None:
        if self.error is not None:
            raise self.error
        kept, clock = self._kept, self._clock
        with kept.mutex:
            last = 0 if kept.record is None else kept.record.seq
            if kept.claim is not None:
                if kept.requests[:1] == [self]:
                    self._asked = last
                return None
            if self._requests_of_others.keeps_free_for(self._open(), clock.monotonic()):
                return None
            mine = self._identity, last + 1, clock.time(), self._chain.paths
            record = OwnerRecord(*mine, borrows=self.borrows)
            kept.claim = MemoryClaim(self, record)
            return kept.claim

    def _open(self) -> str | None:
        """Return the id of another one's request: it asks each owner with a new one."""
        first = next(iter(self._kept.requests), self)
        return None if first is self else f"{id(first)}-{first._asked}"

    def withdraw(self) -> None:
        """Do nothing: what was not acquired is not kept either."""

    death_fd = withdraw
    """There is no process that could die."""

    def owner(self) -> OwnerRecord | None:
        return self._kept.record

    @contextmanager
    def request(self) -> Iterator[None]:
        self._asked = None if self._kept.record is None else self._kept.record.seq
        self._kept.requests.append(self)
        try:
            yield
        finally:
            self._kept.requests.remove(self)

    def candidate(self) -> Identity | None:
        return next((one._identity for one in self._kept.requests), None)

    def lives(self, record: OwnerRecord | None) -> bool:
        """Say whether the last owner has the chain still."""
        return self._kept.claim is not None

    def seen_at(self) -> float | None:
        """Return when there was an owner last."""
        return None if self._kept.record is None else self._kept.record.since

    def no_sign_of_life(self) -> str | None:
        return self.silent


class MemoryClaim:
    """A `Claim` in memory; `die` is what a kill would do to it."""

    lost_because = "It has died."

    def __init__(self, ownership: MemoryOwnership, record: OwnerRecord) -> None:
        self._ownership, self._kept = ownership, ownership._kept
        old = self._kept.record
        self.token = record.seq
        self.was_cut = old is not None and not old.released
        run = old.run if old and old.run and old.run.task in record.functions else None
        self.interrupted = None if run is None else old
        self._is_marked = False
        self._kept.record = replace(record, run=run)

    def check(self) -> bool:
        return self._kept.claim is self

    def wanted_by(self) -> str | None:
        others, open_now = self._ownership._requests_of_others, self._ownership._open()
        return others.unless_spent(open_now)

    def mark(self, run: RunMark | None) -> None:
        with self._kept.mutex:
            if self.check() and self._kept.record is not None:
                self._is_marked = True
                self._kept.record = replace(self._kept.record, run=run)

    def release(self) -> None:
        with self._kept.mutex:
            if self.check() and self._kept.record is not None:
                # What was interrupted before is left to the next owner to count.
                run = None if self._is_marked else self._kept.record.run
                self._kept.record = replace(self._kept.record, released=True, run=run)
            self.die()

    def die(self) -> None:
        """Be gone, in the middle of whatever it was."""
        with self._kept.mutex:
            if self.check():
                self._kept.claim = None
