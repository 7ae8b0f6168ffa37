"""The job that the library was written for: mails from a queue to a mail server."""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.policy import default
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope

from tests.doc_blocks import DOCS, Block, Command, Session, blocks

PAGE = DOCS / "howto" / "django-mailer.rst"
PROJECT = Path(__file__).parent / "mailing"
DEADLINE = 30
ADMIN_MAIL = "[Django] [send_mail]"
CHAIN = ("mysite.tasks.send_mail", "mysite.tasks.retry_deferred")

QUEUE = """
from django.core.mail import send_mail
for number in range({count}):
    send_mail(f"{subject} {{number}}", "…", None, ["customer@example.com"])
"""

LOOK = """
from mailer.models import Message, MessageLog
print("queued", Message.objects.count(), "deferred", Message.objects.deferred().count())
print("sent", MessageLog.objects.filter(result="1").count())
"""


class FreePort(Controller):
    """A controller that can be given port 0."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class MailServer:
    """A mail server on a port of its own, which can refuse, go away and come back."""

    def __init__(self) -> None:
        self.answer = "250 OK"
        self.delivered: list[str] = []
        self.refused: list[str] = []
        self._changed = threading.Condition()
        self._controller = self._start(0)
        self.port = self._controller.port

    def _start(self, port: int) -> Controller:
        controller = FreePort(self, hostname="127.0.0.1", port=port)
        controller.start()
        return controller

    async def handle_DATA(  # noqa: N802 - the library's name
        self, server: SMTP, session: Any, envelope: Envelope
    ) -> str:
        """Take a mail, or refuse it."""
        content = envelope.content or b""
        raw = content.encode() if isinstance(content, str) else content
        subject = message_from_bytes(raw, policy=default)["Subject"].strip()
        with self._changed:
            taken = self.delivered if self.answer.startswith("2") else self.refused
            taken.append(subject)
            self._changed.notify_all()
        return self.answer

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds, which is looked at with each mail."""
        with self._changed:
            held = self._changed.wait_for(condition, DEADLINE)
        assert held, f"delivered {self.delivered}, refused {self.refused[-5:]}"

    def go_away(self) -> None:
        """Listen no longer."""
        self._controller.stop()

    def come_back(self) -> None:
        """Listen on the same port again, and take every mail."""
        self.answer = "250 OK"
        self._controller = self._start(self.port)


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    """Return a mail server that takes every mail."""
    server = MailServer()
    yield server
    server.go_away()


@pytest.fixture
def session(tmp_path: Path, mail_server: MailServer) -> Session:
    """Return a session in a project that sends mail, and knows no queue yet."""
    folder = tmp_path / "project"
    shutil.copytree(PROJECT, folder)
    session = Session(folder)
    session.environ["EMAIL_PORT"] = str(mail_server.port)
    return session


@pytest.fixture
def postgresql(session: Session) -> Iterator[None]:
    """Give the project a database of its own in PostgreSQL."""
    import psycopg

    name = f"mailing_{uuid4().hex}"
    where = "host=127.0.0.1 user=postgres dbname=postgres"
    with psycopg.connect(where, autocommit=True) as connection:
        connection.execute(f"create database {name}")
        session.environ.update(DATABASE="postgresql", DATABASE_NAME=name)
        yield
        connection.execute(f"drop database {name} with (force)")


def script(session: Session, code: str, printed: str = "") -> None:
    """Run `code` in the project; it has to print `printed`."""
    session.run(Block("a script", 0, "python", code), printed)


def prepare(session: Session) -> None:
    """Make of the project what the page makes of it."""
    for block in blocks(PAGE):
        if block.caption:
            session.run(block)
    session.run(Block("a test", 0, "sh", "python manage.py migrate"))


@contextlib.contextmanager
def running(session: Session, *arguments: str) -> Iterator[Command]:
    """Run a command of the project that does not end by itself."""
    argv = [sys.executable, "manage.py", *arguments]
    command = Command(argv, session, Block("a test", 0, "sh", " ".join(argv)))
    try:
        yield command
    finally:
        command.interrupt()
        command.end()


def has(mails: list[str], subject: str, count: int) -> bool:
    """Say whether at least `count` of the mails begin with `subject`."""
    return sum(mail.startswith(subject) for mail in mails) >= count


def follow_the_queue(session: Session, server: MailServer, command: Command) -> None:
    """Queue mails while the server takes them, refuses them, and is away."""
    script(session, QUEUE.format(subject="Order", count=3))
    server.wait_for(partial(has, server.delivered, "Order", 3))

    server.answer = "451 Try again later"
    script(session, QUEUE.format(subject="Refused", count=2))
    # Twice: it was deferred, put back into the queue and tried again.
    server.wait_for(partial(has, server.refused, "Refused", 4))
    server.go_away()
    script(session, QUEUE.format(subject="Unreachable", count=1))
    command.expect("[send_mail] Execution failed\n" * 2)
    server.come_back()

    server.wait_for(partial(has, server.delivered, "Refused", 2))
    server.wait_for(partial(has, server.delivered, "Unreachable", 1))
    # The last one was taken; the run that noted it ends before this one does.
    command.expect("[retry_deferred] Execution successful\n" * 2)
    # The admins hear of the outage, and not through the queue.
    server.wait_for(partial(has, server.delivered, ADMIN_MAIL, 1))
    script(session, LOOK, "queued 0 deferred 0\nsent 6")
    to_customers = [x for x in server.delivered if not x.startswith(ADMIN_MAIL)]
    assert 6 == len(to_customers)


def test_page_works_as_written(session: Session, mail_server: MailServer) -> None:
    """The page leads from a project that sends mail to one that queues it."""
    session.run_page(PAGE)

    mail_server.wait_for(partial(has, mail_server.delivered, "Your order", 1))


def test_queue_is_worked_off(session: Session, mail_server: MailServer) -> None:
    """Mails are deferred while the server refuses, and delivered when it is back."""
    prepare(session)

    with running(session, "run_functions", *CHAIN) as command:
        follow_the_queue(session, mail_server, command)


def test_server_of_the_project_works_it_off(
    session: Session, mail_server: MailServer
) -> None:
    """The chain does the same in a thread of the process that serves."""
    prepare(session)

    with running(session, "runserver", "--noreload", "0") as command:
        follow_the_queue(session, mail_server, command)


@pytest.mark.services
@pytest.mark.usefixtures("postgresql")
def test_queue_in_postgresql_is_worked_off(
    session: Session, mail_server: MailServer
) -> None:
    """It is no other with PostgreSQL, where django-mailer locks each mail it sends."""
    prepare(session)

    with running(session, "run_functions", *CHAIN) as command:
        follow_the_queue(session, mail_server, command)
