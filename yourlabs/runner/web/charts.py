"""Pictures of the past: numbers for SVG, whose classes the style sheet colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import NamedTuple

from django.utils.safestring import mark_safe

from yourlabs.runner.chain.history import HOUR_S, HOURS
from yourlabs.runner.steer.reading import TaskReading

DAY, WEEK = 24, HOURS

BAR, HEIGHT = 6, 32
"""Width of an hour and height of a picture, in units of its own."""


class Hours(NamedTuple):
    """What some tasks did in each of the last hours, the oldest first."""

    first: float
    """When the oldest began, in seconds since the epoch."""
    runs: list[int]
    failures: list[int]
    longest: list[float]
    """The longest run of each, in seconds."""

    def rows(self) -> list[tuple[datetime, int, int, float]]:
        """Return the hours in which something ran, the newest first; times in UTC."""
        return [
            (
                datetime.fromtimestamp(self.first + number * HOUR_S, timezone.utc),
                self.runs[number],
                self.failures[number],
                self.longest[number],
            )
            for number in reversed(range(len(self.runs)))
            if self.runs[number]
        ]


def hours_of(tasks: Iterable[TaskReading], now: float, count: int) -> Hours:
    """Return what `tasks` did in the last `count` hours, together."""
    first = now - now % HOUR_S - (count - 1) * HOUR_S
    hours = Hours(first, [0] * count, [0] * count, [0.0] * count)
    for task in tasks:
        for start, runs, failures, _, longest in task.history.hours():
            number = int((start - first) // HOUR_S)
            if 0 <= number < count:
                hours.runs[number] += runs
                hours.failures[number] += failures
                hours.longest[number] = max(hours.longest[number], longest)
    return hours


def runs_chart(hours: Hours) -> str:
    """Draw the runs of each hour, and how many of them failed."""
    runs, failures = sum(hours.runs), sum(hours.failures)
    label = f"{runs} runs in {len(hours.runs)} hours, {failures} of them failed"
    highest = max(hours.runs)
    bars = _bars("runs", hours.runs, highest), _bars("failed", hours.failures, highest)
    return _chart(label, len(hours.runs), *bars)


def durations_chart(hours: Hours) -> str:
    """Draw the longest run of each hour."""
    count, highest = len(hours.runs), max(hours.longest)
    label = f"The longest run in {count} hours took {highest:.3g} s"
    if not any(hours.runs):
        label = f"No run in {count} hours"
    return _chart(label, count, _bars("runs", hours.longest, highest))


def _chart(label: str, count: int, *bars: str) -> str:
    # Made without a template, which takes longer for this than for the rest of a page.
    # There is nothing to escape in numbers, and words of ours.
    return mark_safe(
        f'<svg class="runner-chart" viewBox="0 0 {count * BAR} {HEIGHT}" '
        f'preserveAspectRatio="none" role="img" aria-label="{label}">'
        f"{''.join(bars)}</svg>"
    )


def _bars(kind: str, values: Sequence[float], highest: float) -> str:
    # What happened is seen, however little it is beside the highest.
    bars = [
        f"M{number * BAR} {HEIGHT}v-{max(2.0, value / highest * HEIGHT):.1f}"
        f"h{BAR - 1}V{HEIGHT}z"
        for number, value in enumerate(values)
        if value
    ]
    return f'<path class="runner-{kind}" d="{"".join(bars)}"/>' if bars else ""
