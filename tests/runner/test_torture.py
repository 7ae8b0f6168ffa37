"""
A minute of everything at once, with a referee that trusts nobody.

Processes with and without other work own one chain, are killed, frozen, ended and
taken over from at random, and fork children that outlive them. Each run tells when it
begins and ends on the one monotonic clock of the machine; the referee reads that log
afterwards.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import time
from collections import Counter
from itertools import pairwise

import pytest

from tests.places import Place, overlaps
from yourlabs.runner.ownership import process as processes

SECONDS = float(os.environ.get("TORTURE_SECONDS", "60"))
PROCESSES = 8


class Torturer:
    """Has processes forked, and does to them what happens to processes."""

    def __init__(self, place: Place, seed: int) -> None:
        self.place = place
        self.random = random.Random(seed)
        self.zygote = place.module("tests.zygote", "tests.jobs.tortured")
        self.living: dict[int, int] = {}
        """Descriptors that pin the processes, by pid."""
        self.starts: dict[int, int | None] = {}
        self.asked: set[int] = set()
        """To end, once: the second time they would leave at once."""
        self.died: dict[tuple[int, int], float] = {}
        self.done = dict.fromkeys(("started", "killed", "ended", "frozen"), 0)

    def fill_up(self) -> None:
        """Forget the dead, and have others started in their place."""
        poll = select.poll()
        for descriptor in self.living.values():
            poll.register(descriptor, select.POLLIN)
        ended = {descriptor for descriptor, _ in poll.poll(0)}
        for pid in [pid for pid, fd in self.living.items() if fd in ended]:
            os.close(self.living.pop(pid))
        while len(self.living) < PROCESSES:
            is_command = self.random.random() < 0.35
            pid = self.zygote.ask("c" if is_command else "h")
            self.living[pid] = os.pidfd_open(pid)
            self.starts[pid] = processes.start_ticks(pid)
            self.asked.discard(pid)
            self.done["started"] += 1

    def strike(self) -> None:
        """Do one thing to one of them; to the owner, most likely."""
        pid = self.place.owner("tortured").get("pid")
        if pid not in self.living or self.random.random() < 0.5:
            pid = self.random.choice(list(self.living))
        dice = self.random.random()
        if dice < 0.25:
            self.kill(pid)
        elif dice < 0.32 and pid not in self.asked:
            self.asked.add(pid)
            self.send(pid, signal.SIGTERM, "ended")
        elif dice < 0.36:
            self.send(pid, signal.SIGSTOP, "frozen")
            time.sleep(0.05)
            self.send(pid, signal.SIGCONT)

    def kill(self, pid: int) -> None:
        """Kill one, and remember until when it was alive for certain."""
        descriptor = self.living.pop(pid)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(0):
            self.died[pid, self.starts[pid] or 0] = time.monotonic()
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            self.done["killed"] += 1
            assert poll.poll(10_000)
        os.close(descriptor)

    def send(self, pid: int, number: int, what: str = "") -> None:
        """Send a signal, if the process is there still."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.living[pid], number)
            if what:
                self.done[what] += 1

    def close(self) -> None:
        """Kill all that live."""
        for pid in list(self.living):
            self.kill(pid)


@pytest.mark.torture
@pytest.mark.timeout(SECONDS * 2 + 120)
def test_torture(place: Place) -> None:
    """No two runs overlap, and the fencing numbers rise, whatever happens."""
    torturer = Torturer(place, seed=random.randrange(2**32))
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        torturer.fill_up()
        time.sleep(torturer.random.uniform(0.01, 0.08))
        torturer.strike()
    torturer.close()
    events = place.events()
    entered = [event for event in events if event["event"] == "enter"]
    codes = Counter(event["code"] for event in events if event["event"] == "exit")
    gaps = [b["at"] - a["at"] for a, b in pairwise(entered)]
    print(
        f"\n{len(entered)} runs by {len({e['seq'] for e in entered})} owners, "
        f"{torturer.done}, exit codes {dict(codes)}, last number "
        f"{entered[-1]['seq']}, longest gap {max(gaps):.3f} s"
    )

    assert overlaps(events, torturer.died) == []
    assert len({event["seq"] for event in entered}) > SECONDS / 10
    for one, following in pairwise(entered):
        same = one["pid"] == following["pid"]
        assert following["seq"] >= one["seq"] if same else following["seq"] > one["seq"]
    # None of them ended in a way of its own; SIGTERM may come before it is handled.
    assert set(codes) <= {0, -signal.SIGKILL, -signal.SIGTERM}, place.children[
        0
    ].text()[-3000:]
    assert "Traceback" not in place.children[0].text()
