"""Sending signals from the threads of the runner, whatever the receivers do."""

from __future__ import annotations

import os
from inspect import iscoroutine
from typing import Any

from yourlabs.runner.failures.describe import describe
from yourlabs.runner.forks import end_child
from yourlabs.runner.log import logger


def send_robust(signal: Any, sender: Any, **payload: Any) -> None:
    """
    Call every receiver of `signal`, whatever one of them raises.

    blinker stops at the first receiver that raises; here its failure is logged and
    the next one is called. A child that it forks ends with it.
    """
    pid = os.getpid()
    for receiver in list(signal.receivers_for(sender)):
        try:
            result = receiver(sender, **payload)
            if iscoroutine(result):
                result.close()
                msg = "expected a plain function, this one is a coroutine function"
                raise TypeError(msg)
        except BaseException as exc:
            if os.getpid() != pid:
                end_child(signal.name, exc)
            # SystemExit, too: it would end the thread silently.
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
