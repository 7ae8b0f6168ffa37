"""Chains that run in a test: in memory, or with real files in RUN_ROOT."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from yourlabs.runner import signals
from yourlabs.runner.chain import status
from yourlabs.runner.chain.decorator import task
from yourlabs.runner.chain.loading import load_tasks, task_of
from yourlabs.runner.chain.task import Task, make_chain
from yourlabs.runner.chain.thread import RunnerThread
from yourlabs.runner.notify.delivery import Delivery
from yourlabs.runner.ownership.record import Mode
from yourlabs.runner.testing import MemoryBackend

PATIENCE = 20.0
"""How long a test waits for what must happen, in seconds."""


class MemoryState:
    """What a thread keeps for the next owner, forgotten with the process."""

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

    def close(self) -> None:
        """Nothing to write."""


class NoWatcher:
    """Looks after nothing: the test does what a watcher would, with `check`."""

    def watch(self, thread: RunnerThread) -> None:
        """Do nothing."""

    def unwatch(self, thread: RunnerThread) -> None:
        """Do nothing."""


def abandon(delivery: Delivery) -> None:
    """Have nothing more sent: its thread ends with the send that has begun."""
    delivery._take = lambda key: None
    delivery.withdraw(list(delivery._due))
    delivery._next = lambda: None  # type: ignore
    if delivery._thread is not None:
        delivery.post(("", ""))


def quick(function: Callable[..., Any], **options: Any) -> Task:
    """Return the task of `function`, without cooldowns but for those in `options`."""
    options = {"success_cooldown": 0, "fail_cooldown": 0, "name": "quick", **options}
    return task_of(task(**options)(function))


def make(
    *functions: Any,
    name: str | None = "chain",
    backend: MemoryBackend | None = None,
    mode: Mode = Mode.HOSTED,
    **options: Any,
) -> RunnerThread:
    """
    Return an unstarted thread that runs `functions` in memory.

    Threads of one `backend` stand for processes that have the chain in common.
    """
    tasks = [
        function if isinstance(function, Task) else load_tasks([function])[0]
        for function in functions
    ]
    chain = make_chain(tasks, name=name)
    backend = backend or MemoryBackend()
    options = {
        "ownership": backend.ownership(chain, kind=mode.kind),
        "store": backend.store(chain),
        "watcher": NoWatcher(),
        "clock": backend.clock,
        **options,
    }
    return RunnerThread(chain, mode=mode, **options)


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


def cooling(thread: RunnerThread) -> bool:
    """Say whether it waits for its next run."""
    return thread.status().state == status.COOLING_DOWN


def standing_by(thread: RunnerThread) -> bool:
    """Say whether another one runs the chain."""
    return thread.status().state == status.STANDBY


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
