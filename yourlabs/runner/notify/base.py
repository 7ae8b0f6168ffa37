"""
A channel that reports are sent through.

`yourlabs.runner.notifiers.subscribe` has one told what the admins are told.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from yourlabs.runner.notify.report import Report


class Unanswered(Exception):
    """A report was handed over whole, and no answer came: it may have arrived."""


class Notifier(ABC):
    """A channel that reports are sent through."""

    name: str
    """What its log is kept under: letters and digits, unlike any other's."""

    label: str
    """What the runner's log calls what is sent, like ``email to admins``."""

    def is_enabled(self) -> bool:
        """Say whether anything is to be told. Asked when a chain starts."""
        return True

    @abstractmethod
    def send(self, report: Report) -> str | None:
        """
        Deliver `report`, or raise: then it is tried again, and nothing is lost.

        Called in a thread of the channel; it should have a timeout of its own.

        Returns:
            Whom it was handed to, for the log, where that is not yet the reader. None:
            it was sent.
        """
