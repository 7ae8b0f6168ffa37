"""
Who is told of failures, and how: the mail to the admins, and channels of your own.

A `Notifier` sends reports; `subscribe` has it told what the admins are told. Each has
a log of what it was told, and a thread of its own: what one channel does not deliver,
another one does.
"""

from __future__ import annotations

from yourlabs.runner.notify.base import Notifier
from yourlabs.runner.notify.report import Report
from yourlabs.runner.notify.subscriber import Subscriber
from yourlabs.runner.notify.throttle import Kind, Reason

__all__ = ["Kind", "Notifier", "Reason", "Report", "Subscriber", "subscribe"]


def subscribe(notifier: Notifier) -> Subscriber:
    """
    Have `notifier` told what the admins are told; to be called in ``ready()``.

    Returns:
        The subscriber; its ``disconnect()`` ends it.
    """
    subscriber = Subscriber(notifier)
    subscriber.connect()
    return subscriber
