"""Check-ins of Sentry's crons, through the `sentry_sdk` that a project has set up."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from yourlabs.runner.checkins.sender import Event, Sender

DEFAULT_LONGEST = timedelta(minutes=30)  # Sentry's own, for a run without a limit
PER_MINUTE = 1  # Sentry has no shorter interval


def sentry(function: Callable[..., Any], slug: str | None = None) -> Sender:
    """
    Check in with Sentry when a task has run: at most once a minute.

    The monitor is made with the first check-in; what it expects comes from the task's
    cooldown and `max_duration`.

    Args:
        function: The task's, as it was decorated.
        slug: Of the monitor. None: the task's name.

    Raises:
        ImportError: There is no `sentry_sdk`.
        InvalidTask: `function` is no task.
    """
    from sentry_sdk.crons import capture_checkin

    def send(event: Event) -> None:
        capture_checkin(
            monitor_slug=slug or sender.task.name,
            status="ok" if event.kind == "success" else "error",
            duration=event.duration,
            monitor_config=monitor_config(sender),
        )

    sender = Sender(function, send, per_minute=PER_MINUTE, starts=False)
    return sender


def monitor_config(sender: Sender) -> Any:
    """Return what Sentry is to expect of the task: in minutes, the shortest is one."""
    options = sender.task.options
    every = options.success_cooldown
    return {
        "schedule": {"type": "interval", "value": _minutes(every), "unit": "minute"},
        # A failure waits for its own cooldown before the next run.
        "checkin_margin": _minutes(max(every, options.fail_cooldown)),
        "max_runtime": _minutes(options.max_duration or DEFAULT_LONGEST),
        "timezone": "UTC",
    }


def _minutes(length: timedelta) -> int:
    return max(1, math.ceil(length / timedelta(minutes=1)))
