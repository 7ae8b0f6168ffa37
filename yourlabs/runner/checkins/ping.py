"""Pings as healthchecks.io takes them, and many others."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from typing import Any

from yourlabs.runner.checkins.sender import Event, Sender
from yourlabs.runner.exceptions import InvalidTask

TIMEOUT_S = 10.0
PER_MINUTE = 5
MAX_BODY = 10_000  # bytes of a failure: its end, which says what was raised
SUFFIXES = {"start": "/start", "success": "", "fail": "/fail"}


def ping(function: Callable[..., Any], url: str) -> Sender:
    """
    Ping `url` each time that a task has run.

    ``url/start`` when it begins, ``url`` when it was well and ``url/fail`` with the
    traceback when it was not: at most five a minute, in a thread of its own.

    Args:
        function: The task's, as it was decorated.
        url: ``https://…`` or ``http://…``, of one check.

    Raises:
        InvalidTask: `function` is no task, or `url` is no address of the web.
    """
    if not url.startswith(("https://", "http://")):
        msg = f"{url!r} cannot be pinged: expected https://…"
        raise InvalidTask(msg)
    base = url.rstrip("/")

    def send(event: Event) -> None:
        body = event.text.encode("utf-8", "replace")[-MAX_BODY:]
        request = urllib.request.Request(base + SUFFIXES[event.kind], data=body)
        urllib.request.urlopen(request, timeout=TIMEOUT_S).close()

    return Sender(function, send, per_minute=PER_MINUTE, starts=True)
