"""The run that code is part of, and chains that would wait for themselves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

running: ContextVar[tuple[threading.Thread, int] | None] = ContextVar(
    "yourlabs_runner_running", default=None
)
"""
Thread and token of the chain whose task is running, for whatever the task calls.

`asyncio.to_thread` and event loops pass it on to other threads.
"""

_waits: dict[threading.Thread, threading.Thread] = {}
"""For which chain the task of a chain waits. Changed by single operations only."""


def token() -> int:
    """
    Return the number of the ownership under which the calling task was started.

    It rises with each owner of the chain, and never falls. A task whose effects must
    happen once writes it beside them, and writes nothing where a higher one stands.

    Raises:
        RuntimeError: No task is running here.
    """
    run = running.get()
    if run is None:
        msg = "runner.token() was called outside of a run of a task."
        raise RuntimeError(msg)
    return run[1]


@contextmanager
def waiting_for(chain: threading.Thread) -> Iterator[bool]:
    """
    Say whether the caller may wait until `chain` has ended.

    It may not where the task of that chain waits for the caller: because the caller is
    called by it, or by a task that it waits for itself.
    """
    run = running.get()
    asking = run[0] if run else threading.current_thread()
    _waits[asking] = chain
    try:
        seen = {asking}
        waited_for: threading.Thread | None = chain
        while waited_for is not None and waited_for not in seen:
            seen.add(waited_for)
            waited_for = _waits.get(waited_for)
        yield waited_for is not asking
    finally:
        _waits.pop(asking, None)
