"""Pictures of the past: numbers for SVG, whose classes the style sheet colours."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import NamedTuple

from yourlabs.runner.chain.history import HOUR_S
from yourlabs.runner.steer.reading import TaskReading

DAY, WEEK = 24, 168

BAR, HEIGHT = 6, 32
"""Width of an hour and height of a picture, in units of its own."""


class Hour(NamedTuple):
    """What tasks did in one hour."""

    start: float
    """In seconds since the epoch."""
    runs: int
    failures: int
    longest: float
    """Of its runs, in seconds."""

    @property
    def moment(self) -> datetime:
        """When it began, in UTC."""
        return datetime.fromtimestamp(self.start, timezone.utc)


class Bar(NamedTuple):
    """An hour as a picture has it: two rectangles, one upon the other."""

    x: int
    y: float
    height: float
    failed_y: float
    failed_height: float


class Chart(NamedTuple):
    """A picture, what it says in words, and what stands in the table behind it."""

    width: int
    height: int
    label: str
    bars: list[Bar]
    hours: list[Hour]


def hours_of(tasks: Iterable[TaskReading], now: float, count: int) -> list[Hour]:
    """Return the last `count` hours of some tasks together, also the empty ones."""
    last = now - now % HOUR_S
    first = last - (count - 1) * HOUR_S
    hours = [Hour(first + number * HOUR_S, 0, 0, 0.0) for number in range(count)]
    for task in tasks:
        for start, runs, failures, _, longest in task.history.hours():
            number = int((start - first) // HOUR_S)
            if 0 <= number < count:
                old = hours[number]
                hours[number] = Hour(
                    old.start,
                    old.runs + runs,
                    old.failures + failures,
                    max(old.longest, longest),
                )
    return hours


def runs_chart(hours: list[Hour]) -> Chart:
    """Draw the runs of each hour, and how many of them failed."""
    highest = max(hour.runs for hour in hours) or 1
    bars = [
        _bar(number, hour.runs / highest, hour.failures / highest)
        for number, hour in enumerate(hours)
        if hour.runs
    ]
    runs, failures = (sum(numbers) for numbers in zip(*_counts(hours), strict=True))
    label = f"{runs} runs in {len(hours)} hours, {failures} of them failed"
    return _chart(label, bars, hours)


def durations_chart(hours: list[Hour]) -> Chart:
    """Draw the longest run of each hour."""
    highest = max(hour.longest for hour in hours) or 1.0
    bars = [
        _bar(number, hour.longest / highest, 0.0)
        for number, hour in enumerate(hours)
        if hour.runs
    ]
    label = f"The longest run in {len(hours)} hours took {highest:.3g} s"
    if not bars:
        label = f"No run in {len(hours)} hours"
    return _chart(label, bars, hours)


def _counts(hours: list[Hour]) -> list[tuple[int, int]]:
    return [(hour.runs, hour.failures) for hour in hours]


def _chart(label: str, bars: list[Bar], hours: list[Hour]) -> Chart:
    shown = [hour for hour in reversed(hours) if hour.runs]
    return Chart(len(hours) * BAR, HEIGHT, label, bars, shown)


def _bar(number: int, part: float, failed: float) -> Bar:
    # What happened is seen, however little it is beside the highest.
    height = max(2.0, round(part * HEIGHT, 1))
    failed_height = max(2.0, round(failed * HEIGHT, 1)) if failed else 0.0
    return Bar(
        number * BAR,
        round(HEIGHT - height, 1),
        height,
        round(HEIGHT - failed_height, 1),
        failed_height,
    )
