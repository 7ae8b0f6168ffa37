"""
Two or three machines, and everything that happens to them, for so many seconds.

``python -m tests.runner.cluster.torture postgresql|mariadb SECONDS [SEED]``

Processes are killed, frozen for up to a minute, ended and started again; a cable is
pulled, and the database restarted. The referee reads the log of the runs and the row,
which it asked for who holds the lease all the time.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.runner.cluster.harness import (
    Cluster,
    ClusterMariaDB,
    ClusterPostgreSQL,
    ClusterServer,
    Machine,
    Network,
)
from tests.runner.test_databases import folder_of

ROOTS = ("one", "one", "two", "two", "three")
"""The machine of each process: two of them have a process that stands by."""

CHAINS = ("a", "b", "c", "d")


class Torturer:
    """Does to the machines of a cluster what happens to machines."""

    def __init__(self, cluster: Cluster, server: ClusterServer, seed: int) -> None:
        self.cluster, self.server = cluster, server
        self.random = random.Random(seed)
        self.network: Network | None = None
        if not os.geteuid():
            number = os.getpid()
            self.network = Network(f"tor{number % 10000}", number % 200)
        self.living: list[Machine] = []
        self.frozen: dict[Machine, float] = {}
        self.plug_at = 0.0
        self.disturbed: dict[int, list[tuple[float, float]]] = {}
        """When a process was frozen or cut off, by pid: until when it was so."""
        self.died: dict[int, float] = {}
        self.done: Counter[str] = Counter()

    def fill_up(self) -> None:
        """Start a process of each machine that lacks one."""
        self.living = [one for one in self.living if one.process.poll() is None]
        for root in ROOTS:
            if sum(one.root == root for one in self.living) < ROOTS.count(root):
                self.living.append(self._start(root))

    def _start(self, root: str) -> Machine:
        environ = {"HOURS_OFF": str(self.random.randint(-12, 12))}
        if self.network is not None and root == "three":
            environ |= {"NETWORK": self.network.name, "ADDRESS": self.network.address}
        self.done["started"] += 1
        chains = [f"{name}=steady" for name in CHAINS]
        return self.cluster.machine(root, *chains, **environ)

    def strike(self) -> None:
        """Do one thing, to the owner most likely."""
        self.thaw(time.monotonic())
        events = self.cluster.events()
        pid = events[-1]["pid"] if events else 0
        owners = [one for one in self.living if one.process.pid == pid]
        awake = [one for one in self.living if one not in self.frozen]
        victim = self.random.choice([*(owners or awake), self.random.choice(awake)])
        dice = self.random.random()
        if dice < 0.35:
            self.done["killed"] += 1
            self.frozen.pop(victim, None)
            self.died[victim.process.pid] = time.monotonic()
            victim.kill()
        elif dice < 0.50:
            self.done["ended"] += 1
            victim.process.stdin.close()  # type: ignore[union-attr]
            self.living.remove(victim)
        elif dice < 0.80:
            self.freeze(victim)
        elif dice < 0.92:
            self.pull()
        elif dice < 0.96:
            self.done["connections cut"] += 1
            self.server.cut_connections()
        else:
            self.done["database restarted"] += 1
            self.server.kill()
            time.sleep(self.random.choice([0, 3, 12]))
            self.server.start()

    def freeze(self, victim: Machine) -> None:
        """Freeze a process for up to a minute."""
        if len(self.frozen) > 2 or victim in self.frozen:
            return
        self.done["frozen"] += 1
        seconds = self.random.choice([0.5, 8, 14, 17, 25, 60])
        begun = time.monotonic()
        victim.process.send_signal(signal.SIGSTOP)
        self.frozen[victim] = begun + seconds
        spans = self.disturbed.setdefault(victim.process.pid, [])
        spans.append((begun, math.inf))

    def thaw(self, now: float) -> None:
        """End what has lasted long enough."""
        for machine, until in list(self.frozen.items()):
            if now >= until:
                del self.frozen[machine]
                if machine.process.poll() is None:
                    machine.process.send_signal(signal.SIGCONT)
                spans = self.disturbed[machine.process.pid]
                # The run in which it was frozen takes a moment to end.
                spans[-1] = spans[-1][0], time.monotonic() + 1
        if self.plug_at and now >= self.plug_at and self.network is not None:
            self.plug_at = 0.0
            self.network.plug()

    def pull(self) -> None:
        """Cut a machine off."""
        if self.network is None or self.plug_at:
            return
        self.done["cut off"] += 1
        self.network.pull()
        self.plug_at = time.monotonic() + self.random.choice([3, 12, 30])

    def close(self) -> None:
        """Kill all."""
        self.cluster.close()
        if self.network is not None:
            self.network.close()


def judge(
    events: list[dict[str, Any]], died: dict[int, float], disturbed: dict[int, Any]
) -> dict[str, Any]:
    """
    Return what is wrong with the runs of one chain, and how many there were.

    A run that begins with a lower token than one that began before is wrong: its
    machine's lease had ended. One that begins while another process's run goes on is
    wrong, unless that process was killed in it, or frozen: no lease can stop it. A
    process that is frozen between its look at the lease and the call is told apart.
    """
    highest, old_tokens, overlapping = 0, [], []
    frozen_runs = frozen_starts = 0

    def was_frozen(pid: int, at: float) -> bool:
        return any(begun <= at <= end for begun, end in disturbed.get(pid, []))

    going_on: dict[int, dict[str, Any]] = {}
    for event in events:
        if event["event"] == "leave":
            going_on.pop(event["pid"], None)
            continue
        if event["token"] < highest:
            if was_frozen(event["pid"], event["at"]):
                frozen_starts += 1
            else:
                old_tokens.append(event)
        highest = max(highest, event["token"])
        for pid, other in going_on.items():
            if pid == event["pid"] or died.get(pid, event["at"]) < event["at"]:
                continue
            if was_frozen(pid, event["at"]):
                frozen_runs += 1
            else:
                overlapping.append((other, event))
        going_on[event["pid"]] = event
    runs = sum(one["event"] == "enter" for one in events)
    owners = len({one["token"] for one in events})
    # Of all chains the numbers are summed.
    return {
        "runs": runs,
        "owners": owners,
        "tokens": highest,
        "old tokens": old_tokens,
        "overlaps": overlapping,
        "overlaps of runs that were frozen": frozen_runs,
        "starts of processes that were frozen": frozen_starts,
    }


def torture(
    folder: Path, server: ClusterServer, seconds: float, seed: int
) -> dict[str, Any]:
    """Torture for so long; return the verdict."""
    cluster = Cluster(folder, server.database)
    torturer = Torturer(cluster, server, seed)
    ends = time.monotonic() + seconds
    try:
        while time.monotonic() < ends:
            torturer.fill_up()
            wake = time.monotonic() + torturer.random.uniform(0.3, 4)
            while time.monotonic() < wake:
                torturer.thaw(time.monotonic())
                time.sleep(0.05)
            torturer.strike()
    finally:
        torturer.close()
    lines = cluster.log.read_text().splitlines()
    events = sorted((json.loads(line) for line in lines), key=lambda one: one["at"])
    verdict: dict[str, Any] = {}
    for chain in CHAINS:
        of_chain = [one for one in events if one["chain"] == chain]
        for key, value in judge(of_chain, torturer.died, torturer.disturbed).items():
            verdict[key] = verdict[key] + value if key in verdict else value
    return {"seed": seed, **torturer.done, **verdict}


def main(kind: str, seconds: str, seed: str = "") -> None:
    """Torture one kind of database."""
    servers = {"postgresql": ClusterPostgreSQL, "mariadb": ClusterMariaDB}
    user = {"postgresql": "postgres", "mariadb": "mysql"}[kind]
    with folder_of(user) as folder, tempfile.TemporaryDirectory() as place:
        server: Any = servers[kind](folder)
        try:
            Cluster(folder, server.database).migrate()
            number = int(seed or random.randrange(2**32))
            verdict = torture(Path(place), server, float(seconds), number)
        finally:
            server.stop()
    print(kind, json.dumps(verdict, indent=1))
    sys.exit(1 if verdict["old tokens"] or verdict["overlaps"] else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
