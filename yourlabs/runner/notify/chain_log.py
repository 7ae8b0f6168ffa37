"""What was told of the tasks of a chain, and where the next owner finds it."""

from __future__ import annotations

import functools
import os
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from yourlabs.runner import conf
from yourlabs.runner.chain.task import Task
from yourlabs.runner.failures.records import Stall
from yourlabs.runner.notify.histories import FOREVER, NOTHING, History, Rules
from yourlabs.runner.notify.history_json import history_to_json
from yourlabs.runner.ownership.base import ChainState

WRITE_EVERY = 1.0
"""What changes nothing for the next owner but counts is noted so often, in seconds."""

NO_KEYS: Mapping[Task, str] = {}

SAME_RUN = 0.001
"""What begins within this time is one run, in seconds: a `datetime` is rounded."""

MAX_STATE = 200_000
"""How much of a chain's state its tracebacks may take, in bytes."""


class ChainLog:
    """What was told of the tasks of one chain, in this process."""

    __slots__ = (
        "_keys",
        "_known",
        "_section",
        "_state",
        "_written",
        "histories",
        "is_enabled",
        "lock",
        "name",
        "release",
        "thread",
    )

    def __init__(
        self,
        name: str,
        state: ChainState | None,
        section: str,
        keys: Mapping[Task, str] = NO_KEYS,
    ) -> None:
        self.name = name
        self.lock = threading.Lock()
        self.histories: dict[str, History] = {}
        self.release = ""
        self.is_enabled = True
        self.thread: Any = None
        """What runs it. None: nobody said."""
        self._keys = keys
        self._state = state
        self._section = section
        self._known: dict[str, tuple[str, Rules]] = {}
        self._written = 0.0

    @property
    def where(self) -> str:
        """Which process runs the chain, for a person."""
        release = f", release {self.release}" if self.release else ""
        return f"{_host()}, pid {os.getpid()}{release}"

    def key_of(self, task: Task) -> str:
        """Return what tells `task` from the others of the chain."""
        return self._keys.get(task, task.path)

    def is_over(self, stall: Stall) -> bool:
        """Say whether the run that hung has ended."""
        if self.thread is None:
            return False
        runner = self.thread.running()
        return (
            runner is None
            or not runner.is_called
            or runner.task is not stall.task
            or abs(runner.last_run - stall.started_at.timestamp()) > SAME_RUN
        )

    def rules(self, task: Task) -> Rules:
        """Return the rules for `task`; read once, when the chain is known to run."""
        key = self.key_of(task)
        known = self._known.get(key)
        if known is None:
            period = min(task.non_recoverable_downtime, FOREVER)
            rules = Rules(period, _max_new_exceptions())
            known = self._known[key] = task.name, rules
        return known[1]

    def rules_of(self, key: str) -> Rules:
        """Return the rules for the task of `key`, of which something was recorded."""
        return self._known[key][1] if key in self._known else Rules()

    def name_of(self, key: str) -> str:
        """Return what the task of `key` is called."""
        return self._known[key][0] if key in self._known else key

    def read(self) -> Any:
        """Return what the last owner wrote."""
        return None if self._state is None else self._state.get(self._section)

    def write(self, *, now: bool = False) -> None:
        """Keep the histories for the next owner."""
        if self._state is None:
            return
        self._written = time.monotonic()
        text = min(8_000, MAX_STATE // max(1, len(self.histories)))
        tasks = {
            key: history_to_json(history, text=text)
            for key, history in self.histories.items()
            if history != NOTHING
        }
        value = {"release": self.release, "tasks": tasks}
        self._state.put(self._section, value, now=now)

    def write_now_and_then(self) -> None:
        """Note the counts, unless that was done a moment ago."""
        if self._state is not None and time.monotonic() - self._written >= WRITE_EVERY:
            self.write()


def new_start(value: Any, release: str, *, is_fresh: bool) -> str:
    """Return why a first exception is due again; empty when it is not."""
    if is_fresh:
        return "somebody started it, so what was told before is told again"
    if not isinstance(value, Mapping) or not isinstance(value.get("release"), str):
        return ""
    last = value["release"]
    return f"release {release[:100]}, it was {last[:100]}" if last != release else ""


def history_of(value: Any, key: str) -> Any:
    """Return what was written of the task of `key`. None: nothing."""
    tasks = value.get("tasks") if isinstance(value, Mapping) else None
    return tasks.get(key) if isinstance(tasks, Mapping) else None


# It is told of each failure, and asking the kernel gives the interpreter away.
_host = functools.cache(socket.gethostname)


def _max_new_exceptions() -> int:
    try:
        return conf.max_new_exceptions()
    except ImproperlyConfigured:
        # The system checks tell it; the admins are to be told of failures all the same.
        return Rules().max_new_exceptions
