"""What the tests with real servers have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers.harness import PROJECT, Place, Server

Launch = Callable[..., Server]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Start servers that are gone when the test is over."""
    servers: list[Server] = []

    def _launch(
        command: list[str],
        *,
        wait: bool = True,
        place: str = "place",
        project: Path = PROJECT,
        **environ: str,
    ) -> Server:
        server = Server(Place(tmp_path / place, environ, project), command)
        servers.append(server)
        server.launch()
        if wait:
            server.wait_until_up()
        return server

    yield _launch
    for server in servers:
        server.clean_up()
