"""
Tell a service that waits for it that a task ran: it raises the alarm when none comes.

To be called in ``AppConfig.ready()``, before the chain is started.
"""

from __future__ import annotations

from yourlabs.runner.checkins.ping import ping
from yourlabs.runner.checkins.sentry import sentry

__all__ = ["ping", "sentry"]
