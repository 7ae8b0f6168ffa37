"""Chains in uWSGI."""

from __future__ import annotations

import sys

import pytest

from tests.servers.conftest import Launch
from tests.servers.harness import (
    Server,
    has,
    overlaps,
    program,
    side_by_side,
    wait_for,
)

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not has("uwsgi"), reason="uWSGI is not installed"),
]


def uwsgi(*options: str, master: bool = True) -> list[str]:
    return [
        program("uwsgi"),
        "--http-socket=127.0.0.1:{port}",
        "--module=wsgi:application",
        f"--virtualenv={sys.prefix}",
        "--need-app",
        "--enable-threads",
        "--worker-reload-mercy=5",
        *(["--master", "--processes=4", "--die-on-term"] if master else []),
        *options,
    ]


WAYS = {
    "master": uwsgi(),
    "lazy-apps": uwsgi("--lazy-apps"),
    "Python's fork hooks": uwsgi("--py-call-osafterfork"),
    "uWSGI's fork hooks": uwsgi("--py-call-uwsgi-fork-hooks"),
}


def kill_owner(server: Server) -> tuple[float, dict[int, float]]:
    """Kill the owner in a cooldown; return how long the next run took to begin."""
    owner = wait_for(lambda: server.place.cooling_owner("beat"))
    at = server.kill(owner)
    after = server.wait_for_run_after(at)
    assert after["pid"] != owner
    return after["at"] - at, {owner: at}


ABORTS = pytest.mark.skipif(
    sys.version_info >= (3, 13),
    reason="uWSGI 2.0.31 itself aborts with this option, whatever the project is",
)


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(way, marks=ABORTS if way == "Python's fork hooks" else ())
        for way in WAYS
    ],
)
def test_one_worker(launch: Launch, way: str) -> None:
    """One worker runs the chain, never the master; killed, another one does."""
    server = launch(WAYS[way])
    server.wait_for_runs(5)
    server.wait_for_workers(4)

    delay, killed = kill_owner(server)
    count = len(server.place.events("enter"))
    server.wait_for_runs(count + 3)

    events = server.place.events("enter", "leave")
    assert delay < 1
    assert len({event["pid"] for event in events}) == 2
    assert server.process.pid not in {event["pid"] for event in events}
    assert overlaps(events, killed) == []
    assert server.stop() < 8


def test_no_master(launch: Launch) -> None:
    """Without a master, the only process runs the chain."""
    server = launch(uwsgi(master=False))

    runs = server.wait_for_runs(5)

    assert {run["pid"] for run in runs} == {server.process.pid}


def test_mule(launch: Launch) -> None:
    """A mule runs no chain."""
    server = launch(uwsgi("--mule", "--lazy-apps"))
    server.wait_for_runs(3)
    server.wait_for_workers(4)

    assert not [line for line in server.place.log() if "uWSGI mule" in line]
    assert len(server.pids()) == 6


@pytest.mark.timeout(300)
@pytest.mark.parametrize("way", ["master", "lazy-apps"])
def test_starts(launch: Launch, way: str) -> None:
    """Of 50 starts none hangs a request, or a chain."""

    def start_once(index: int) -> None:
        server = launch(WAYS[way], place=f"{index}")
        pids = {server.request() for _ in range(8)}
        server.wait_for_runs(1)
        server.clean_up()
        assert server.process.pid not in pids

    side_by_side(start_once, range(50))
