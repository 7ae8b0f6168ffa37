"""One try to deliver one report."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured

from yourlabs.runner.failures.text import one_line
from yourlabs.runner.log import logger
from yourlabs.runner.notify.report import Report

if TYPE_CHECKING:
    from yourlabs.runner.notify.delivery import Delivery

Key = tuple[str, str]
"""Name of the chain, and key of the task."""


class Attempt(threading.Thread):
    """One send, in a daemon thread of its own: it may hang for ever, alone."""

    def __init__(self, delivery: Delivery, key: Key, report: Report) -> None:
        super().__init__(name=f"{delivery.name}-send", daemon=True)
        self.delivery = delivery
        self.key = key
        self.report = report
        self.is_over = False
        self.is_given_up = False
        self.given_up_at = 0.0
        """On the monotonic clock, in seconds."""
        self.error = ""
        self.is_hopeless = False
        """The settings are wrong: it will fail again."""

    def run(self) -> None:
        """Send, and say how it went. Called by `start`."""
        try:
            self.delivery.send(self.report)
        except BaseException as exc:
            # A backend can raise anything, even SystemExit, and str() of it can too.
            self.error = _describe(exc)
            self.is_hopeless = isinstance(exc, ImproperlyConfigured)
        finally:
            _close_connections()
            self.delivery.end(self)


def _describe(exc: BaseException) -> str:
    try:
        return one_line(f"{type(exc).__name__}: {exc}", 300)
    except BaseException:
        return type(exc).__name__


def _close_connections() -> None:
    """Close what a backend that keeps mails in a database has opened."""
    from yourlabs.runner.chain import db

    try:
        db.close_all()
    except Exception:
        logger.exception("A database connection could not be closed.")
