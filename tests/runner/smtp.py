"""A real SMTP server that behaves as badly as it is told to."""

from __future__ import annotations

import asyncio
import email
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Mailbox:
    """A handler of aiosmtpd that keeps what it takes."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.answer = "250 OK"
        """What is said after DATA; what does not begin with 250 is not kept."""
        self.hangs_up = False
        """The connection is closed after DATA, in place of an answer."""
        self.delay = 0.0
        """How long it takes to answer to a whole mail, in seconds."""
        self.tries = 0
        self._changed = threading.Condition()

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802
        """Take a mail, or not."""
        with self._changed:
            self.tries += 1
            answer, hangs_up = self.answer, self.hangs_up
            if answer.startswith("250") and not hangs_up:
                mail = email.message_from_bytes(envelope.content, policy=default)
                self.mails.append(mail)
            self._changed.notify_all()
        await asyncio.sleep(self.delay)
        if hangs_up:
            server.transport.abort()  # type: ignore[union-attr]
        return answer

    def wait(self, condition: Callable[[], bool], timeout: float = 20) -> bool:
        """Wait until `condition` is true; asked whenever something arrives."""
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    def wait_for_mails(self, number: int, timeout: float = 20) -> bool:
        """Wait for so many mails."""
        return self.wait(lambda: len(self.mails) >= number, timeout)

    @property
    def subjects(self) -> list[str]:
        """The subjects, in the order of arrival."""
        return [str(mail["Subject"]) for mail in self.mails]


@contextmanager
def smtp_server(port: int | None = None) -> Iterator[tuple[Mailbox, int]]:
    """Run a server on `port`, or a free one; yield what it takes, and the port."""
    mailbox = Mailbox()
    port = port or free_port()
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield mailbox, port
    finally:
        controller.stop()


class RudeServer:
    """
    A listener that takes connections and does what it likes with them.

    Args:
        talk: Called with each connection, in a thread. None: nothing is ever said.
    """

    def __init__(self, talk: Callable[[socket.socket], None] | None = None) -> None:
        self._talk = talk
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.connections: list[socket.socket] = []
        self.arrived = threading.Semaphore(0)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.connections.append(connection)
            self.arrived.release()
            if self._talk is not None:
                talk = self._talk
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def close(self) -> None:
        """Listen no more, and hang up."""
        self._server.close()
        for connection in self.connections:
            connection.close()

    def __enter__(self) -> RudeServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def drip(connection: socket.socket) -> None:
    """Send one byte of a greeting now and then, so that no timeout strikes."""
    try:
        while True:
            connection.sendall(b"2")
            time.sleep(0.05)
    except OSError:
        return
