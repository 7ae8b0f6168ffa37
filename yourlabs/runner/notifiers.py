"""
Who is told of failures, and how: the mail to the admins, and channels of your own.

A `Notifier` sends reports; `subscribe` has it told what the admins are told. Each has
a notification log and a thread of its own: what one channel does not deliver, another
one does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from yourlabs.runner.notify.report import Kind, Reason, Report
from yourlabs.runner.notify.subscriber import Subscriber

__all__ = ["Kind", "Notifier", "Reason", "Report", "Subscriber", "subscribe"]


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
    def send(self, report: Report) -> None:
        """
        Deliver `report`, or raise: then it is tried again, and nothing is lost.

        Called in a thread of the channel; it should have a timeout of its own.
        """


def subscribe(notifier: Notifier) -> Subscriber:
    """
    Have `notifier` told what the admins are told; to be called in ``ready()``.

    Returns:
        The subscriber; its ``disconnect()`` ends it.
    """
    subscriber = Subscriber(notifier)
    subscriber.connect()
    return subscriber
