"""Reports to whatever apprise reaches; the extra ``apprise`` brings it."""

from __future__ import annotations

from typing import Any

from yourlabs.runner.notifiers import Notifier, Report


class Apprise(Notifier):
    """
    Sends reports to the addresses of apprise, like ``tgram://…`` or ``ntfy://…``.

    Args:
        urls: Where to.
        name: Under which is kept what it was told; unlike any other's.

    Raises:
        ImportError: apprise is not installed.
    """

    label = "a notification"

    def __init__(self, *urls: str, name: str = "apprise") -> None:
        import apprise

        self.name = name
        self.apprise: Any = apprise.Apprise()
        for url in urls:
            if not self.apprise.add(url):
                msg = "apprise does not understand one of the addresses."
                raise ValueError(msg)

    def send(self, report: Report) -> None:
        """Send a report; raise where not everybody took it."""
        kind = "failure" if report.is_down else "success"
        if not self.apprise.notify(
            title=report.subject, body=report.body, notify_type=kind
        ):
            msg = "apprise could not deliver it"
            raise OSError(msg)
