"""What one task has done, over all owners of its chain: counts, and a bounded past."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from yourlabs.runner.failures.downtime import check_types
from yourlabs.runner.failures.text import cut, one_line, printable

HOURS = 168  # how many hours are counted apart: 7 days
HOUR_S = 3_600.0
FIELDS = 5  # numbers of an hour: its begin, runs, failures, seconds in all, the longest

MAX_RECENT, MAX_FAILED = 20, 50  # how many of the last runs and failures are kept
MAX_TRACEBACKS = 5  # how many of the failures have a traceback
MAX_TRACEBACK, MAX_MESSAGE = 4_000, 300  # bytes

LEVELS = (
    (5, 50, 168, 20),
    (1, 50, 168, 20),
    (1, 20, 168, 20),
    (1, 5, 72, 10),
    (1, 1, 24, 5),
    (0, 1, 6, 1),
    (0, 0, 1, 0),
)
"""What is kept of each task if there is not room for all: how many tracebacks,
failures, hours and runs."""


T = TypeVar("T")


class Failed(NamedTuple):
    """One failure."""

    at: float
    """When the run began, in seconds since the epoch."""
    duration: float
    """In seconds."""
    exception_type: str
    message: str
    traceback: str
    """Empty for all but the newest."""


class History:
    """
    The past of one task; only the chain's thread may change it.

    Instants are seconds since the epoch, lengths are seconds; None: there was none.

    Attributes:
        runs, failures: How many there were, ever.
        recent: The last runs, the newest last: when, how long, and if it succeeded.
        failed_runs: The last failures, the newest last.
        seconds: How long all runs took.
        last_run, last_success: When they began.
        last_duration: How long the last run took.
        cooldown: The wait after the last run.
    """

    def __init__(self) -> None:
        self.runs = self.failures = 0
        self.seconds = 0.0
        self.last_run: float | None = None
        self.last_success: float | None = None
        self.last_duration: float | None = None
        self.cooldown: float | None = None
        self.recent: list[tuple[float, float, bool]] = []
        self.failed_runs: list[Failed] = []
        # Five numbers an hour: a week of objects would be four times as large.
        self._hours = array("d")

    def succeeded(self, at: float, duration: float) -> None:
        """Count a run that began at `at` and took `duration` seconds."""
        self.last_success = at
        self._count(at, duration, 0)

    def failed(
        self, at: float, duration: float, kind: str, message: str, traceback: str
    ) -> None:
        """Count a run that raised."""
        self.failures += 1
        self._count(at, duration, 1)
        # All were made printable when the exception was described.
        kind, message = kind[:MAX_MESSAGE], one_line(message, MAX_MESSAGE)
        traceback = cut(traceback, MAX_TRACEBACK)
        self.failed_runs.append(Failed(at, duration, kind, message, traceback))
        del self.failed_runs[:-MAX_FAILED]
        if len(self.failed_runs) > MAX_TRACEBACKS:
            old = -MAX_TRACEBACKS - 1
            self.failed_runs[old] = self.failed_runs[old]._replace(traceback="")

    def _count(self, at: float, duration: float, failures: int) -> None:
        self.runs += 1
        self.seconds += duration
        self.last_run, self.last_duration = at, duration
        self.recent.append((at, duration, not failures))
        del self.recent[:-MAX_RECENT]
        hours = self._hours
        # After the clock was set back, the newest hour goes on.
        if not hours or at >= hours[-FIELDS] + HOUR_S:
            hours.extend((at - at % HOUR_S, 0, 0, 0, 0))
            del hours[: -HOURS * FIELDS]
        hours[-4] += 1
        hours[-3] += failures
        hours[-2] += duration
        hours[-1] = max(hours[-1], duration)

    def hours(self) -> list[tuple[float, int, int, float, float]]:
        """Return the hours in which it ran, the oldest first; see `FIELDS`."""
        numbers = self._hours.tolist()
        return [
            (start, int(runs), int(failures), seconds, longest)
            for start, runs, failures, seconds, longest in zip(
                *(numbers[first::FIELDS] for first in range(FIELDS)), strict=True
            )
        ]

    def to_json(
        self,
        tracebacks: int = MAX_TRACEBACKS,
        failed: int = MAX_FAILED,
        hours: int = HOURS,
        recent: int = MAX_RECENT,
    ) -> dict[str, Any]:
        """Return it as plain values: with so many of the newest of each."""
        failures = self.failed_runs[-failed:] if failed else []
        texts = [one.traceback for one in failures]
        old = max(0, len(texts) - tracebacks)
        texts[:old] = [""] * old
        return {
            "runs": self.runs,
            "failures": self.failures,
            "seconds": round(self.seconds, 3),
            "last_run": self.last_run,
            "last_success": self.last_success,
            "last_duration": self.last_duration,
            "cooldown": self.cooldown,
            "hours": [
                [int(start), runs, failures, round(seconds, 3), round(longest, 4)]
                for start, runs, failures, seconds, longest in self.hours()[-hours:]
            ],
            "recent": [
                [round(at, 2), round(duration, 4), well]
                for at, duration, well in (self.recent[-recent:] if recent else ())
            ],
            "failed": [
                [round(one.at, 2), round(one.duration, 4), *one[2:4], traceback]
                for one, traceback in zip(failures, texts, strict=True)
            ],
        }


def first_that_fits(room: int, candidates: Iterable[T]) -> T:
    """Return the first candidate of at most `room` bytes in JSON; else the last."""
    for value in candidates:
        if len(json.dumps(value)) <= room:
            break
    return value


def histories_to_json(histories: Mapping[str, History], room: int) -> dict[str, Any]:
    """
    Return the histories of a chain's tasks as plain values, in `room` bytes of JSON.

    Tracebacks go first, then the older failures, then the older hours. The counts stay.
    """
    return first_that_fits(
        room,
        (
            {key: one.to_json(*level) for key, one in histories.items()}
            for level in LEVELS
        ),
    )


def histories_from_json(value: Any, hours: int = HOURS) -> dict[str, History]:
    """
    Return what `histories_to_json` wrote.

    Args:
        value: What was read.
        hours: How many of the last hours to return. If that is not all of them, single
            runs are left out, too: a page of many chains does not show them.

    Raises:
        ValueError: It did not write that.
    """
    try:
        return {str(key): _from_json(one, hours) for key, one in value.items()}
    except (AttributeError, KeyError, TypeError, OverflowError) as exc:
        msg = f"expected what tasks have done ({type(exc).__name__}: {exc})"
        raise ValueError(msg) from exc


def _from_json(value: Any, hours: int) -> History:
    history = History()
    for name in ("runs", "failures"):
        check_types(int, (value[name],))
    times = ("seconds", "last_run", "last_success", "last_duration", "cooldown")
    check_types(float, [value[name] for name in times if value[name] is not None])
    for name in ("runs", "failures", *times):
        setattr(history, name, value[name])
    history.seconds = float(value["seconds"])
    newest = value["hours"][-hours:]
    numbers = [number for hour in newest for number in hour]
    check_types(float, numbers)
    if len(numbers) != FIELDS * len(newest):
        msg = "an hour has five numbers"
        raise ValueError(msg)
    history._hours.extend(numbers)
    if hours != HOURS:
        return history
    for at, duration, well in value["recent"][-MAX_RECENT:]:
        check_types(float, (at, duration))
        history.recent.append((at, duration, well is True))
    for at, duration, *texts in value["failed"][-MAX_FAILED:]:
        check_types(float, (at, duration))
        check_types(str, texts)
        kind, message, traceback = (printable(text) for text in texts)
        history.failed_runs.append(Failed(at, duration, kind, message, traceback))
    return history
