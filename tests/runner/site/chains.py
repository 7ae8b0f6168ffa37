"""Documents of chains as their owners write them, without running any."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from tests.runner.fakes import quick
from yourlabs.runner.chain.registry import make_thread
from yourlabs.runner.chain.task import make_chain
from yourlabs.runner.chain.thread import RunnerThread
from yourlabs.runner.ownership.record import Mode


def fail() -> None:
    """Raise what has to be escaped, and masked."""
    raise ConnectionError('<script>alert("x")</script> & password=hunter2')


def refuse() -> None:
    """Raise what a person has seen before."""
    raise ConnectionRefusedError(111, "Connection refused")


def succeed() -> None:
    """Do nothing."""


def with_a_past(
    name: str, *, fails: bool = False, raising: Callable[[], None] = fail
) -> RunnerThread:
    """Return the thread, not started, of a chain that is owned here and has a past."""
    function = raising if fails else succeed
    task = quick(function, success_cooldown=3_600, fail_cooldown=3_600, name="poll")
    thread = make_thread(make_chain([task], name=name), Mode.HOSTED)
    (execution,) = thread.tasks
    said = "<b>no</b>" if raising is fail else "[Errno 111] Connection refused"
    dice, now = random.Random(name), time.time()
    thread.loop.tick()
    history = execution.history
    began = type(history)()
    for hour in range(168):
        at = now - (168 - hour) * 3_600
        for _ in range(dice.randrange(11)):
            if dice.random() < (0.5 if fails and hour > 160 else 0.02):
                began.failed(at, 0.3, "ConnectionError", said, "Traceback …")
            else:
                began.succeeded(at, dice.random())
    if fails:
        began.failed(now, 0.1, "ConnectionError", said, "Traceback <i>")
    else:
        began.succeeded(now, 0.2)
    execution.history = began
    thread.state.save()
    return thread
