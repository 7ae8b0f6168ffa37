"""Snapshots are plain values that nobody can change."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, asdict

import pytest

from yourlabs.runner.chain import status
from yourlabs.runner.chain.status import ChainStatus, TaskStatus

TASK = TaskStatus("sync", "tasks.sync", 0, 0, 0, None, None)

CHAIN = ChainStatus(
    name="sync",
    state=status.STARTING,
    reason="",
    current_task=None,
    runs=0,
    failures=0,
    last_run=None,
    next_run=None,
    down_since=None,
    tasks=(TASK,),
)


def test_states() -> None:
    """The states are the words that a person reads."""
    words = [
        status.STARTING,
        status.STANDBY,
        status.RUNNING,
        status.STALLED,
        status.COOLING_DOWN,
        status.STOPPED,
    ]
    assert words == [
        "starting",
        "standby",
        "running",
        "stalled",
        "cooling down",
        "stopped",
    ]


@pytest.mark.parametrize("snapshot", [TASK, CHAIN], ids=["task", "chain"])
def test_frozen(snapshot: object) -> None:
    """A snapshot is compared by its values and does not change."""
    with pytest.raises(FrozenInstanceError):
        snapshot.name = "other"  # type: ignore[attr-defined]
    assert asdict(snapshot)["name"] == "sync"  # type: ignore[call-overload]
