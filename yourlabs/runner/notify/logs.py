"""Keeps the runner's records out of Django's own mails to the admins."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

from django.utils.log import AdminEmailHandler

LOGGER = "runner"


def spare_admins() -> None:
    """
    Have no `AdminEmailHandler` mail what the runner logs of a run.

    It has no flood control: a weekend of failures would be hundreds of mails beside
    the throttled ones. Where it hangs in the tree of loggers cannot be found out: it
    may be on any logger, behind another handler or a queue, or be added later. So this
    changes what the class does with the records of one logger, and of no other.
    """
    # A handler that wraps it may call either.
    for name in ("handle", "emit"):
        usual = getattr(AdminEmailHandler, name)
        if not hasattr(usual, "__wrapped__"):
            setattr(AdminEmailHandler, name, _sparing(usual))


def _sparing(usual: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(usual)
    def call(self: AdminEmailHandler, record: logging.LogRecord) -> Any:
        # What is critical comes once, and no mail of the runner tells it.
        if record.name == LOGGER and record.levelno < logging.CRITICAL:
            return False
        return usual(self, record)

    return call
