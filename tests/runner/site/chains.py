"""Documents of chains as their owners write them, without running any."""

from __future__ import annotations

import random
import time

from tests.runner.fakes import quick
from yourlabs.runner.chain.registry import make_thread
from yourlabs.runner.chain.task import make_chain
from yourlabs.runner.chain.thread import RunnerThread
from yourlabs.runner.ownership.record import Mode


def fail() -> None:
    """Raise what has to be escaped, and masked."""
    raise ConnectionError('<script>alert("x")</script> & password=hunter2')


def succeed() -> None:
    """Do nothing."""


def with_a_past(name: str, *, fails: bool = False, busy: int = 200) -> RunnerThread:
    """Return the thread, not started, of a chain that is owned here and has a past."""
    function = fail if fails else succeed
    task = quick(function, success_cooldown=3_600, fail_cooldown=3_600, name="poll")
    thread = make_thread(make_chain([task], name=name), Mode.HOSTED)
    (execution,) = thread.tasks
    dice, now = random.Random(name), time.time()
    thread.tick()
    history = execution.history
    began = type(history)()
    for hour in range(168):
        at = now - (168 - hour) * 3_600
        for _ in range(dice.randrange(1 + busy // 20)):
            if dice.random() < (0.5 if fails and hour > 160 else 0.02):
                began.failed(at, 0.3, "ConnectionError", "<b>no</b>", "Traceback …")
            else:
                began.succeeded(at, dice.random())
    if fails:
        began.failed(now, 0.1, "ConnectionError", "<b>no</b>", "Traceback <i>")
    else:
        began.succeeded(now, 0.2)
    execution.history = began
    thread.state.save()
    return thread
