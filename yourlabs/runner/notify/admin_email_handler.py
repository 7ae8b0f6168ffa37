"""Keep the runner's log records out of the mails of Django's `AdminEmailHandler`."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

from django.utils.log import AdminEmailHandler

from yourlabs.runner.log import logger


def skip_runner_records() -> None:
    """
    Have no `AdminEmailHandler` mail what the runner logs of a run.

    It has no flood control: a weekend of failures would be hundreds of mails beside
    the throttled ones. The handler may be on any logger, behind another handler or a
    queue, or be added later. So the class itself is changed, for the records of one
    logger and no other.
    """
    # A handler that wraps it may call either.
    for name in ("handle", "emit"):
        usual = getattr(AdminEmailHandler, name)
        if not hasattr(usual, "__wrapped__"):
            setattr(AdminEmailHandler, name, _sparing(usual))


def _sparing(usual: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(usual)
    def call(self: AdminEmailHandler, record: logging.LogRecord) -> Any:
        # A critical record comes once, and the runner sends no mail of its own for it.
        if record.name == logger.name and record.levelno < logging.CRITICAL:
            return False
        return usual(self, record)

    return call
