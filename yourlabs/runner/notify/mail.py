"""Mails to the admins: what `notifiers` decides, as `mail_admins` would send it."""

from __future__ import annotations

import contextlib
from hashlib import blake2b
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from yourlabs.runner import conf
from yourlabs.runner.failures.text import one_line
from yourlabs.runner.notifiers import Notifier, Subscriber
from yourlabs.runner.notify.report import Report

TIMEOUT = 35.0
"""How long a mail server may be silent, in seconds, where no setting says it."""


class AdminMail(Notifier):
    """Sends reports to ``ADMINS``, as plain text."""

    name = "mail"
    label = "email to admins"

    def is_enabled(self) -> bool:
        """Return what ``RUNNER["EMAIL"]`` says."""
        return conf.email()

    def send(self, report: Report) -> None:
        """
        Send `report`.

        Raises:
            ImproperlyConfigured: ``ADMINS`` is empty.
            Exception: Whatever the mail backend raises.
        """
        from django.core.mail import EmailMessage

        admins = [one_line(address, 500) for address in conf.admins()]
        if not admins:
            msg = "ADMINS is empty, so nobody is told of failures"
            raise ImproperlyConfigured(msg)
        sender = one_line(conf.mail_sender(), 500)
        message = EmailMessage(
            subject=one_line(f"{conf.mail_prefix()}{report.subject}", 250),
            body=report.body,
            from_email=sender,
            to=admins,
            headers=headers(report, sender),
        )
        connection = _connection()
        if getattr(connection, "timeout", TIMEOUT) is None:
            # smtplib would wait for ever.
            connection.timeout = TIMEOUT
        try:
            connection.send_messages([message])
        finally:
            with contextlib.suppress(Exception):
                connection.close()


def headers(report: Report, sender: str) -> dict[str, str]:
    """
    Return the headers that make the mails of one downtime a thread.

    A report that is sent again has the same Message-ID, so that a mail reader may
    show it once.
    """
    root = f"{report.chain}\0{report.task}\0{report.thread}"
    key = blake2b(root.encode(errors="replace"), digest_size=12).hexdigest()
    domain = sender.rstrip("> ").rpartition("@")[2]
    if not domain.isascii() or not domain.replace("-", "").replace(".", "").isalnum():
        domain = "localhost"
    first = f"<runner.{key}.0@{domain}>"
    own = f"<runner.{key}.{report.position}@{domain}>"
    values = {"Message-ID": own, "Auto-Submitted": "auto-generated"}
    if report.position:
        values.update({"In-Reply-To": first, "References": first})
    return values


def _connection() -> Any:
    from django.core import mail

    mailers = getattr(mail, "mailers", None)
    # Django 6.1 has several mailers and deprecates get_connection().
    return mail.get_connection() if mailers is None else mailers.default


class EmailSubscriber(Subscriber):
    """Mails the admins what matters of every chain of this process, once."""

    def __init__(self) -> None:
        super().__init__(AdminMail(), section="notifications")


subscriber = EmailSubscriber()
"""The one of this process; connected when the apps are ready."""


def connect() -> None:
    """Connect the email subscriber."""
    subscriber.connect()
