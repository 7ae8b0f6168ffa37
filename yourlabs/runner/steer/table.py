"""The status of chains for a person in a terminal, in 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from yourlabs.runner.ownership.record import END_OF_TIME

WIDTH = 80

STATES = {
    "running": "running",
    "cooling_down": "cooling down",
    "standby": "stands by",
    "paused": "paused",
    "stalled": "stalled",
    "stopped": "stopped",
    "unknown": "unknown",
    "failing": "failing",
}
"""What a person reads."""


def shown_state(chain: dict[str, Any]) -> str:
    """Return the state of a chain; ``failing`` where it runs, and a task is down."""
    state: str = chain["state"]
    is_down = any(task["consecutive"] for task in chain["tasks"])
    return "failing" if is_down and state in ("running", "cooling_down") else state


def urgency(chain: dict[str, Any]) -> int:
    """Return a number that is lower where somebody is needed sooner."""
    order = ("stalled", "unknown", "failing", "stopped", "paused")
    state = shown_state(chain)
    return order.index(state) if state in order else len(order)


def length(seconds: float) -> str:
    """Return a length of time in its largest unit."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size or (seconds >= size and size == 60):
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def ago(moment: float | None, now: float) -> str:
    """Return how long ago something was, or in how long it will be."""
    if moment is None:
        return "-"
    if abs(moment - now) < 1:
        return "now"
    return (
        f"{length(now - moment)} ago" if moment < now else f"in {length(moment - now)}"
    )


def last_run(chain: dict[str, Any]) -> float | None:
    """Return when the last run of a chain began."""
    runs = [task["last_run"] for task in chain["tasks"] if task["last_run"]]
    return max(runs, default=None)


def next_run(chain: dict[str, Any], now: float) -> str:
    """Return when the next run of a chain is."""
    if chain["current"] is not None:
        return "now"
    due = chain["next_run"]
    return "now" if due is not None and due <= now else ago(due, now)


def runs_in(chain: dict[str, Any]) -> str:
    """Return where a chain runs."""
    owner = chain["owner"]
    if owner is None or not owner["alive"]:
        return "-"
    return f"{owner['host']} {owner['pid']}"


def lines(document: dict[str, Any], style: Any) -> Iterator[str]:
    """Yield a line for each chain: who needs somebody comes first."""
    chains, now = document["chains"], document["at"]
    if not chains:
        yield "No chain is known here."
        return
    yield f"{'CHAIN':<27} {'STATE':<13} {'LAST RUN':<11} {'NEXT RUN':<10} RUNS IN"
    styles = {
        **dict.fromkeys(("failing", "stalled", "unknown"), style.ERROR),
        **dict.fromkeys(("stopped", "paused"), style.WARNING),
    }
    for chain in sorted(chains, key=lambda one: (urgency(one), one["name"])):
        state = shown_state(chain)
        text = styles.get(state, style.SUCCESS)(f"{STATES[state]:<13}")
        times = f"{ago(last_run(chain), now):<11} {next_run(chain, now):<10}"
        yield f"{_cut(chain['name'], 27):<27} {text} {times} {_cut(runs_in(chain), 15)}"


def details(chain: dict[str, Any], now: float) -> Iterator[str]:
    """Yield what else is known of a chain."""
    if chain["reason"]:
        yield chain["reason"]
    for word in ("paused", "silenced"):
        hold = chain[word]
        if hold is not None:
            until = f" until {local_time(hold['until'])}" if hold["until"] else ""
            reason = hold["reason"] or "no reason given"
            yield f"{word} by {hold['by']}{until}: {reason}"
    if chain["asked"]["wake"] > chain["seen"]["wake"]:
        yield "A run is asked for, and not seen yet."
    for task in chain["tasks"]:
        yield f"{task['name']}: {task['runs']} runs, {task['failures']} failed"
        if task["exception"] is not None:
            lasts = length(now - task["down_since"])
            exception = task["exception"]
            message = " ".join(f"{exception['type']}: {exception['message']}".split())
            yield _cut(f"  down for {lasts}: {message}", WIDTH)


def local_time(moment: float) -> str:
    """Return a moment in local time."""
    # What is later than the calendar is never, for a person.
    moment = min(moment, END_OF_TIME - 2 * 86_400)
    return datetime.fromtimestamp(moment).strftime("%Y-%m-%d %H:%M")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
