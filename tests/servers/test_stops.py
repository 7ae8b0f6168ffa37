"""Starts and stops of a server at any moment."""

from __future__ import annotations

import random
import re
import time

import pytest

from tests.servers.conftest import Launch
from tests.servers.harness import has, overlaps, side_by_side, wait_for
from tests.servers.test_gunicorn import gunicorn

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not has("gunicorn"), reason="gunicorn is not installed"),
]

OWN_LINE = re.compile(r"\[\d{4}-\d\d-\d\d [^\]]+\] \[\d+\] \[(INFO|WARNING|ERROR)\] ")
"""How gunicorn's own lines begin."""


GRACE = 5
"""What gunicorn waits for its workers before it kills them, in seconds."""

MAX_LOST = 15
"""How many of the stops may take that long. Gunicorn loses a SIGTERM that comes between
the fork of a worker and its handlers, without chains too: some 1 of 100 on two cores,
and some more while these are busy."""


@pytest.mark.timeout(300)
def test_stops(launch: Launch) -> None:
    """A hundred times SIGTERM at random moments is a hundred clean exits."""
    enforced = []

    def stop_once(index: int) -> None:
        options = [f"--graceful-timeout={GRACE}", *(["--preload"] if index % 2 else [])]
        command = gunicorn(*options, workers=2)
        server = launch(command, wait=False, place=f"{index}", COOLDOWN="0.01")
        # From before the workers are there until the chain has run for a while.
        wait_for(lambda: "Listening at" in server.text())
        time.sleep(random.uniform(0, 2))

        took = server.stop(timeout=40)

        lines = server.text().splitlines()
        assert [line for line in lines if not OWN_LINE.match(line)] == []
        assert server.process.returncode == 0
        if took >= GRACE or "SIGKILL" in server.text():
            enforced.append((index, took))
        assert overlaps(server.place.events("enter", "leave"), {}) == []
        assert server.pids() == []

    side_by_side(stop_once, range(100))

    assert len(enforced) <= MAX_LOST, enforced
