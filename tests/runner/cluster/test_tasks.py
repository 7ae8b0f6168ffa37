"""Background tasks of Django, worked off by a chain whose owners are killed."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import wait_for, whole_lines
from tests.processes import Child
from tests.runner.cluster.harness import ClusterServer

pytest.importorskip("django_tasks_db")
pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]

TASKS = int(os.environ.get("CLUSTER_TASKS", "120"))
KILLS = max(4, TASKS // 50)


class Site:
    """Processes that share a database with background tasks."""

    def __init__(self, folder: Path, server: ClusterServer) -> None:
        self.folder, self.server = folder, server
        self.log = folder / "log"
        self.log.touch()
        self.children: list[Child] = []
        self.run("migrate")
        self.table = "django_tasks_database_dbtaskresult"
        if server.kind == "mariadb":
            self.table = f"test.{self.table}"
        server.execute(f"delete from {self.table}")

    def start(self, *arguments: str, root: str = "one", **environ: str) -> Child:
        """Start a process."""
        values = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
        child = Child(
            "-m",
            "tests.runner.cluster.tasker",
            json.dumps(self.server.database),
            str(self.folder / root),
            str(self.log),
            *arguments,
            environ={**values, **environ},
        )
        self.children.append(child)
        return child

    def run(self, *arguments: str) -> None:
        """Wait for what a process does."""
        child = self.start(*arguments)
        assert child.end(120) == 0, child.lines

    def begun(self) -> list[dict[str, int]]:
        """Return the tasks that were begun, in order."""
        return [json.loads(line) for line in whole_lines(self.log)]

    def statuses(self) -> Counter[str]:
        """Return how many tasks are in which state."""
        found = self.server.execute(
            f"select status, count(*) from {self.table} group by status"
        )
        return Counter(dict(found))

    def close(self) -> None:
        """Kill all."""
        for child in self.children:
            if child.process.poll() is None:
                child.process.send_signal(signal.SIGCONT)
            with child:
                pass


@pytest.fixture
def site(server: ClusterServer, tmp_path: Path) -> Iterator[Site]:
    """Return processes that share a database."""
    site = Site(tmp_path, server)
    yield site
    site.close()


def test_many_tasks(site: Site) -> None:
    """Each task is begun once, by priority, and ends once, whoever is killed."""
    enqueuers = [
        site.start("enqueue", str(first), str(TASKS // 4))
        for first in range(0, TASKS, TASKS // 4)
    ]
    for child in enqueuers:
        assert child.end(120) == 0, child.lines
    assert site.statuses() == {"READY": TASKS}
    workers = [site.start("work") for _ in range(2)]
    for kill in range(KILLS):
        enough = len(site.begun()) + random.randint(10, TASKS // KILLS // 2)
        wait_for(lambda enough=enough: len(site.begun()) >= enough, 120)  # type: ignore[misc]
        owner = next(w for w in workers if w.process.pid == site.begun()[-1]["pid"])
        workers.remove(owner)
        owner.process.kill()
        owner.process.wait()
        workers.append(site.start("work"))
        assert kill < KILLS
    wait_for(lambda: not site.statuses().keys() & {"READY", "RUNNING"}, 600)

    begun, statuses = site.begun(), site.statuses()
    print(f"\n{statuses}, begun {len(begun)}")
    assert sum(statuses.values()) == TASKS
    assert len({one["number"] for one in begun}) == len(begun)
    # One that was taken and killed before its first line is failed, too.
    assert TASKS - KILLS <= len(begun) <= TASKS
    died = statuses["FAILED"] - sum(one["number"] % 10 == 0 for one in begun)
    assert 0 <= died <= KILLS
    priorities = [one["priority"] for one in begun]
    assert priorities == sorted(priorities, reverse=True)


def test_thawed_owner(site: Site) -> None:
    """A result that comes after the task was failed for its dead owner is dropped."""
    gate = site.folder / "gate"
    site.run("wait", str(gate))
    cluster = {"BACKEND": "yourlabs.runner.cluster"}
    old = site.start("work", **cluster)
    wait_for(lambda: site.begun())
    time.sleep(0.5)
    old.process.send_signal(signal.SIGSTOP)
    new = site.start("work", root="two", **cluster)
    new.expect("was running when its process ended")
    assert site.statuses() == {"FAILED": 1}
    gate.touch()
    old.process.send_signal(signal.SIGCONT)
    old.expect("counts no more")

    assert site.statuses() == {"FAILED": 1}
