"""Chains that would wait for themselves: found before they do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

running_chain: ContextVar[threading.Thread | None] = ContextVar(
    "yourlabs_runner_chain", default=None
)
"""
The thread of the chain whose task is running, for whatever the task calls.

`asyncio.to_thread` and event loops pass it on to other threads.
"""

_waits: dict[threading.Thread, threading.Thread] = {}
"""For which chain the task of a chain waits. Changed by single operations only."""


@contextmanager
def waiting_for(chain: threading.Thread) -> Iterator[bool]:
    """
    Say whether the caller may wait until `chain` has ended.

    It may not where the task of that chain waits for the caller: because the caller is
    called by it, or by a task that it waits for itself.
    """
    asking = running_chain.get() or threading.current_thread()
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
