"""What a channel for reports has to offer; see `notify.mail` and `contrib`."""

from __future__ import annotations

from abc import ABC, abstractmethod

from yourlabs.runner.notify.mail_text import Report


class DeliveryUnconfirmed(Exception):
    """A report was handed over, but not confirmed in time: it may have arrived."""


class Notifier(ABC):
    """A channel that reports are sent through; `notifiers.subscribe` connects it."""

    name: str
    """Key of its notification log: letters and digits, unlike any other channel's."""

    label: str
    """What is sent, for the log line, like ``email to admins``."""

    def is_enabled(self) -> bool:
        """Return whether reports are to be sent. Called when a chain starts."""
        return True

    @abstractmethod
    def send(self, report: Report) -> str | None:
        """
        Deliver `report`, or raise: then it is tried again, and nothing is lost.

        Called in a thread of the channel; it should have a timeout of its own.

        Returns:
            None when it was sent. Else the name of the queue that it was put into, for
            the log.
        """
