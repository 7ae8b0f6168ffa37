"""Who a process is, whether it lives, and whether it may be asked to end."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.places import wait_for
from yourlabs.runner.ownership import process as processes
from yourlabs.runner.ownership.record import COMMAND, Identity

HOLDER = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(descriptor, getattr(fcntl, sys.argv[2]))
print(flush=True)
input()
"""

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="pidfds and /proc are Linux's"
)


class Holder:
    """A process that holds a lock on a file."""

    def __init__(self, path: Path, lock: str = "LOCK_EX") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path), lock],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()
        self.pid = self.process.pid

    def identity(self) -> Identity:
        """Return who it is."""
        me = processes.this_process(COMMAND)
        return replace(me, pid=self.pid, start=processes.start_ticks(self.pid))

    def end(self) -> None:
        """Kill it, and take its exit code."""
        self.process.kill()
        with self.process:
            pass


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a pidfile."""
    path = tmp_path / "chain.pid"
    path.touch()
    return path


@pytest.fixture
def holder(path: Path) -> Iterator[Holder]:
    """Return a process that holds the lock on the pidfile."""
    holder = Holder(path)
    yield holder
    holder.end()


def test_this_process() -> None:
    """The identity of the calling process holds for as long as it lives."""
    identity = processes.this_process(COMMAND)

    assert identity.pid == os.getpid()
    assert identity.start == processes.start_ticks(os.getpid())
    assert processes.is_here(identity)
    assert processes.this_process(COMMAND) == identity


def test_life(holder: Holder) -> None:
    """A process exists until its parent has taken its exit code; it ends before."""
    descriptor = processes.pidfd_of(holder.identity())
    assert descriptor is not None
    assert processes.exists(holder.pid)

    holder.process.kill()
    assert select.select([descriptor], [], [], 10)[0]
    os.close(descriptor)
    wait_for(lambda: processes.start_ticks(holder.pid) is None)
    assert processes.exists(holder.pid)
    holder.process.wait()
    assert not processes.exists(holder.pid)


def test_name_with_parentheses(tmp_path: Path) -> None:
    """The name of a program does not confuse the reader of /proc."""
    program = tmp_path / "a) 1 2 (b"
    program.symlink_to(sys.executable)
    before = processes.start_ticks(os.getpid())
    with subprocess.Popen(
        [program, "-c", "print(flush=True); input()"],
        executable=str(program),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        started = processes.start_ticks(process.pid)
        process.kill()

    assert before is not None
    assert started is not None
    assert before <= started <= before + time.monotonic() * 1000


def test_reused_pid(holder: Holder) -> None:
    """A process that has the pid and not the start time is another one."""
    identity = holder.identity()
    assert identity.start is not None

    other = replace(identity, start=identity.start - 1)
    assert processes.pidfd_of(other) is None
    assert processes.pidfd_of(replace(identity, start=None)) is None


def test_lock_of_a_process(holder: Holder, path: Path, tmp_path: Path) -> None:
    """The kernel says who holds the lock, and that it is exclusive."""
    probe = Holder(path.with_name("other.pid"), "LOCK_SH")
    try:
        assert processes.holds_lock(holder.pid, str(path))
        assert processes.holders(str(path)) == [holder.pid]
        assert not processes.holds_lock(os.getpid(), str(path))
        assert not processes.holds_lock(probe.pid, str(path.with_name("other.pid")))
        assert not processes.holds_lock(holder.pid, str(tmp_path / "none"))
        assert not processes.holds_lock(2**22 - 1, str(path))
    finally:
        probe.end()


def test_open_is_not_locked(path: Path) -> None:
    """To have the pidfile open is no proof of anything."""
    with path.open():
        assert not processes.holds_lock(os.getpid(), str(path))


def test_terminate(holder: Holder, path: Path) -> None:
    """The proven owner gets SIGTERM."""
    assert processes.terminate(holder.identity(), str(path)) is None
    assert holder.process.wait(10) == -signal.SIGTERM
    assert processes.terminate(replace(holder.identity(), start=1), str(path))


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"boot": "another"}, "before the last boot"),
        ({"pidns": 1}, "another pid namespace"),
        ({"pid": 1}, "pid 1 is never signalled"),
        ({"pid": os.getpid()}, "is never signalled"),
        ({"pid": os.getppid()}, "is never signalled"),
        ({"start": 1}, "has ended"),
        ({"pid": 2**22 - 1}, "has ended"),
    ],
)
def test_refusals(
    holder: Holder, path: Path, changes: dict[str, object], refusal: str
) -> None:
    """Whoever may not be the owner is not signalled."""
    identity = replace(holder.identity(), **changes)  # type: ignore[arg-type]

    answer = processes.terminate(identity, str(path))
    assert answer is not None
    assert refusal in answer
    assert holder.process.poll() is None


def test_innocent(path: Path, tmp_path: Path) -> None:
    """A process that does not hold the lock is not signalled, whatever is written."""
    innocent = Holder(tmp_path / "another.pid")
    try:
        answer = processes.terminate(innocent.identity(), str(path))
        assert answer == f"pid {innocent.pid} does not hold the lock"
        assert innocent.process.poll() is None
    finally:
        innocent.end()


def test_no_pidfds(holder: Holder, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no pidfds nobody is signalled."""
    monkeypatch.setattr(processes, "HAS_PIDFD", False)

    assert processes.terminate(holder.identity(), str(path)) == (
        "this system has no pidfds"
    )
    assert processes.pidfd_of(holder.identity()) is None


def test_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where /proc is another system's, a process is found by its pid."""
    monkeypatch.setattr(sys, "platform", "darwin")

    assert processes.exists(os.getpid())
    assert processes.exists(1)
    assert not processes.exists(2**22 - 1)
