"""Pictures of the past: numbers for SVG, whose classes the style sheet colours."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import NamedTuple

from django.utils.safestring import mark_safe

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


class Chart(NamedTuple):
    """A picture, and what stands in the table behind it."""

    svg: str
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
    bars = []
    for number, hour in enumerate(hours):
        if hour.runs:
            bars.append(_bar("runs", number, hour.runs / highest))
        if hour.failures:
            bars.append(_bar("failed", number, hour.failures / highest))
    runs = sum(hour.runs for hour in hours)
    failures = sum(hour.failures for hour in hours)
    label = f"{runs} runs in {len(hours)} hours, {failures} of them failed"
    return _chart(label, bars, hours)


def durations_chart(hours: list[Hour]) -> Chart:
    """Draw the longest run of each hour."""
    highest = max(hour.longest for hour in hours) or 1.0
    bars = [
        _bar("runs", number, hour.longest / highest)
        for number, hour in enumerate(hours)
        if hour.runs
    ]
    label = f"No run in {len(hours)} hours"
    if bars:
        label = f"The longest run in {len(hours)} hours took {highest:.3g} s"
    return _chart(label, bars, hours)


def _chart(label: str, bars: list[str], hours: list[Hour]) -> Chart:
    # Numbers and words of ours: there is nothing in it to be escaped. A template takes
    # as long for this as for the rest of the page.
    svg = (
        f'<svg class="runner-chart" viewBox="0 0 {len(hours) * BAR} {HEIGHT}" '
        f'preserveAspectRatio="none" role="img" aria-label="{label}">'
        f"{''.join(bars)}</svg>"
    )
    return Chart(mark_safe(svg), [hour for hour in reversed(hours) if hour.runs])


def _bar(kind: str, number: int, part: float) -> str:
    # What happened is seen, however little it is beside the highest.
    height = max(2.0, round(part * HEIGHT, 1))
    return (
        f'<rect class="runner-{kind}" x="{number * BAR}" y="{HEIGHT - height:.1f}" '
        f'width="{BAR - 1}" height="{height}"/>'
    )
