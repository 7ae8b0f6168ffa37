"""The metrics of chains, in the text format of Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from yourlabs.runner.steer.reading import Reading, TaskReading

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

PREFIX = "yourlabs_runner_"


class Sample(NamedTuple):
    """One number, as it is at the scrape."""

    labels: tuple[tuple[str, str], ...]
    value: float
    suffix: str = ""


class Family(NamedTuple):
    """All samples of one name."""

    name: str
    kind: str
    """``counter``, ``gauge`` or ``summary``."""
    help: str
    samples: list[Sample]


def families(readings: list[Reading], now: float) -> Iterator[Family]:
    """Yield the metrics of chains that were read at `now`, in seconds since 1970."""
    yield _runs(readings)
    yield _durations(readings)
    for name, text, of_task in TASK_GAUGES:
        samples = [Sample(ls, of_task(task)) for ls, task in _tasks(readings)]
        yield Family(name, "gauge", text, samples)
    for name, kind, text, of_chain in CHAIN_VALUES:
        found = [Sample((("chain", one.name),), of_chain(one, now)) for one in readings]
        yield Family(name, kind, text, found)
    pending = [
        Sample(
            (("chain", reading.name), ("channel", channel)),
            # What is held back on purpose is nothing to be alarmed about.
            float(0 if reading.desired.at(now).silenced else counts[0]),
        )
        for reading in readings
        for channel, counts in reading.channels.items()
    ]
    text = "Tasks of which a channel has something to tell; 0 while it is silenced."
    yield Family("notifications_pending", "gauge", text, pending)
    info = [Sample((("version", _version()),), 1.0)]
    yield Family("info", "gauge", "The version of yourlabs.", info)


def _tasks(
    readings: Iterable[Reading],
) -> Iterator[tuple[tuple[tuple[str, str], ...], TaskReading]]:
    for reading in readings:
        shared = Counter(task.name for task in reading.tasks.values())
        for key, task in reading.tasks.items():
            # What two have in common tells nobody which one it is.
            label = task.name if shared[task.name] == 1 else key
            yield (("chain", reading.name), ("task", label)), task


def _runs(readings: list[Reading]) -> Family:
    samples = []
    for labels, task in _tasks(readings):
        failed = task.history.failures
        for outcome, count in (
            ("success", task.history.runs - failed),
            ("failure", failed),
        ):
            samples.append(Sample((*labels, ("outcome", outcome)), float(count)))
    return Family("task_runs_total", "counter", "Runs of a task.", samples)


def _durations(readings: list[Reading]) -> Family:
    samples = []
    for labels, task in _tasks(readings):
        samples.append(Sample(labels, task.history.seconds, "_sum"))
        samples.append(Sample(labels, float(task.history.runs), "_count"))
    text = "How long the runs of a task took."
    return Family("task_duration_seconds", "summary", text, samples)


TASK_GAUGES: tuple[tuple[str, str, Callable[[TaskReading], float]], ...] = (
    (
        "task_last_success_timestamp_seconds",
        "When the last run began that was well; 0 is never.",
        lambda task: task.history.last_success or 0.0,
    ),
    (
        "task_last_run_timestamp_seconds",
        "When the last run began; 0 is never.",
        lambda task: task.history.last_run or 0.0,
    ),
    (
        "task_consecutive_failures",
        "Failures in a row until now.",
        lambda task: float(task.downtime.consecutive if task.downtime.is_down else 0),
    ),
)

CHAIN_VALUES: tuple[tuple[str, str, str, Callable[[Reading, float], float]], ...] = (
    (
        "chain_owned",
        "gauge",
        "1 where a process that lives runs the chain.",
        lambda reading, _: float(reading.lives),
    ),
    (
        "chain_paused",
        "gauge",
        "1 where the chain is paused.",
        lambda reading, now: float(reading.desired.at(now).paused is not None),
    ),
    (
        "chain_next_run_timestamp_seconds",
        "gauge",
        "When the next run is due; 0 is unknown.",
        lambda reading, _: reading.due or 0.0,
    ),
    (
        "chain_owner_changes_total",
        "counter",
        "How often the chain has got an owner.",
        lambda reading, _: float(0 if reading.record is None else reading.record.seq),
    ),
)


def render(readings: list[Reading], now: float) -> str:
    """Return the metrics as text."""
    lines = []
    for family in families(readings, now):
        name = PREFIX + family.name
        lines.append(f"# HELP {name} {family.help}")
        lines.append(f"# TYPE {name} {family.kind}")
        for labels, value, suffix in family.samples:
            pairs = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
            lines.append(f"{name}{suffix}{{{pairs}}} {value!r}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _version() -> str:
    try:
        return version("yourlabs")
    except PackageNotFoundError:
        return "unknown"
