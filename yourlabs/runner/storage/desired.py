"""What people want of a chain, whoever runs it: paused, silenced, woken. Values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from yourlabs.runner.failures.text import printable
from yourlabs.runner.ownership.record import as_time

MAX_WAKE = 2**53  # wakes are lower: larger integers are not exact in every JSON
MAX_TEXT = 200  # longest name and reason, in characters
MAX_ACTS = 20  # how many of the last acts are remembered


class Hold(NamedTuple):
    """A chain is paused, or silenced."""

    until: float | None
    """In seconds since the epoch. None: until somebody ends it."""
    by: str
    reason: str

    def left(self, now: float) -> float:
        """Return for how many seconds it lasts from `now` on; 0: it is over."""
        return math.inf if self.until is None else max(0.0, self.until - now)


class Act(NamedTuple):
    """What somebody did, and when."""

    at: float
    action: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Desired:
    """What people want of a chain."""

    paused: Hold | None = None
    silenced: Hold | None = None
    wake: int = 0
    """Rises each time that somebody wants the next task to run now."""
    acts: tuple[Act, ...] = ()
    """Who wanted it, the oldest first."""

    def at(self, now: float) -> Desired:
        """Return what of it is in force at `now`, in seconds since the epoch."""
        paused, silenced = (
            hold if hold is not None and hold.left(now) else None
            for hold in (self.paused, self.silenced)
        )
        return replace(self, paused=paused, silenced=silenced)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "paused": hold_to_json(self.paused),
            "silenced": hold_to_json(self.silenced),
            "wake": self.wake,
            "acts": [list(act) for act in self.acts[-MAX_ACTS:]],
        }


def hold_to_json(hold: Hold | None) -> dict[str, Any] | None:
    """Return a pause or a silence as plain values."""
    return None if hold is None else hold._asdict()


def hold_from_json(value: Any) -> Hold | None:
    """
    Return what `hold_to_json` wrote.

    Raises:
        ValueError: It did not write that.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(_wrong(value))
    until = value.get("until")
    if until is not None:
        until = as_time(until)
    return Hold(until, _text(value.get("by", "")), _text(value.get("reason", "")))


def desired_from_json(value: Any) -> Desired:
    """
    Return what `Desired.to_json` wrote, or an empty one where nothing was.

    Raises:
        ValueError: It did not write that.
    """
    if not isinstance(value, Mapping):
        raise ValueError(_wrong(value))
    wake, acts = value.get("wake", 0), value.get("acts", [])
    if type(wake) is not int or not 0 <= wake < MAX_WAKE:
        raise ValueError(_wrong(wake))
    if not isinstance(acts, list):
        raise ValueError(_wrong(acts))
    return Desired(
        paused=hold_from_json(value.get("paused")),
        silenced=hold_from_json(value.get("silenced")),
        wake=wake,
        acts=tuple(_act(one) for one in acts[-MAX_ACTS:]),
    )


def silent_for(seen: Any, now: float) -> float:
    """
    Return for how many seconds a chain is silenced from `now` on; 0: it is not.

    Args:
        seen: What its owner has seen of what people want, as `Desired.to_json` returns
            it. Anything else is ignored.
        now: In seconds since the epoch.
    """
    try:
        silenced = desired_from_json(seen).silenced
    except ValueError:
        return 0.0
    return 0.0 if silenced is None else silenced.left(now)


def _act(value: Any) -> Act:
    if not isinstance(value, list) or len(value) != 4:
        raise ValueError(_wrong(value))
    return Act(as_time(value[0]), *(_text(text) for text in value[1:]))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(_wrong(value))
    return printable(value[:MAX_TEXT])


def _wrong(value: Any) -> str:
    return f"{str(value)[:100]!r} is not what is wanted of a chain"
