"""Reads the stored state of chains from any process, owner or not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from yourlabs.runner.chain.history import History, histories_from_json
from yourlabs.runner.chain.registry import registry
from yourlabs.runner.chain.steering import SECTION
from yourlabs.runner.chain.task import CHAIN_NAME, MAX_NAME, Chain
from yourlabs.runner.exceptions import UnknownChain
from yourlabs.runner.failures.downtime import Downtime, check_types, downtimes_from_json
from yourlabs.runner.failures.text import one_line
from yourlabs.runner.ownership.base import Ownership
from yourlabs.runner.ownership.record import HOSTED, OwnerRecord, RunMark
from yourlabs.runner.storage.base import Backend, Store, backend
from yourlabs.runner.storage.desired import Desired, desired_from_json


@dataclass
class TaskReading:
    """What is kept of one task."""

    path: str
    name: str
    history: History = field(default_factory=History)
    downtime: Downtime = field(default_factory=Downtime)


@dataclass
class Reading:
    """What is kept of one chain, as it was at one moment."""

    name: str
    is_declared: bool
    """This process declares it: it is meant to run."""
    problem: str = ""
    """Why nothing can be said of it; empty where something can."""
    record: OwnerRecord | None = None
    """What the last owner said of itself."""
    lives: bool = False
    """That owner has the chain still."""
    seen_at: float | None = None
    """When an owner that is gone gave its last sign of life, in seconds since the
    epoch. None: one lives, or there was none."""
    has_candidate: bool = False
    """No owner lives, and a process waits to take over."""
    due: float | None = None
    """When the next task is due, in seconds since the epoch."""
    desired: Desired = field(default_factory=Desired)
    seen: Desired = field(default_factory=Desired)
    """What its owner has seen of `desired`."""
    wake_done: int = 0
    """The last wake whose run has ended."""
    wake_failed: bool = False
    """That run failed."""
    tasks: dict[str, TaskReading] = field(default_factory=dict)
    channels: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of each channel: how many reports it has to send, and holds back in silence."""

    @property
    def run(self) -> RunMark | None:
        """The run that goes on. None: none does, or no owner lives."""
        return self.record.run if self.record is not None and self.lives else None


def declared() -> dict[str, Chain]:
    """Return the chains that this process declares, by name."""
    return {name: thread.chain for name, thread in registry.all().items()}


def names() -> list[str]:
    """Return the names of all chains that are declared here, or kept, sorted."""
    return sorted({*declared(), *filter(is_name, backend().names())})


def is_name(name: str) -> bool:
    """Say whether a chain can have this name."""
    return bool(CHAIN_NAME.fullmatch(name)) and len(name) <= MAX_NAME


def require(name: str) -> str:
    """
    Return the name of a chain that is known.

    Raises:
        UnknownChain: It is not; the message has the names there are.
    """
    found = names()
    if name in found:
        return name
    there = f"There are: {', '.join(found)}." if found else "There is none."
    msg = f"No chain is called {name[:MAX_NAME]!r}. {there}"
    raise UnknownChain(msg)


def read_chains(
    wanted: Iterable[str] | None = None, *, hours: int = 1
) -> list[Reading]:
    """
    Read what is kept of some chains. It never raises for what is wrong with that.

    Args:
        wanted: Names of chains that are known. None: all.
        hours: So many of the last hours are read.
    """
    kept, here = backend(), declared()
    return [
        _read(name, here.get(name), kept, hours)
        for name in (names() if wanted is None else wanted)
    ]


def read_chain(name: str, *, hours: int = 1) -> Reading:
    """Read what is kept of one chain; see `read_chains`."""
    return read_chains([name], hours=hours)[0]


def _read(name: str, known: Chain | None, kept: Backend, hours: int) -> Reading:
    reading, chain = Reading(name, known is not None), known or Chain(name, ())
    for task, key in chain.keys().items():
        reading.tasks[key] = TaskReading(task.path, task.name)
    try:
        _read_owner(reading, kept.ownership(chain, kind=HOSTED))
        _read_documents(reading, kept.store(chain), hours)
    except OSError as exc:
        reading.problem = exc.strerror or str(exc)
    except RecursionError:
        reading.problem = "Its document is nested too deeply."
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as exc:
        reading.problem = one_line(f"Its document cannot be read: {exc}", 250)
    return reading


def _read_owner(reading: Reading, ownership: Ownership) -> None:
    reading.record = ownership.owner()
    reading.lives = ownership.lives(reading.record)
    if not reading.lives:
        reading.seen_at = ownership.seen_at()
        reading.has_candidate = ownership.candidate() is not None


def _read_documents(reading: Reading, store: Store, hours: int) -> None:
    sections = store.read()
    seen = sections.get(SECTION, {})
    reading.seen = desired_from_json(seen)
    reading.wake_done = seen.get("ran", reading.seen.wake)
    check_types(int, (reading.wake_done,))
    reading.wake_failed = seen.get("failed") is True
    try:
        reading.desired = desired_from_json(store.desired())
    except ValueError:
        # What was seen last stays in force.
        reading.desired = reading.seen
    reading.due = _due(sections.get("schedule"))
    _read_tasks(reading, sections, hours)
    for section, value in sections.items():
        if section.startswith("notifications.") and isinstance(value, Mapping):
            counts = value.get("pending", 0), value.get("held", 0)
            check_types(int, counts)
            reading.channels[section.partition(".")[2]] = counts


def _read_tasks(reading: Reading, sections: Mapping[str, Any], hours: int) -> None:
    values = sections.get("tasks", {})
    downtimes = downtimes_from_json(sections.get("downtimes", {}))
    for key, history in histories_from_json(values, hours).items():
        path, name = values[key]["path"], values[key]["name"]
        check_types(str, (path, name))
        path, name = one_line(path, 300), one_line(name, 100)
        # A declared chain has the tasks that it is declared with.
        if not reading.is_declared or key in reading.tasks:
            downtime = downtimes.get(key, Downtime())
            reading.tasks[key] = TaskReading(path, name, history, downtime)


def _due(schedule: Any) -> float | None:
    if schedule is None:
        return None
    due = schedule["due"]
    if isinstance(due, bool) or not isinstance(due, (int, float)):
        msg = "what is due is no time"
        raise ValueError(msg)
    return float(due) if math.isfinite(due) and due > 0 else None
