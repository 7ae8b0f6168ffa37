"""Keeps failed runs out of Django's own mails to the admins."""

from __future__ import annotations

import logging

from django.utils.log import AdminEmailHandler

from yourlabs.runner import conf

logger = logging.getLogger("runner")


class NotTheRunners(logging.Filter):
    """Drop what the runner's own, throttled mails tell."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return False for a failed or stalled run, while the runner sends mails."""
        if record.name != logger.name:
            return True
        told = getattr(record, "action", None) in ("task_failed", "task_stalled")
        return not (told and conf.email())


def spare_admins() -> None:
    """
    Filter the handlers that would send a mail for each failed run.

    `AdminEmailHandler` has no flood control: on the root logger, where many projects
    have it, it would send a weekend's worth of mails beside the throttled ones.
    """
    for handler in admin_handlers():
        if not any(isinstance(known, NotTheRunners) for known in handler.filters):
            handler.addFilter(NotTheRunners())


def admin_handlers() -> list[logging.Handler]:
    """Return the handlers that mail the admins what the logger `runner` says."""
    found: list[logging.Handler] = []
    place: logging.Logger | None = logger
    while place is not None:
        found += [
            item for item in place.handlers if isinstance(item, AdminEmailHandler)
        ]
        place = place.parent if place.propagate else None
    return found
