"""Chains in gunicorn."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.servers.conftest import Launch
from tests.servers.harness import (
    Server,
    copy_of_project,
    has,
    load_on,
    overlaps,
    program,
    replace_in,
    side_by_side,
    wait_for,
)

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not has("gunicorn"), reason="gunicorn is not installed"),
]

GRACEFUL_TIMEOUT = 5


def gunicorn(*options: str, workers: int = 4, application: str = "wsgi") -> list[str]:
    return [
        program("gunicorn"),
        f"{application}:application",
        "--bind=127.0.0.1:{port}",
        f"--workers={workers}",
        f"--graceful-timeout={GRACEFUL_TIMEOUT}",
        "--no-control-socket",
        *options,
    ]


WAYS = {
    "sync": gunicorn(),
    "sync preload": gunicorn("--preload"),
    "gthread": gunicorn("-k", "gthread", "--threads=4"),
    "gthread preload": gunicorn("-k", "gthread", "--threads=4", "--preload"),
    "asgi": gunicorn("-k", "asgi", application="asgi"),
}


def kill_owners(server: Server, times: int) -> tuple[list[float], dict[int, float]]:
    """
    Kill the owner in a cooldown, again and again.

    Returns:
        How long the next run took to begin, each time; and when which was killed.
    """
    delays, killed = [], {}
    for _ in range(times):
        owner = wait_for(lambda: server.place.cooling_owner("beat"))
        killed[owner] = at = server.kill(owner)
        after = server.wait_for_run_after(at)
        assert after["pid"] != owner
        delays.append(after["at"] - at)
        server.wait_for_workers(len(killed) + 4)
    return delays, killed


@pytest.mark.parametrize("way", WAYS)
def test_kill_of_the_owner(launch: Launch, way: str) -> None:
    """One worker runs the chain, and when it is killed another one does within 1 s."""
    server = launch(WAYS[way])
    first = server.wait_for_runs(5)
    server.wait_for_workers(4)

    delays, killed = kill_owners(server, 10)

    events = server.place.events("enter", "leave")
    assert len({event["pid"] for event in first}) == 1
    assert server.process.pid not in {event["pid"] for event in events}
    assert max(delays) < 1
    assert overlaps(events, killed) == []
    assert server.stop() < GRACEFUL_TIMEOUT + 3


def test_recycled_workers(launch: Launch) -> None:
    """Workers that end after 20 requests hand the chain over, and keep its cooldown."""

    def recycle(way: str) -> None:
        # Without the jitter the four, which share the requests evenly, end at once:
        # where they have to load the project, nobody is there until one has.
        jitter = [] if "--preload" in WAYS[way] else ["--max-requests-jitter=20"]
        command = [*WAYS[way], "--max-requests=20", *jitter]
        server = launch(command, place=way, COOLDOWN="2")
        server.wait_for_runs(1)

        # Nor is anybody where they end faster than the machine can replace them.
        with load_on(server, pause=0.2, workers=3) as load:
            time.sleep(30)

        events = server.place.events("enter", "leave")
        runs = [event for event in events if event["event"] == "enter"]
        ends = [event for event in events if event["event"] == "leave"]
        pairs = zip(ends, runs[1:], strict=False)
        cooldowns = [run["at"] - end["at"] for end, run in pairs]
        owners = {run["pid"] for run in runs}
        ended = {event["pid"] for event in server.place.events("exit")}
        assert load.failed == []
        assert load.answered > 120
        assert overlaps(events, {}) == []
        assert len(owners & ended) > 2
        assert server.process.pid not in owners
        assert len(cooldowns) > 8
        assert 1 < min(cooldowns) <= max(cooldowns) < 3

    side_by_side(recycle, ["sync", "gthread", "gthread preload"])


def test_reload(launch: Launch, tmp_path: Path) -> None:
    """After a HUP the new code runs within the graceful timeout, the old no more."""
    project = copy_of_project(tmp_path / "project")
    server = launch(gunicorn("--graceful-timeout=20"), project=project)
    server.wait_for_runs(2)

    replace_in(project / "tasks.py", '"old"', '"new"')
    at = server.kill(server.process.pid, signal.SIGHUP)
    new = wait_for(
        lambda: [e for e in server.place.events("enter") if e["version"] == "new"]
    )
    count = len(server.place.events("enter"))
    server.wait_for_runs(count + 10)

    versions = [run["version"] for run in server.place.events("enter")]
    assert new[0]["at"] - at < 20
    assert versions == sorted(versions, reverse=True)
    assert overlaps(server.place.events("enter", "leave"), {}) == []


@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["", "preload"])
def test_gevent(launch: Launch, preload: list[str]) -> None:
    """Under gevent one error line names the remedy, and requests are answered."""
    server = launch(gunicorn("-k", "gevent", *preload, workers=1))

    pids = {server.request() for _ in range(50)}

    errors = [line for line in server.place.log() if " ERROR " in line]
    assert len(pids) == 1
    assert len(errors) == 1
    assert "gthread" in errors[0]
    assert "run_functions" in errors[0]
    assert server.place.events("enter") == []
    assert server.place.run_files() == []


@pytest.mark.parametrize("way", ["sync", "sync preload"])
def test_view_that_forks(launch: Launch, way: str) -> None:
    """A view that forks starts no chain, and takes nothing from its worker."""
    server = launch(WAYS[way])
    server.wait_for_runs(1)

    forks = {server.request("/fork") for _ in range(20)}

    count = len(server.place.events("enter"))
    runs = server.wait_for_runs(count + 3)
    assert forks <= set(server.pids())
    assert len({run["pid"] for run in runs}) == 1


def test_task_with_offspring(launch: Launch) -> None:
    """What a task started and forked cannot keep the chain when its process died."""
    server = launch(gunicorn(workers=3), CHAIN="tasks.multiply", COOLDOWN="0.5")
    left = wait_for(lambda: server.place.events("leave"))[0]
    owner = wait_for(lambda: server.place.cooling_owner("multiply"))

    at = server.kill(owner)
    after = server.wait_for_run_after(at)

    assert after["at"] - at < 1
    for child in left["children"]:
        os.kill(child, 0)


def test_crash(launch: Launch) -> None:
    """A task that crashes its process costs a worker a cooldown, and one mail."""
    server = launch(gunicorn(), CHAIN="tasks.crash")

    with load_on(server, pause=0.02) as load:
        time.sleep(30)

    lost = {event["pid"] for event in server.place.events("enter")}
    assert 2 <= len(lost) <= 6
    assert load.answered > 1000
    assert len(load.failed) <= 0.01 * (load.answered + len(load.failed))
    mails = server.place.mails()
    assert len(mails) == 1
    assert "[crash]" in mails[0]


def test_take_over_by_a_command(launch: Launch) -> None:
    """run_functions gets the chain from a worker, which lives on and takes it back."""
    task = {"CHAIN": "tasks.work", "SECONDS": "1", "COOLDOWN": "0.01"}
    server = launch(gunicorn("-k", "gthread"), **task)
    server.wait_for_runs(1)
    server.wait_for_workers(4)
    workers = set(server.pids())

    command = launch(
        [program("python"), "manage.py", "run_functions", "tasks.work"],
        wait=False,
        **task,
    )
    pid = command.process.pid
    taken = wait_for(
        lambda: [e for e in server.place.events("enter") if e["pid"] == pid]
    )
    command.stop()
    ended_at = time.monotonic()
    taken_at = taken[0]["at"]
    # The worker may be faster than the command is at its end.
    back = wait_for(
        lambda: [
            e
            for e in server.place.events("enter")
            if e["pid"] != pid and e["at"] > taken_at
        ]
    )

    events = server.place.events("enter", "leave")
    before = [e["at"] for e in events if e["pid"] != pid and e["at"] < taken_at]
    assert taken_at - max(before) < 1
    assert command.process.returncode == 0
    assert back[0]["pid"] in workers
    assert back[0]["at"] - ended_at < 1
    assert set(server.pids()) == workers
    assert overlaps(events, {}) == []
