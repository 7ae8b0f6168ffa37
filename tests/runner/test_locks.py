"""The lock that makes one process the owner of a chain, and the record beside it."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.places import wait_for
from yourlabs.runner import task
from yourlabs.runner.chain.task import make_chain
from yourlabs.runner.exceptions import TakeOverTimeout, UnusableRunRoot
from yourlabs.runner.ownership import files as lockfiles
from yourlabs.runner.ownership import pidfile as locks
from yourlabs.runner.ownership import takeover
from yourlabs.runner.ownership.base import LostOwnershipError
from yourlabs.runner.ownership.pidfile import PidfileLock
from yourlabs.runner.ownership.record import (
    COMMAND,
    READ_SIZE,
    RunMark,
    parse_record,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@task
def first() -> None:
    """Do nothing."""


@task
def second() -> None:
    """Do nothing."""


CHAIN = make_chain([first.runner_task, second.runner_task], name="chain")


@pytest.fixture
def make_lock(tmp_path: Path) -> Iterator[Callable[[], PidfileLock]]:
    """Return a function that makes locks of one chain, as several processes would."""
    made = []

    def make() -> PidfileLock:
        made.append(PidfileLock(tmp_path / "run", CHAIN, COMMAND))
        return made[-1]

    yield make
    for lock in made:
        lock.release()
        lock.withdraw()


Make = Callable[[], PidfileLock]


def test_changes_of_the_pidfile(
    make_lock: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who stands by sees that the pidfile was written to, replaced or removed."""
    now = int(time.time()) + 0.5
    clock = SimpleNamespace(time=lambda: now, monotonic=time.monotonic)
    monkeypatch.setattr(locks, "time", clock)

    def written(path: Path, *, before: float) -> None:
        os.utime(path, (now - before, now - before))

    owner, other = make_lock(), make_lock()
    path = Path(owner.path)
    assert other.has_changed()
    assert owner.acquire()
    # Written to just now: it may be again, and show the same time.
    written(path, before=0.05)
    assert other.has_changed()
    assert other.has_changed()
    written(path, before=60)
    assert other.has_changed()
    assert not other.has_changed()
    assert not other.has_changed()

    owner.begin(0)
    assert other.has_changed()
    written(path, before=60)
    assert other.has_changed()
    assert not other.has_changed()

    replacement = tmp_path / "replacement"
    replacement.write_bytes(path.read_bytes())
    written(replacement, before=60)
    replacement.replace(path)
    assert other.has_changed()
    assert not other.has_changed()

    # Of a file system that counts in seconds, maybe.
    written(path, before=1.5)
    assert other.has_changed()
    assert other.has_changed()
    written(path, before=2.5)
    assert other.has_changed()
    assert not other.has_changed()

    path.unlink()
    assert other.has_changed()
    assert other.has_changed()


# Owning.


def test_one_owner(make_lock: Make) -> None:
    """One lock is held at a time, also within one process."""
    one, other = make_lock(), make_lock()

    assert one.acquire()
    assert one.acquire()
    assert not other.acquire()
    assert one.is_held()
    assert not other.is_held()
    one.release()
    assert not one.is_held()
    assert other.acquire()


def test_record(make_lock: Make) -> None:
    """The record tells who owns the chain and what it runs."""
    lock = make_lock()
    lock.acquire()
    record = make_lock().owner()

    assert record is not None
    assert record.owner.pid == os.getpid()
    assert record.owner.kind == COMMAND
    assert record.functions == CHAIN.paths
    assert abs(record.since - time.time()) < 5
    assert not record.released
    assert record.run is None
    assert Path(lock.path).read_text().startswith(f"{os.getpid()}\n{{")


def test_run_in_the_record(make_lock: Make) -> None:
    """The record tells which task is being run, and that none is."""
    lock, reader = make_lock(), make_lock()
    lock.acquire()
    lock.begin(1)
    record = reader.owner()

    assert record is not None
    assert record.run is not None
    assert record.run.task == CHAIN.paths[1]
    assert abs(record.run.since - time.time()) < 5
    lock.end()
    record = reader.owner()
    assert record is not None
    assert record.run is None


def test_released(make_lock: Make) -> None:
    """An owner that lets go says so; the file stays, and its inode."""
    lock, heir = make_lock(), make_lock()
    lock.acquire()
    inode = os.stat(lock.path).st_ino
    lock.begin(0)
    lock.release()
    record = heir.owner()

    assert record is not None
    assert record.released
    assert heir.acquire()
    assert heir.interrupted is None
    assert os.stat(lock.path).st_ino == inode


def test_mode(make_lock: Make) -> None:
    """The files are for their user alone, in a directory that is made."""
    lock = make_lock()
    lock.request()
    lock.acquire()

    assert stat.S_IMODE(os.stat(lock.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(lock.request_path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(lock.path)).st_mode) == 0o750


def test_owner_that_was_cut(make_lock: Make) -> None:
    """The next one knows whether the one before let go in good order."""
    first, second, third = make_lock(), make_lock(), make_lock()
    assert first.acquire()
    assert not first.was_cut
    first.release()
    assert second.acquire()
    assert not second.was_cut
    second.forget()

    assert third.acquire()
    assert third.was_cut
    third.release()


def test_mode_of_an_old_file(make_lock: Make) -> None:
    """Nobody else can open it to keep its lock, whoever made it."""
    lock = make_lock()
    Path(lock.path).parent.mkdir()
    Path(lock.path).touch()
    os.chmod(lock.path, 0o666)

    assert lock.acquire()

    assert stat.S_IMODE(os.stat(lock.path).st_mode) == 0o600
    lock.release()


def test_interruption_that_is_not_booked(make_lock: Make) -> None:
    """An owner that lets go before it has booked a run leaves that to the next one."""
    locks_of_chain = [make_lock() for _ in range(3)]
    child = os.fork()
    if child == 0:  # pragma: no cover - leaves by _exit
        locks_of_chain[0].acquire()
        locks_of_chain[0].begin(0)
        os._exit(0)
    os.waitpid(child, 0)
    for lock in locks_of_chain[1:]:
        for _ in range(2):
            assert lock.acquire()
            assert lock.interrupted is not None
            assert lock.interrupted.run is not None
            assert lock.interrupted.run.task == lock.chain.paths[0]
            lock.release()
            record = lock.owner()
            assert record is not None
            assert record.released

    assert lock.acquire()
    lock.interrupted = None
    lock.release()
    assert locks_of_chain[0].acquire()
    assert locks_of_chain[0].interrupted is None


def test_fencing_number(make_lock: Make) -> None:
    """The number in the record rises with each owner."""
    numbers = []
    for _ in range(5):
        lock = make_lock()
        lock.acquire()
        record = lock.owner()
        assert record is not None
        numbers.append(record.seq)
        lock.release()

    assert numbers == [1, 2, 3, 4, 5]


def test_interrupted(make_lock: Make) -> None:
    """An owner that is gone in the middle of a run leaves it to the next one."""
    lock, heir = make_lock(), make_lock()
    child = os.fork()
    if child == 0:  # pragma: no cover - leaves by _exit
        lock.acquire()
        lock.begin(1)
        os._exit(0)
    os.waitpid(child, 0)

    assert heir.acquire()
    assert heir.interrupted is not None
    assert heir.interrupted.run is not None
    assert heir.interrupted.run.task == CHAIN.paths[1]


# Files that are not what they should be.


def record_with(**values: object) -> bytes:
    """Return the record of an owner of this machine with some `values` changed."""
    record = {
        "version": 1,
        "pid": 1,
        "start": 1,
        "boot": "",
        "pidns": 0,
        "host": "",
        "kind": COMMAND,
        "seq": 1,
        "since": 0.0,
        "functions": list(CHAIN.paths),
        "released": False,
        "run": None,
        **values,
    }
    return f"{record['pid']}\n{json.dumps(record)}\n".encode()


RUN = {"task": CHAIN.paths[0], "since": 0.0}
LIES = {
    "empty": b"",
    "minus one": b"-1",
    "zero": b"0",
    "one": b"1\n",
    "self": b"self\n",
    "huge": b"9" * 5000,
    "binary": bytes(range(256)) * 9,
    "a megabyte": b"13698\n" + b"x" * 2**20,
    "half a record": record_with()[:100],
    "two megabytes of brackets": b"1\n" + b"[" * 2**21,
    "no numbers": record_with(pid=True, seq=1.5),
    "a run that is none": record_with(run=0),
    "a run before all time": record_with(run={**RUN, "since": -1e300}),
    "a run after all time": record_with(run={**RUN, "since": 1e300}),
    "a run at no time": record_with(run={**RUN, "since": float("nan")}),
    "the highest number": record_with(seq=2**63),
    "functions that are none": record_with(functions=[1, None]),
}


@pytest.mark.parametrize("content", LIES.values(), ids=LIES.keys())
def test_lies(make_lock: Make, content: bytes) -> None:
    """Whatever stands in the file, the lock is taken and a sane record written."""
    lock, reader = make_lock(), make_lock()
    path = Path(lock.path)
    path.parent.mkdir()
    path.write_bytes(content)
    inode = path.stat().st_ino

    assert lock.acquire()
    record = reader.owner()
    assert record is not None
    assert record.owner.pid == os.getpid()
    assert path.stat().st_ino == inode
    assert path.read_bytes().strip().count(b"\n") == 1
    if lock.interrupted is not None:
        assert lock.interrupted.run is not None
        assert 0 <= lock.interrupted.run.since < 1e11


def symlink(path: Path) -> None:
    """Point to a file elsewhere."""
    target = path.parent / "target"
    target.touch()
    path.symlink_to(target)


def hard_link(path: Path) -> None:
    """Be the second name of a file."""
    target = path.parent / "target"
    target.touch()
    path.hardlink_to(target)


def foreign(path: Path) -> None:
    """Belong to another user."""
    path.touch()
    os.chown(path, 12345, 12345)


THINGS = {
    "symlink": (symlink, "is a symbolic link"),
    "FIFO": (os.mkfifo, "is not a plain file"),
    "directory": (Path.mkdir, "Is a directory"),
    "hard link": (hard_link, "has more than one name"),
    "foreign": (foreign, "belongs to uid 12345"),
}


@pytest.mark.parametrize("suffix", ["pid", "takeover"])
@pytest.mark.parametrize("kind", THINGS)
def test_refused(make_lock: Make, kind: str, suffix: str) -> None:
    """What is no plain file of ours is refused with an error that names it."""
    if kind == "foreign" and os.geteuid():
        pytest.skip("needs root")
    make, problem = THINGS[kind]
    lock = make_lock()
    path = Path(lock.path).with_suffix(f".{suffix}")
    path.parent.mkdir()
    make(path)

    with pytest.raises(UnusableRunRoot, match=problem) as caught:
        (lock.acquire if suffix == "pid" else lock.request)()
    assert str(path) in str(caught.value)
    assert "remove it" in str(caught.value)
    if suffix == "pid":
        assert lock.owner() is None
    else:
        # Nobody can ask by it, so nobody is kept from owning either.
        assert not lock.is_wanted()
        assert lock.acquire()


# A pidfile that changes while it is held.


@pytest.mark.parametrize("suffix", [".pid", ".takeover"])
def test_replaced_between_open_and_lock(
    make_lock: Make, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """A lock on a file that has lost its name is not taken for the lock."""
    lock = make_lock()
    real, opened = lockfiles.open_safely, []

    def open_and_remove(path: str) -> int:
        descriptor = real(path)
        opened.append(path)
        if len(opened) == 1:
            os.unlink(path)
        return descriptor

    monkeypatch.setattr(lockfiles, "open_safely", open_and_remove)

    assert lock.acquire() if suffix == ".pid" else lock.request()
    assert len(opened) == 2
    assert os.path.exists(opened[0])


def test_removed(make_lock: Make) -> None:
    """An owner whose file was removed finds out, and can own the new one."""
    lock, other = make_lock(), make_lock()
    lock.acquire()
    os.unlink(lock.path)

    assert not lock.is_held()
    assert lock.acquire()
    assert lock.is_held()
    assert not other.acquire()


def test_replaced(make_lock: Make) -> None:
    """An owner whose file was replaced finds out, and another one owns the new one."""
    lock, other = make_lock(), make_lock()
    lock.acquire()
    os.rename(lock.path, f"{lock.path}.old")

    assert other.acquire()
    assert not lock.is_held()
    assert not lock.acquire()
    assert other.is_held()


def test_directory_removed(make_lock: Make) -> None:
    """A directory that was removed with all in it is made anew."""
    lock = make_lock()
    lock.acquire()
    lock.request()
    for path in (lock.path, lock.request_path):
        os.unlink(path)
    os.rmdir(os.path.dirname(lock.path))

    assert not lock.is_held()
    assert not lock.is_wanted()
    lock.release()
    assert lock.acquire()
    assert lock.is_held()


def test_closed_behind_the_back(
    make_lock: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An owner whose descriptor was closed by somebody else finds out in a second."""
    monkeypatch.setattr(locks, "PROOF_AGE", 0)
    lock, other = make_lock(), make_lock()
    lock.acquire()
    descriptor = lock._descriptor
    assert descriptor is not None
    os.close(descriptor)
    foreign = os.open(os.devnull, os.O_RDWR)

    try:
        assert foreign == descriptor
        assert not lock.is_held()
        assert other.acquire()
        lock.release()
        os.fstat(foreign)
    finally:
        os.close(foreign)


@pytest.mark.parametrize("crowd", [1, locks.syscalls.CROWD])
def test_marks_in_nobody_elses_file(
    crowd: int, make_lock: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A descriptor that somebody closed, and uses again, is not written to."""
    monkeypatch.setattr(locks.syscalls, "CROWD", crowd)
    lock, other = make_lock(), make_lock()
    lock.acquire()
    descriptor = lock._descriptor
    assert descriptor is not None
    os.close(descriptor)
    foreign = os.memfd_create("foreign")

    try:
        assert foreign == descriptor
        assert other.acquire()
        # As after a run that took a while.
        lock._proven_at -= locks.PROOF_AGE
        lock.end()
        with pytest.raises(LostOwnershipError):
            lock.begin(0)
        assert os.fstat(foreign).st_size == 0
        # Asked again and again, the answer stays the same.
        assert not lock.is_held()
        assert not lock.is_held()
    finally:
        lock.release()
        os.close(foreign)


# Marks in memory.


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have one chain be a crowd."""
    monkeypatch.setattr(locks.syscalls, "CROWD", 1)
    monkeypatch.setattr(locks.syscalls, "SLOW", float("inf"))
    monkeypatch.setattr(locks.syscalls, "_careful_until", 0.0)
    monkeypatch.setattr(locks.syscalls, "IN_PLACE", EVERYWHERE)


EVERYWHERE = range(1, 2**32)
"""All kinds of file systems: the tests may run on any."""


def run_often(lock: PidfileLock) -> None:
    """Have it own the chain, and begin two runs within a second."""
    assert lock.acquire()
    for index in (0, 1):
        lock.begin(index)
        lock.end()
    assert lock._page is not None


def run_of(lock: PidfileLock) -> RunMark | None:
    """Return the run that the record of its chain tells of."""
    record = lock.owner()
    assert record is not None
    return record.run


@pytest.mark.usefixtures("crowd")
def test_marks_in_memory(make_lock: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs often in a crowd marks its runs without a call, for all to see."""
    lock, other = make_lock(), make_lock()
    run_often(lock)
    monkeypatch.setattr(locks.syscalls, "pwrite", None)

    for index, name in ((1, "second"), (0, "first")):
        lock.begin(index)
        run = run_of(other)
        assert run is not None
        assert (run.task, run.index) == (f"{__name__}.{name}", index)
        assert time.time() - run.since < 1
        lock.end()
        assert run_of(other) is None
    lock.release()
    record = other.owner()
    assert record is not None
    assert record.released
    assert other.acquire()
    assert other.interrupted is None
    assert not other.was_cut


@pytest.mark.usefixtures("crowd")
def test_what_is_not_worth_it(make_lock: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What seldom runs takes no memory for it, nor what runs without a pause."""
    lock = make_lock()
    assert lock.acquire()
    for _ in range(3):
        lock._marked_at -= locks.MARK_AGE
        lock.begin(0)
        lock.begin(0)
        lock.end()
    assert lock._page is None

    monkeypatch.setattr(locks.syscalls, "CROWD", 2)
    lock.begin(0)
    assert lock._page is None


@pytest.mark.usefixtures("crowd")
def test_no_mapping(make_lock: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file cannot be mapped that is tried once, and the marks are written."""
    lock, other = make_lock(), make_lock()
    assert lock.acquire()
    with monkeypatch.context() as patch:
        patch.setattr(locks.syscalls, "IN_PLACE", set())
        for index in (0, 1):
            lock.begin(index)
    lock.begin(0)

    assert lock._page is None
    run = run_of(other)
    assert run is not None
    assert run.index == 0


@pytest.mark.usefixtures("crowd")
def test_mapping_waits_for_nobody(make_lock: Make) -> None:
    """While others open or close files it goes on without, and maps it later."""
    lock = make_lock()
    assert lock.acquire()
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with locks._changing:
            held.set()
            free.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)
    for index in (0, 1, 0):
        lock.begin(index)
    assert lock._page is None
    free.set()
    thread.join(30)
    lock.begin(1)
    assert lock._page is not None


@pytest.mark.usefixtures("crowd")
def test_slow_disk_in_a_crowd(make_lock: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a store that took long the marks are written as usual, and seen alike."""
    lock, other = make_lock(), make_lock()
    run_often(lock)
    monkeypatch.setattr(locks.syscalls, "_careful_until", time.monotonic() + 60)
    lock.begin(1)

    run = run_of(other)
    assert run is not None
    assert run.index == 1


@pytest.mark.usefixtures("crowd")
def test_mapping_keeps_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where somebody closed the descriptor, the chain is owned until it lets go."""
    # On overlayfs it does not.
    root = tempfile.TemporaryDirectory(dir="/dev/shm")
    lock, other = (PidfileLock(Path(root.name), CHAIN, COMMAND) for _ in range(2))
    run_often(lock)
    descriptor = lock._descriptor
    assert descriptor is not None
    os.close(descriptor)
    foreign = os.memfd_create("foreign")
    try:
        assert foreign == descriptor
        assert not other.acquire()
        lock.begin(0)
        lock.end()
        lock._proven_at -= locks.PROOF_AGE
        assert lock.is_held()
        # A slow disk is no reason to write to what is somebody else's.
        monkeypatch.setattr(locks.syscalls, "_careful_until", time.monotonic() + 60)
        lock.begin(0)
        lock.end()
        lock.release()
        assert not lock.is_held()
        assert os.fstat(foreign).st_size == 0
        assert other.acquire()
        assert other.interrupted is None
        assert not other.was_cut
    finally:
        os.close(foreign)
        other.release()
        root.cleanup()


@pytest.mark.usefixtures("crowd")
def test_let_go_by_another_thread(make_lock: Make) -> None:
    """A mark that comes too late is that of an owner that has lost the chain."""
    lock, other = make_lock(), make_lock()
    run_often(lock)
    page = lock._page
    lock.release()
    assert other.acquire()
    # As its thread saw it the moment before; the descriptor is somebody else's by now.
    lock._page, lock._descriptor = page, os.memfd_create("foreign")
    lock._proven_at -= locks.PROOF_AGE
    try:
        lock.end()
        with pytest.raises(LostOwnershipError):
            lock.begin(0)
    finally:
        os.close(lock._descriptor)
        lock._page = lock._descriptor = None
    record = other.owner()
    assert record is not None
    assert record.run is None
    assert not record.released


@pytest.mark.usefixtures("crowd")
def test_mapping_in_a_forked_child(make_lock: Make) -> None:
    """A child that lives on keeps the lock from nobody, and can own it in its turn."""
    lock, other = make_lock(), make_lock()
    run_often(lock)
    reading, writing = os.pipe()
    ready, is_ready = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - leaves by _exit
        os.close(writing)
        lock.begin(0)
        lock.end()
        os.write(is_ready, b"x")
        os.read(reading, 1)
        held = lock.acquire()
        run_often(lock)
        lock.release()
        os._exit(not held)
    os.read(ready, 1)
    for descriptor in (reading, ready, is_ready):
        os.close(descriptor)
    assert run_of(other) is None
    lock.release()
    assert other.acquire()
    other.release()
    os.close(writing)
    assert os.waitpid(child, 0)[1] == 0


KILLED = """
import os, sys
from pathlib import Path
from tests.runner import test_locks
from yourlabs.runner.ownership import pidfile as locks

locks.syscalls.CROWD = 1
locks.syscalls.IN_PLACE = test_locks.EVERYWHERE
lock = locks.PidfileLock(Path(sys.argv[1]), test_locks.CHAIN)
test_locks.run_often(lock)
lock.begin(int(sys.argv[2]))
if len(sys.argv) > 3:
    lock.end()
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("index", [0, 1])
def test_killed_in_a_crowd(index: int, make_lock: Make) -> None:
    """Marks in memory outlive their process: a run that was cut is known, no other."""
    lock = make_lock()
    root = os.path.dirname(lock.path)
    command = [sys.executable, "-c", KILLED, root, str(index)]
    assert subprocess.run(command, timeout=60).returncode == -signal.SIGKILL
    assert lock.acquire()
    assert lock.was_cut
    assert lock.interrupted is not None
    assert lock.interrupted.run is not None
    assert lock.interrupted.run.index == index
    lock.interrupted = None
    lock.release()

    assert subprocess.run([*command, "end"], timeout=60).returncode == -signal.SIGKILL
    assert lock.acquire()
    assert lock.was_cut
    assert lock.interrupted is None


# A system that refuses.


def test_mark_that_cannot_be_written(
    make_lock: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose end could not be written was not interrupted: its process lives."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    lock = make_lock()
    lock.acquire()
    lock.begin(0)
    with monkeypatch.context() as patch:
        patch.setattr(locks.syscalls, "pwrite", full)
        patch.setattr(os, "pwrite", full)
        lock.end()
        lock.release()
        with pytest.raises(UnusableRunRoot):
            lock.acquire()
    content = Path(lock.path).read_bytes()

    for one in (lock, make_lock()):
        Path(one.path).write_bytes(content)
        assert one.acquire()
        assert one.interrupted is None
        one.release()

    # To another process it is one, and to another program in this one.
    Path(lock.path).write_bytes(content)
    child = os.fork()
    if child == 0:  # pragma: no cover - leaves by _exit
        os._exit(not (lock.acquire() and lock.interrupted is not None))
    assert os.waitpid(child, 0)[1] == 0
    Path(lock.path).write_bytes(content)
    monkeypatch.setattr(locks, "_loaded_at", time.time())
    assert lock.acquire()
    assert lock.interrupted is not None


def test_full_disk(make_lock: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that cannot be written is an error that names the file."""
    lock = make_lock()

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(UnusableRunRoot, match="No space left") as caught:
        lock.acquire()
    assert lock.path in str(caught.value)
    monkeypatch.undo()
    assert lock.acquire()


@needs_root
def test_full_file_system(tmp_path: Path) -> None:
    """On a full file system an owner goes on, and a new one says what is wrong."""
    mount = tmp_path / "full"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("cannot mount")
    try:
        old = PidfileLock(mount, CHAIN)
        other = make_chain([first.runner_task])
        new = PidfileLock(mount, other)
        assert old.acquire()
        with pytest.raises(OSError, match="No space"):
            (mount / "filler").write_bytes(b"x" * 2**20)
        with pytest.raises(UnusableRunRoot, match="No space left"):
            new.acquire()
        old.begin(0)
        old.end()
        old.release()
        assert old.acquire()
        (mount / "filler").unlink()
        assert new.acquire()
        old.release()
        new.release()
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def test_no_descriptors(make_lock: Make) -> None:
    """Without descriptors there is an error, and the owner stays the owner."""
    owner, other = make_lock(), make_lock()
    owner.acquire()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/proc/self/fd"))
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(used)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, limits[1]))
    try:
        assert owner.is_held()
        assert other.owner() is None
        assert not owner.is_wanted()
        with pytest.raises(UnusableRunRoot, match="Too many open files") as caught:
            other.acquire()
        assert "remove it" not in str(caught.value)
        owner.begin(0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in taken:
            os.close(descriptor)
    assert not other.acquire()


# Wanting.


def test_wanted(make_lock: Make) -> None:
    """A candidate is seen by the owner for as long as it asks, and goes first."""
    owner, candidate, third = make_lock(), make_lock(), make_lock()
    owner.acquire()

    assert not owner.is_wanted()
    assert candidate.request()
    assert candidate.request()
    assert not third.request()
    assert owner.is_wanted()
    owner.release()
    assert not third.acquire()
    assert candidate.acquire()
    candidate.withdraw()
    assert not owner.is_wanted()
    assert third.request()


def test_signed(make_lock: Make) -> None:
    """The owner, and nobody else, knows who has announced a signal to it."""
    owner, candidate = make_lock(), make_lock()
    owner.acquire()
    candidate.request()
    assert owner.signed() == b""

    candidate.sign(candidate.owner())
    assert f" {os.getpid()} ".encode() in owner.signed()
    assert candidate.signed() == b""
    candidate.sign(None)
    assert owner.signed() == b""
    candidate.sign(candidate.owner())
    owner.release()
    assert candidate.acquire()
    assert candidate.signed() == b""


def test_signed_again(make_lock: Make) -> None:
    """A candidate that asks a second time announces another signal."""
    owner, candidate = make_lock(), make_lock()
    owner.acquire()
    announced = []
    for _ in range(2):
        candidate.request()
        assert candidate.sign(candidate.owner())
        announced.append(owner.signed())
        candidate.withdraw()

    assert len(set(announced)) == 2


def test_not_signed(make_lock: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be written no signal is announced, and none is to be sent."""
    owner, candidate = make_lock(), make_lock()
    owner.acquire()
    assert not candidate.sign(candidate.owner()), "it has not asked"
    candidate.request()

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    sent: list[Any] = []
    monkeypatch.setattr(os, "pwrite", full)
    monkeypatch.setattr(takeover.processes, "terminate", lambda *to: sent.append(to))

    assert not candidate.sign(candidate.owner())
    with pytest.raises(TakeOverTimeout):
        takeover.take_over(
            candidate, timeout=timedelta(seconds=0.1), pause=lambda _: False
        )
    assert sent == []


def test_owner_that_lets_go_at_the_last_moment(
    make_lock: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has no more time to wait takes what is free by then."""
    owner, candidate = make_lock(), make_lock()
    owner.acquire()
    usual = PidfileLock.withdraw

    def withdraw(lock: PidfileLock) -> None:
        usual(lock)
        owner.release()

    candidate.request()
    monkeypatch.setattr(PidfileLock, "withdraw", withdraw)

    assert takeover.take_over(candidate, timeout=timedelta(), pause=lambda _: False)
    assert candidate.is_held()


def test_without_standard_streams(make_lock: Make) -> None:
    """What is printed where there is nothing to print to is not written over it."""
    lock = make_lock()
    child = os.fork()
    if child == 0:  # pragma: no cover - in a child
        os.closerange(0, 3)
        taken = lock.acquire() and lock.request()
        lowest = min(lock._descriptor or 0, lock._request or 0)
        os._exit(0 if taken and lowest > 2 else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_file_system_without_locks(
    make_lock: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named, with what to do."""

    def flock(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lockfiles.fcntl, "flock", flock)

    with pytest.raises(UnusableRunRoot, match=r"No locks available.*set RUN_ROOT"):
        make_lock().acquire()


def test_removed_request(make_lock: Make) -> None:
    """A candidate whose file was removed asks anew."""
    owner, candidate = make_lock(), make_lock()
    owner.acquire()
    candidate.request()
    os.unlink(candidate.request_path)

    assert not owner.is_wanted()
    assert candidate.request()
    assert owner.is_wanted()


def test_probes_do_not_disturb(make_lock: Make) -> None:
    """However many look whether they are wanted, a candidate gets its turn."""
    probes = [make_lock() for _ in range(3)]
    candidate = make_lock()
    candidate.request()
    candidate.withdraw()
    done = threading.Event()

    def probe(lock: PidfileLock) -> None:
        while not done.is_set():
            lock.is_wanted()
            time.sleep(0.0005)

    threads = [threading.Thread(target=probe, args=[lock]) for lock in probes]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            wait_for(candidate.request, 5)
            candidate.withdraw()
    finally:
        done.set()
        for thread in threads:
            thread.join()


# Forks.


def test_forked_child(make_lock: Make) -> None:
    """A forked child holds nothing, and drops nothing of its parent's."""
    lock, other = make_lock(), make_lock()
    lock.acquire()
    lock.request()
    child = os.fork()
    if not child:
        held = lock.is_held() or other.acquire() or other.request()
        lock.release()
        lock.withdraw()
        os._exit(int(held))
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert lock.is_held()
    assert not other.acquire()
    assert not other.request()


def test_fork_at_any_moment(make_lock: Make) -> None:
    """A child that is forked while a lock is being taken holds nothing of it."""
    lock, other = make_lock(), make_lock()
    done = threading.Event()

    def own_and_let_go() -> None:
        while not done.is_set():
            # A child that is being born closes its copies a moment later.
            wait_for(lock.acquire)
            lock.release()
            wait_for(lock.request)
            lock.withdraw()
            other.is_wanted()

    thread = threading.Thread(target=own_and_let_go)
    thread.start()
    children = []
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(100):
            child = os.fork()
            if not child:
                time.sleep(60)
                os._exit(0)
            children.append(child)
        done.set()
        thread.join()

        wait_for(other.acquire, 5)
        wait_for(other.request, 5)
        assert lock.is_wanted()
    finally:
        sys.setswitchinterval(interval)
        done.set()
        thread.join()
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_programs_inherit_nothing(make_lock: Make) -> None:
    """A program that a task starts keeps no lock, even if all else is kept open."""
    lock, other = make_lock(), make_lock()
    lock.acquire()
    lock.request()
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        close_fds=False,
    ) as program:
        assert program.stdout is not None
        program.stdout.readline()
        lock.forget()

        assert other.acquire()
        assert other.request()


def test_long_record(tmp_path: Path) -> None:
    """A chain of very many functions has a record that can be read."""
    chain = make_chain([first.runner_task] * 2000, name="long")
    lock = PidfileLock(tmp_path, chain)
    lock.acquire()
    record = lock.owner()
    lock.release()

    assert record is None or record.functions == chain.paths
    assert READ_SIZE >= 65_536
    assert parse_record(b"") is None
