"""Steer a chain from any process: what is wanted is written, and its owner sees it."""

from __future__ import annotations

import getpass
import os
import time
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from yourlabs.runner.chain.task import Chain
from yourlabs.runner.exceptions import ChainPaused, ChainRuns
from yourlabs.runner.failures.text import one_line
from yourlabs.runner.log import logger
from yourlabs.runner.ownership.record import END_OF_TIME
from yourlabs.runner.steer.document import describe_hold
from yourlabs.runner.steer.reading import Reading, read_chain, require
from yourlabs.runner.storage.base import backend
from yourlabs.runner.storage.desired import (
    MAX_TEXT,
    Act,
    Desired,
    Hold,
    desired_from_json,
)

Until = datetime | timedelta | float | None

LOOK_EVERY_S = 0.1
"""How often it is looked whether an owner has seen what it was asked, in seconds."""


def wake(name: str, *, by: str | None = None, reason: str = "") -> int:
    """
    Have the next task of a chain run now, once, after the function that is running.

    Returns:
        The number of this wish: `status` says which one was seen.

    Raises:
        UnknownChain: No chain has this name.
        ChainPaused: It is paused.
        UnusableRunRoot: It cannot be written, or this user may not steer the chain.
    """
    return _steer(name, "wake", by, reason).wake


def pause(
    name: str, until: Until = None, reason: str = "", *, by: str | None = None
) -> None:
    """
    Let no function of a chain begin, in whatever process; the running one ends.

    Args:
        name: Of the chain.
        until: When the pause ends: a `datetime`, seconds since the epoch, or a
            `timedelta` from now. None: when somebody resumes it.
        reason: Told with the status.
        by: Who wants it. None: the user of this process.

    Raises:
        UnknownChain, UnusableRunRoot: As `wake`.
        ValueError: `until` is no time.
    """
    _steer(name, "pause", by, reason, paused=_hold(until, by, reason))


def resume(name: str, *, by: str | None = None, reason: str = "") -> None:
    """
    End a pause.

    Raises:
        UnknownChain, UnusableRunRoot: As `wake`.
    """
    _steer(name, "resume", by, reason, paused=None)


def silence(
    name: str, until: Until = None, reason: str = "", *, by: str | None = None
) -> None:
    """
    Tell nobody of a chain; what is owed when that ends is told then, once.

    The arguments, and what is raised, are those of `pause`.
    """
    _steer(name, "silence", by, reason, silenced=_hold(until, by, reason))


def unsilence(name: str, *, by: str | None = None, reason: str = "") -> None:
    """
    End a silence.

    Raises:
        UnknownChain, UnusableRunRoot: As `wake`.
    """
    _steer(name, "unsilence", by, reason, silenced=None)


def forget(name: str, *, by: str | None = None) -> None:
    """
    Clear away what is left of a chain that nobody runs any more.

    Raises:
        UnknownChain, UnusableRunRoot: As `wake`.
        ChainRuns: It has an owner.
    """
    require(name)
    if not backend().forget(name):
        msg = f"{name} runs: only a chain that has no owner can be forgotten."
        raise ChainRuns(msg)
    _log(name, Act(time.time(), "forget", by or this_user(), ""))


def _hold(until: Until, by: str | None, reason: str) -> Hold:
    by = one_line(by or this_user(), MAX_TEXT)
    return Hold(as_epoch(until), by, one_line(reason, MAX_TEXT))


def as_epoch(until: Until) -> float | None:
    """
    Return a time in seconds since the epoch.

    Raises:
        ValueError: It is none.
    """
    if until is None:
        return None
    if isinstance(until, timedelta):
        value = time.time() + until.total_seconds()
    else:
        value = until.timestamp() if isinstance(until, datetime) else float(until)
    if not 0 <= value < END_OF_TIME:
        msg = f"{until!r} is no time until which a chain can be held."
        raise ValueError(msg)
    return value


def _steer(
    name: str, action: str, by: str | None, reason: str, **changes: Any
) -> Desired:
    require(name)
    reading, now = read_chain(name), time.time()
    by = one_line(by or this_user(), MAX_TEXT)
    act = Act(now, action, by, one_line(reason, MAX_TEXT))
    desired = reading.desired

    def change(value: dict[str, Any]) -> dict[str, Any]:
        nonlocal desired
        try:
            desired = desired_from_json(value)
        except ValueError:
            # What the owner saw last stays in force.
            desired = reading.seen
        paused, wake = desired.at(now).paused, max(desired.wake, reading.seen.wake)
        if action == "wake":
            if paused is not None:
                msg = f"{name} is paused. {describe_hold(paused)}"
                raise ChainPaused(msg)
            wake += 1
        acts = (*desired.acts, act)
        desired = replace(desired, wake=wake, acts=acts, **changes)
        return desired.to_json()

    backend().store(Chain(name, ())).steer(change)
    _log(name, act)
    return desired


def _log(name: str, act: Act) -> None:
    logger.info(
        "[%s] %s, asked by %s%s",
        name,
        act.action.capitalize(),
        act.by,
        f": {act.reason}" if act.reason else "",
        extra={"action": "chain_steered", "chain": name, "by": act.by},
    )


def this_user() -> str:
    """Return the name of who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.geteuid()}"


def wait_until_seen(name: str, wake: int | None = None) -> bool | None:
    """
    Wait until the owner of a chain has seen what was asked of it, as long as it lives.

    Args:
        name: Of the chain.
        wake: The number of a wake, whose run is waited for. None: what else is wanted,
            and, where the chain is paused, the end of the function that is running.

    Returns:
        Whether the run was well; True where there was none to wait for. None: no owner
        lives.
    """
    while True:
        reading = read_chain(name)
        if wake is None and _is_seen(reading):
            return True
        if wake is not None and reading.wake_done >= wake:
            return not reading.wake_failed
        if not reading.lives and not reading.problem:
            return None
        time.sleep(LOOK_EVERY_S)


def _is_seen(reading: Reading) -> bool:
    desired, seen = reading.desired, reading.seen
    if (desired.paused, desired.silenced) != (seen.paused, seen.silenced):
        return False
    return desired.paused is None or reading.run is None
