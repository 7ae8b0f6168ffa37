"""The wrapper that binds chains to the lifespan of an ASGI server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from yourlabs.runner.asgi import lifespan
from yourlabs.runner.autostart import attach as hosts


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the threads in which the chains were stopped."""
    names: list[str] = []
    monkeypatch.setattr(hosts, "leave", lambda: names.append(thread_name()))
    return names


def thread_name() -> str:
    return threading.current_thread().name


class Server:
    """Plays the part of the server in a conversation."""

    def __init__(self, *messages: str) -> None:
        self.messages = [{"type": message} for message in messages]
        self.answers: list[str] = []

    async def receive(self) -> dict[str, str]:
        return self.messages.pop(0)

    async def send(self, message: dict[str, str]) -> None:
        self.answers.append(message["type"])


async def no_application(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": f"answer to {scope['type']}"})


def test_lifespan(stops: list[str]) -> None:
    """The end of the lifespan stops the chains, outside of the event loop's thread."""
    server = Server("lifespan.startup", "lifespan.shutdown")
    application = lifespan(no_application)

    asyncio.run(application({"type": "lifespan"}, server.receive, server.send))

    assert server.answers == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert len(stops) == 1
    assert stops != [thread_name()]


def test_startup(stops: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The start of the lifespan proves that the process serves."""
    proofs: list[str] = []
    monkeypatch.setattr(hosts, "serving", lambda: proofs.append("serves"))
    server = Server("lifespan.startup", "lifespan.shutdown")
    application = lifespan(no_application)

    asyncio.run(application({"type": "lifespan"}, server.receive, server.send))

    assert proofs == ["serves"]


def test_requests(stops: list[str]) -> None:
    """Everything but the lifespan is the application's."""
    server = Server()
    application = lifespan(no_application)

    asyncio.run(application({"type": "http"}, server.receive, server.send))

    assert server.answers == ["answer to http"]
    assert stops == []
