"""Chains that run in a test: in memory, or with real files in RUN_ROOT."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from yourlabs.runner import signals
from yourlabs.runner.chain.decorator import task, task_of
from yourlabs.runner.chain.loading import load_tasks
from yourlabs.runner.chain.task import Task, make_chain
from yourlabs.runner.chain.thread import RunnerThread
from yourlabs.runner.ownership.record import OwnerRecord

PATIENCE = 20.0
"""How long a test waits for what must happen, in seconds."""


class TickingClock:
    """Stands in for `time`: each look at it moves it, and a test can."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """Return a time that was not returned before."""
        self.now += 1e-6
        return self.now

    def time(self) -> float:
        """Return the begin of the epoch."""
        return 0.0


class Sleeper:
    """Stands in for a bell that nobody rings: who sleeps moves the clock."""

    def __init__(self, clock: TickingClock, late: float) -> None:
        self.waits: list[float] = []
        self._clock, self._late = clock, late

    def acquire(self, timeout: float) -> None:
        """Sleep for so long, and for as long as it is late, in seconds."""
        self.waits.append(timeout)
        self._clock.now += timeout + self._late

    def release(self) -> None:
        """Wake nobody."""


class MemoryLock:
    """An `OwnerLock` that a test can take away."""

    path = "nowhere.pid"
    was_cut = False

    def __init__(self) -> None:
        self.interrupted: OwnerRecord | None = None
        self.is_free = True
        self.is_lost = False
        self.wanted = False
        self.error: Exception | None = None
        self.marks: list[int | None] = []
        self.record: OwnerRecord | None = None
        self.changed = True
        self.attempts = 0
        self._held = False

    def acquire(self) -> bool:
        self.attempts += 1
        if self.error is not None:
            raise self.error
        if not self._held and self.is_free and not self.wanted:
            # A new file, should the one before be lost.
            self._held, self.is_lost = True, False
        return self._held

    def release(self) -> None:
        self._held = False

    def is_held(self) -> bool:
        return self._held and not self.is_lost

    def is_wanted(self) -> bool:
        return self.wanted

    def owner(self) -> OwnerRecord | None:
        return self.record

    def has_changed(self) -> bool:
        return self.changed

    def begin(self, index: int) -> None:
        self.marks.append(index)

    def end(self) -> None:
        self.marks.append(None)


class MemoryState:
    """A `State` that is forgotten with the process."""

    def __init__(self) -> None:
        self._sections: dict[str, Any] = {}

    def get(self, section: str) -> Any:
        """Return what was put. None: nothing was."""
        return self._sections.get(section)

    def put(self, section: str, value: Any, *, now: bool = False) -> None:
        """Keep `value`."""
        self._sections[section] = value

    def load(self) -> None:
        """Begin with what there is."""

    def save(self) -> None:
        """Nothing to write."""

    def close(self, *, write: bool = True) -> None:
        """Nothing to close."""


class NoKeeper:
    """Looks after nothing: the test does what a `Keeper` would."""

    is_crowded = False

    def watch(self, thread: RunnerThread) -> None:
        """Do nothing."""

    def unwatch(self, thread: RunnerThread) -> None:
        """Do nothing."""


def quick(function: Callable[..., Any], **options: Any) -> Task:
    """Return the task of `function`, without cooldowns but for those in `options`."""
    options = {"success_cooldown": 0, "fail_cooldown": 0, "name": "quick", **options}
    return task_of(task(**options)(function))


def make(*functions: Any, name: str | None = "chain", **options: Any) -> RunnerThread:
    """Return an unstarted thread that runs `functions` in memory."""
    tasks = [
        function if isinstance(function, Task) else load_tasks([function])[0]
        for function in functions
    ]
    ports = {"lock": MemoryLock(), "state": MemoryState(), "keeper": NoKeeper()}
    return RunnerThread(make_chain(tasks, name=name), **{**ports, **options})


@contextmanager
def running(*functions: Any, **options: Any) -> Iterator[RunnerThread]:
    """Run `functions` in a thread for as long as the block lasts."""
    with started(make(*functions, **options)) as thread:
        yield thread


@contextmanager
def started(thread: RunnerThread) -> Iterator[RunnerThread]:
    """Run `thread` for as long as the block lasts."""
    thread.start()
    try:
        yield thread
    finally:
        assert thread.stop(PATIENCE), "the chain did not stop"


def until(condition: Callable[[], Any], what: str = "") -> Any:
    """Wait until `condition` holds, and return what it returned."""
    deadline = time.monotonic() + PATIENCE
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited in vain {what}"
        time.sleep(0.001)
    return result


def happens(event: threading.Event) -> bool:
    """Wait for `event`; False when it does not come."""
    return event.wait(PATIENCE)


class Counted:
    """A function that counts its calls, and tells when there were enough."""

    def __init__(self, enough: int = 1, result: object = None) -> None:
        self.calls = 0
        self.result = result
        self._enough = enough
        self.reached = threading.Event()

    def __call__(self) -> object:
        self.calls += 1
        if self.calls >= self._enough:
            self.reached.set()
        return self.result


@contextmanager
def received(*names: str, sender: Any = None) -> Iterator[list[tuple[str, Any, Any]]]:
    """Collect what the signals send, as (signal, sender, keywords)."""
    calls: list[tuple[str, Any, Any]] = []
    receivers = []
    for name in names:

        def receive(who: Any, *, _name: str = name, **payload: Any) -> None:
            payload.pop("exception", None)
            calls.append((_name, who, payload))

        signal = getattr(signals, name)
        if sender is None:
            signal.connect(receive, weak=False)
        else:
            signal.connect(receive, sender=sender, weak=False)
        receivers.append((signal, receive))
    try:
        yield calls
    finally:
        for signal, receive in receivers:
            signal.disconnect(receive)


class Keeping(logging.Handler):
    """A log handler that keeps its records, as a test's or a queue's does."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def actions(self) -> list[str]:
        """What was logged, by the name that each line has for machines."""
        return [getattr(record, "action", "") for record in self.records]

    def texts(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@contextmanager
def log(level: int = logging.DEBUG) -> Iterator[Keeping]:
    """Keep what the logger of the runner says."""
    logger = logging.getLogger("runner")
    handler, before = Keeping(), logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
