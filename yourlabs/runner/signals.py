"""
The signals of the runner, in a blinker namespace of their own.

Senders are compared by identity: connect with ``sender=function.runner_task``.
Receivers run in the thread of the chain, and should be quick; receivers of
`task_stalled` run in a thread of their own, while the chain's hangs.
"""

from __future__ import annotations

import os
from inspect import iscoroutine
from typing import Any

from blinker import Namespace

from yourlabs.runner.chain.children import end_child
from yourlabs.runner.failures.describe import describe
from yourlabs.runner.log import logger

_signals = Namespace()

task_started = _signals.signal("task_started")
"""A task is about to be called. Keyword: `run`."""

task_succeeded = _signals.signal("task_succeeded")
"""A task returned. Keyword: `run`."""

task_failed = _signals.signal("task_failed")
"""A task raised. Keywords: `failure`, and `exception`, which must not be kept."""

task_recovered = _signals.signal("task_recovered")
"""A task succeeded after failures. Keyword: `recovery`."""

task_stalled = _signals.signal("task_stalled")
"""A run takes longer than `max_duration`, and still hangs. Keyword: `stall`."""

chain_started = _signals.signal("chain_started")
"""A chain runs in this process from now on. Sender: its `RunnerThread`."""

chain_stopped = _signals.signal("chain_stopped")
"""A chain no longer runs in this process. Sender: its `RunnerThread`."""


def send_robust(signal: Any, sender: Any, **payload: Any) -> None:
    """
    Call every receiver of `signal`, whatever one of them raises.

    blinker stops at the first receiver that raises; here its failure is logged and
    the next one is called. A child that it forks ends with it.
    """
    pid = os.getpid()
    for receiver in list(signal.receivers_for(sender)):
        try:
            # Without ** the call takes less of the stack, which a thread that sleeps
            # keeps: one page for each chain.
            result = receiver(sender, **payload) if payload else receiver(sender)
            if iscoroutine(result):
                result.close()
                msg = "expected a plain function, this one is a coroutine function"
                raise TypeError(msg)
        except BaseException as exc:
            if os.getpid() != pid:
                end_child(signal.name, exc)
            # SystemExit too: it would end the thread without a word.
            logger.failure(
                "The receiver %r of %s raised.",
                receiver,
                signal.name,
                exc=exc,
                text=describe(exc).traceback,
                extra={"action": "receiver_failed", "signal": signal.name},
            )
        if os.getpid() != pid:
            end_child(signal.name)
