"""Tasks to try the runner with."""

from __future__ import annotations

import random
from datetime import timedelta

from yourlabs.runner import task


@task(
    success_cooldown=timedelta(seconds=1),
    fail_cooldown=timedelta(seconds=1),
    non_recoverable_downtime=timedelta(seconds=3),
)
def divide_by_zero() -> float:
    """Fail, each second, and be down for good after three."""
    return 1 / 0


@task(
    success_cooldown=timedelta(seconds=1),
    fail_cooldown=timedelta(seconds=1),
    non_recoverable_downtime=timedelta(seconds=3),
)
def divide_by_zero_sometimes() -> float:
    """Fail half of the time."""
    return 1 / random.choice((0, 1))
