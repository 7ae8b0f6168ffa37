"""
Channels for reports beside the mail to the admins.

A `Notifier` sends reports; `subscribe` connects it, and then it gets the same ones as
the admins. Each channel has its own log and its own thread: what one does not deliver,
another one does.
"""

from __future__ import annotations

from yourlabs.runner.notify.base import Notifier
from yourlabs.runner.notify.mail_text import Report
from yourlabs.runner.notify.subscriber import Subscriber
from yourlabs.runner.notify.throttle import Kind, Reason

__all__ = ["Kind", "Notifier", "Reason", "Report", "Subscriber", "subscribe"]


def subscribe(notifier: Notifier) -> Subscriber:
    """
    Send the reports that the admins get to `notifier`, too; to call in ``ready()``.

    Returns:
        The subscriber; its ``disconnect()`` ends it.
    """
    subscriber = Subscriber(notifier)
    subscriber.connect()
    return subscriber
