"""Starts and stops of a server at any moment."""

from __future__ import annotations

import random
import re
import time

import pytest

from tests.servers.conftest import Launch
from tests.servers.harness import Server, has, overlaps, wait_for
from tests.servers.test_gunicorn import gunicorn

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not has("gunicorn"), reason="gunicorn is not installed"),
]

OWN_LINE = re.compile(r"\[\d{4}-\d\d-\d\d [^\]]+\] \[\d+\] \[(INFO|WARNING|ERROR)\] ")
"""How gunicorn's own lines begin."""


def stop_once(server: Server) -> None:
    # From before the workers are there until the chain has run for a while.
    wait_for(lambda: "Listening at" in server.text())
    time.sleep(random.uniform(0, 2))

    took = server.stop(timeout=30)

    strange = [line for line in server.text().splitlines() if not OWN_LINE.match(line)]
    assert strange == []
    assert server.process.returncode == 0
    assert took < 7
    assert overlaps(server.place.events("enter", "leave"), {}) == []
    assert server.pids() == []


def stops(launch: Launch, number: int) -> None:
    for index in range(number):
        command = gunicorn(*(["--preload"] if index % 2 else []), workers=2)
        stop_once(launch(command, wait=False, place=f"{index}", COOLDOWN="0.01"))


def test_stops(launch: Launch) -> None:
    """SIGTERM at a random moment is a clean exit, and nothing is printed."""
    stops(launch, 6)


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_hundred_stops(launch: Launch) -> None:
    """A hundred times SIGTERM at random moments is a hundred clean exits."""
    stops(launch, 100)
