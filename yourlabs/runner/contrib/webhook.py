"""Reports as a message to a chat: Slack, Mattermost, and what takes the same JSON."""

from __future__ import annotations

import json
import urllib.request

from yourlabs.runner.notifiers import Notifier, Report

TIMEOUT_S = 10.0

MAX_TEXT = 3_000
"""How much of a report is sent, in characters."""


class Webhook(Notifier):
    """
    Posts ``{"text": …}`` to an address: ``notifiers.subscribe(Webhook(url))``.

    Args:
        url: Of the hook.
        name: Under which is kept what it was told; unlike any other's.
    """

    label = "a message to the webhook"

    def __init__(self, url: str, *, name: str = "webhook") -> None:
        self.url, self.name = url, name

    def send(self, report: Report) -> None:
        """Post a report; raise where it is not taken."""
        text = f"*{report.subject}*\n{report.body}"[:MAX_TEXT]
        request = urllib.request.Request(
            self.url,
            data=json.dumps({"text": text}).encode(),
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=TIMEOUT_S).close()
