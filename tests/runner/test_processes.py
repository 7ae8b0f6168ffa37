"""Who a process is, whether it lives, and who holds a lock."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.places import wait_for
from yourlabs.runner.ownership import process
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
        me = process.this_process(COMMAND)
        return replace(me, pid=self.pid, start=process.start_ticks(self.pid))

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
    identity = process.this_process(COMMAND)

    assert identity.pid == os.getpid()
    assert identity.start == process.start_ticks(os.getpid())
    assert process.is_here(identity)
    assert process.is_alive(identity)
    assert process.this_process(COMMAND) == identity


def test_life(holder: Holder) -> None:
    """A process exists until its parent has taken its exit code; it ends before."""
    identity = holder.identity()
    descriptor = process.pidfd_of(identity)
    assert descriptor is not None
    assert process.exists(holder.pid)
    assert process.is_alive(identity)

    holder.process.kill()
    assert select.select([descriptor], [], [], 10)[0]
    os.close(descriptor)
    wait_for(lambda: not process.is_alive(identity))
    assert process.exists(holder.pid)
    holder.process.wait()
    assert not process.exists(holder.pid)


def test_name_with_parentheses(tmp_path: Path) -> None:
    """The name of a program does not confuse the reader of /proc."""
    program = tmp_path / "a) 1 2 (b"
    program.symlink_to(sys.executable)
    before = process.start_ticks(os.getpid())
    with subprocess.Popen(
        [program, "-c", "print(flush=True); input()"],
        executable=str(program),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        started = process.start_ticks(other.pid)
        other.kill()

    assert before is not None
    assert started is not None
    assert before <= started <= before + time.monotonic() * 1000


def test_reused_pid(holder: Holder) -> None:
    """A process that has the pid and not the start time is another one."""
    identity = holder.identity()
    assert identity.start is not None

    for start in (identity.start - 1, None):
        other = replace(identity, start=start)
        assert process.pidfd_of(other) is None
        assert not process.is_alive(other)


@pytest.mark.parametrize("changes", [{"boot": "another"}, {"pidns": 1}])
def test_process_elsewhere(holder: Holder, changes: dict[str, object]) -> None:
    """Of a process of another boot or container nothing is known: it may live."""
    other = replace(holder.identity(), start=1, **changes)  # type: ignore[arg-type]

    assert not process.is_here(other)
    assert process.pidfd_of(other) is None
    assert process.is_alive(other)


def test_lock_of_a_process(holder: Holder, path: Path, tmp_path: Path) -> None:
    """The kernel says who holds the lock, and that it is exclusive."""
    probe = Holder(path.with_name("other.pid"), "LOCK_SH")
    try:
        assert process.holds_lock(holder.pid, str(path))
        assert process.holders(str(path)) == [holder.pid]
        assert not process.holds_lock(os.getpid(), str(path))
        assert not process.holds_lock(probe.pid, str(path.with_name("other.pid")))
        assert not process.holds_lock(holder.pid, str(tmp_path / "none"))
        assert not process.holds_lock(2**22 - 1, str(path))
    finally:
        probe.end()


def test_lock_of_a_process_of_another_user(
    holder: Holder, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its descriptors may not be seen, the kernel says who took the lock."""
    real = os.listdir

    def listdir(folder: str) -> list[str]:
        if folder.endswith("/fd"):
            raise PermissionError
        return real(folder)

    found = path.stat()
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    if f" {device}:{found.st_ino} " not in Path("/proc/locks").read_text():
        pytest.skip("this file system has other numbers in /proc/locks")
    monkeypatch.setattr(os, "listdir", listdir)

    assert process.holders(str(path)) == [holder.pid]
    assert process.holders(str(path.parent / "none")) == []


def test_open_is_not_locked(path: Path) -> None:
    """To have the pidfile open is no proof of anything."""
    with path.open():
        assert not process.holds_lock(os.getpid(), str(path))


def test_no_pidfds(holder: Holder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no pidfds, or they are refused, there is none."""

    def refuse(pid: int) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert process.pidfd_of(holder.identity()) is None
    monkeypatch.delattr(os, "pidfd_open")
    assert process.pidfd_of(holder.identity()) is None


def test_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no /proc, a process is found by its pid."""
    monkeypatch.setattr(sys, "platform", "darwin")

    assert process.exists(os.getpid())
    assert process.exists(1)
    assert not process.exists(2**22 - 1)
