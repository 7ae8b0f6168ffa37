"""
The mail to the admins, as `mail_admins` would send it: backend, timeouts and headers.

Its text is written in `yourlabs.runner.notify.mail_text`.
"""

from __future__ import annotations

import contextlib
import email.policy
import smtplib
from hashlib import blake2b
from typing import Any

import django
from django.conf import settings
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail.backends.smtp import EmailBackend

from yourlabs.runner import conf
from yourlabs.runner.failures.text import one_line
from yourlabs.runner.notify.base import DeliveryUnconfirmed, Notifier
from yourlabs.runner.notify.delivery import expect_answer
from yourlabs.runner.notify.mail_text import Report
from yourlabs.runner.notify.subscriber import Subscriber

TIMEOUT = 35.0
"""How long a mail server may be silent, in seconds, without ``EMAIL_TIMEOUT``."""

ANSWER_TIMEOUT = 600.0
"""How long it may take to confirm a mail, in seconds: RFC 5321, 4.5.3.2.6."""


class AdminMail(Notifier):
    """Sends reports to ``ADMINS``, as plain text."""

    name = "mail"
    label = "email to admins"

    def is_enabled(self) -> bool:
        """Return ``RUNNER["EMAIL"]``."""
        return conf.email()

    def send(self, report: Report) -> str | None:
        """Send `report`; a mail backend that is not Django's may queue it."""
        admins = [one_line(address, 500) for address in conf.admins()]
        if not admins:
            msg = "ADMINS is empty, so nobody is told of failures"
            raise ImproperlyConfigured(msg)
        sender = one_line(str(settings.SERVER_EMAIL), 500)
        message = ReadableMail(
            subject=one_line(f"{settings.EMAIL_SUBJECT_PREFIX}{report.subject}", 250),
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
            if isinstance(connection, EmailBackend):
                connection.open()
                learn_to_wait(connection.connection)
            connection.send_messages([message])
        finally:
            with contextlib.suppress(Exception):
                connection.close()
        backend = type(connection)
        sends = backend.__module__.startswith("django.core.mail.backends.")
        if sends or isinstance(connection, EmailBackend):
            return None
        return f"{backend.__module__}.{backend.__qualname__}"


class ReadableMail(mail.EmailMessage):
    """A mail whose long lines stay whole in backends that show or store it."""

    def message(self, **options: Any) -> Any:
        """Return the mail for a backend; those that send pass a policy of their own."""
        if django.VERSION >= (6, 0):
            # By default lines longer than 78 characters become quoted-printable.
            whole = email.policy.default.clone(max_line_length=998)
            options.setdefault("policy", whole)
        return super().message(**options)


class WaitsForAnswer:
    """
    Mixin for an `smtplib.SMTP` that notices when the server has a whole mail.

    Then it waits for the answer for as long as the RFC demands. If none comes in that
    time, the mail may have been accepted: that is not the same as a failure.
    """

    sock: Any

    def data(self, msg: Any) -> tuple[int, bytes]:
        """Send the mail, and wait for the answers to the command and to the text."""
        before, self._has_sent_all = self.sock.gettimeout(), False
        try:
            reply: tuple[int, bytes] = super().data(msg)  # type: ignore[misc]
        except smtplib.SMTPServerDisconnected as exc:
            if self._has_sent_all and isinstance(exc.__context__, TimeoutError):
                msg = f"the server has it and says nothing for {ANSWER_TIMEOUT:g} s"
                raise DeliveryUnconfirmed(msg) from exc
            raise
        self.sock.settimeout(before)
        return reply

    def send(self, s: Any) -> None:
        """Send a command, which is text, or a whole mail, which is bytes."""
        super().send(s)  # type: ignore[misc]
        if isinstance(s, bytes):
            self._has_sent_all = True
            self.sock.settimeout(ANSWER_TIMEOUT)
            # A little more, so that the socket's time-out comes first.
            expect_answer(ANSWER_TIMEOUT + 10)


def learn_to_wait(smtp: object) -> None:
    """Add `WaitsForAnswer` to the class of an open connection to a mail server."""
    if isinstance(smtp, smtplib.SMTP) and not isinstance(smtp, WaitsForAnswer):
        # Django's backend has made the connection as its settings demand; not every
        # Django lets the class be chosen from outside.
        smtp.__class__ = type("SMTP", (WaitsForAnswer, type(smtp)), {})


def headers(report: Report, sender: str) -> dict[str, str]:
    """Return the headers that make the mails of one downtime a thread."""
    # A report that is sent again has the same Message-ID: it can be shown once.
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
    mailers = getattr(mail, "mailers", None)
    # Django 6.1 has several mailers and deprecates get_connection().
    return mail.get_connection() if mailers is None else mailers.default


subscriber = Subscriber(AdminMail(), section="notifications")
"""Mails the admins what happens in this process; connected when the apps are ready."""
