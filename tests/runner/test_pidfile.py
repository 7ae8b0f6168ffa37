"""Ownership by files: what the kernel, other users and other programs do to them."""

from __future__ import annotations

import errno
import json
import os
import resource
import select
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.places import wait_for
from tests.runner.fakes import log
from tests.runner.test_ownership import CHAIN, acquired
from yourlabs.runner.chain.task import Chain, Task, make_chain
from yourlabs.runner.exceptions import TakeOverTimeout, UnusableRunRoot
from yourlabs.runner.ownership import files, process
from yourlabs.runner.ownership.pidfile import SILENCE_S, PidfileOwnership
from yourlabs.runner.ownership.record import BLOCK, COMMAND, RunMark, parse_record
from yourlabs.runner.ownership.takeover import take_over
from yourlabs.runner.storage.file import FileBackend
from yourlabs.runner.testing import FakeClock

PATH = CHAIN.paths[0]
STRANGER = 12_345
"""The uid of another user."""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the RUN_ROOT."""
    return tmp_path / "run"


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that only the test moves."""
    return FakeClock(time.time())


@pytest.fixture
def strangers() -> Iterator[Path]:
    """Return a RUN_ROOT of another user, who can get there."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        root = Path(folder) / "run"
        root.mkdir(0o700)
        os.chown(root, STRANGER, STRANGER)
        yield root


Make = Callable[[], PidfileOwnership]


@pytest.fixture
def make(root: Path, clock: FakeClock) -> Make:
    """Return a function that makes what one more process would have of the chain."""
    return lambda: PidfileOwnership(root, CHAIN, COMMAND, clock=clock)


@contextmanager
def child(do: Callable[[], Any]) -> Iterator[int]:
    """Run `do` in a forked child, which lives on for as long as the block lasts."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:  # pragma: no cover - leaves by _exit
        try:
            do()
            os.write(writing, b".")
            time.sleep(600)
        finally:
            os._exit(1)
    os.close(writing)
    try:
        assert os.read(reading, 1) == b".", "the child failed"
        yield pid
    finally:
        os.close(reading)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def killed(do: Callable[[], Any]) -> None:
    """Run `do` in a child that is killed after it."""
    with child(do):
        pass


def result_of(do: Callable[[], bool]) -> bool:
    """Return what `do` returns in a forked child."""
    pid = os.fork()
    if pid == 0:  # pragma: no cover - leaves by _exit
        code = 2
        try:
            code = 0 if do() else 1
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, 1)
    return code == 0


def as_user(uid: int, do: Callable[[], Any]) -> Callable[[], Any]:
    """Return `do` as another user does it, to be called in a child."""

    def changed() -> Any:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        return do()

    return changed


# The record.


def test_record(make: Make) -> None:
    """The file has the pid on its first line and the record on the second."""
    claim = acquired(make())
    lines = Path(make().path).read_text().split("\n")

    assert lines[0] == str(os.getpid())
    record = json.loads(lines[1])
    assert record["pid"] == os.getpid()
    assert record["start"] == process.start_ticks(os.getpid())
    assert record["kind"] == COMMAND
    assert record["functions"] == list(CHAIN.paths)
    assert len(lines) == 3
    claim.release()


def test_mode(make: Make, root: Path) -> None:
    """The files are for their user alone, in a directory that is made."""
    ownership = make()
    with ownership.request():
        acquired(ownership)

    for path in (ownership.path, ownership._takeover.path):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(root.stat().st_mode) == 0o750


def test_mode_of_an_old_file(make: Make, root: Path) -> None:
    """A file of ours with a wider mode is narrowed: who opens it can keep its lock."""
    root.mkdir(0o750)
    ownership = make()
    Path(ownership.path).touch()
    os.chmod(ownership.path, 0o666)

    acquired(ownership)

    assert stat.S_IMODE(os.stat(ownership.path).st_mode) == 0o600


def test_file_stays(make: Make) -> None:
    """The pidfile is never deleted, replaced or truncated."""
    claim = acquired(make())
    before = os.stat(make().path)
    claim.mark(RunMark(PATH, time.time()))
    claim.release()
    acquired(make()).release()

    after = os.stat(make().path)
    assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size)


def test_truncated_pidfile(make: Make) -> None:
    """Whoever empties the pidfile kills nothing; the next mark makes it whole."""
    ownership = make()
    claim = acquired(ownership)
    os.truncate(ownership.path, 0)

    assert claim.check()
    assert ownership.owner() is None
    claim.mark(RunMark(PATH, time.time()))
    record = ownership.owner()
    assert record is not None
    assert record.run is not None
    assert make().acquire() is None
    claim.release()


def test_bounded_record(root: Path) -> None:
    """The record of a chain of very many long names is one block, and can be read."""
    names = [f"{'package.' * 40}module_{n}.function" for n in range(600)]
    names[7] = "x" * 5_000
    tasks = tuple(Task(print, name, "function") for name in names)
    ownership = PidfileOwnership(root, Chain("long", tasks))
    killed(lambda: acquired(ownership).mark(RunMark(names[7], time.time(), 7)))

    assert os.stat(ownership.path).st_size == BLOCK
    claim = acquired(ownership)
    assert claim.interrupted is not None
    assert claim.interrupted.run is not None
    assert claim.interrupted.run.task == names[7]


@pytest.mark.parametrize("again", [False, True], ids=["once", "again"])
def test_short_write(make: Make, monkeypatch: pytest.MonkeyPatch, again: bool) -> None:
    """A disk that takes a part of the record is an error, and nobody owns the chain."""
    ownership = make()
    if again:
        acquired(ownership).release()
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:100], at))
    with pytest.raises(UnusableRunRoot, match="No space left"):
        ownership.acquire()
    monkeypatch.undo()

    acquired(ownership)


def test_token_of_a_lost_pidfile(root: Path) -> None:
    """The token never falls, whatever becomes of the pidfile."""
    backend = FileBackend(root)
    for expected in (1, 2, 3):
        ownership = backend.ownership(CHAIN, kind=COMMAND)
        claim = acquired(ownership)
        assert claim.token == expected
        backend.store(CHAIN).save(claim, {"any": 1})
        claim.release()
        if expected == 1:
            os.truncate(ownership.path, 0)
        else:
            os.unlink(ownership.path)


# The owner before.


def test_killed_inside_a_run(make: Make) -> None:
    """An owner that is killed inside a run leaves it to the next one."""
    killed(lambda: acquired(make()).mark(RunMark(CHAIN.paths[1], time.time(), 1)))

    claim = acquired(make())
    assert claim.was_cut
    assert claim.interrupted is not None
    assert claim.interrupted.run is not None
    assert claim.interrupted.run.task == CHAIN.paths[1]
    assert claim.interrupted.run.position == 1
    assert claim.token == 2


def test_killed_between_runs(make: Make) -> None:
    """An owner that is killed between two runs has interrupted none."""

    def run_one() -> None:
        claim = acquired(make())
        claim.mark(RunMark(PATH, time.time()))
        claim.mark(None)

    killed(run_one)
    claim = acquired(make())
    assert (claim.was_cut, claim.interrupted) == (True, None)


def test_interruption_that_is_not_booked(make: Make) -> None:
    """An owner that ends before it has booked a run leaves that to the next one."""
    killed(lambda: acquired(make()).mark(RunMark(PATH, time.time())))

    for end in ("killed", "released"):
        if end == "killed":
            killed(lambda: acquired(make()))
        else:
            acquired(make()).release()
        claim = acquired(make())
        assert claim.interrupted is not None, end
        claim.release()
    claim = acquired(make())
    claim.mark(None)
    claim.release()
    assert acquired(make()).interrupted is None


def test_run_of_a_function_that_is_gone(root: Path) -> None:
    """A run of a function that the chain has no longer interrupts nothing."""
    killed(
        lambda: acquired(PidfileOwnership(root, CHAIN)).mark(RunMark("gone.by", 1.0))
    )

    claim = acquired(PidfileOwnership(root, CHAIN))
    assert (claim.was_cut, claim.interrupted) == (True, None)


def test_lock_that_is_lost_in_a_run(make: Make) -> None:
    """A lock that is lost inside a run interrupts nothing: its process lives."""
    claim = acquired(make())
    claim.mark(RunMark(PATH, time.time()))
    os.close(claim._descriptor)  # type: ignore[attr-defined]

    # To another process it is as if this one had died.
    assert result_of(lambda: acquired(make()).interrupted is not None)
    os.truncate(make().path, 0)
    claim = acquired(make())
    claim.mark(RunMark(PATH, time.time()))
    os.close(claim._descriptor)  # type: ignore[attr-defined]
    assert acquired(make()).interrupted is None


def test_run_without_a_pause(make: Make, clock: FakeClock) -> None:
    """A task that runs again and again is written down once a second."""
    ownership = make()
    claim = acquired(ownership)

    def written() -> float:
        record = ownership.owner()
        assert record is not None
        assert record.run is not None
        return record.run.since

    began = round(clock.time(), 3)
    for _ in range(5):
        claim.mark(RunMark(PATH, clock.time()))
        clock.advance(0.1)
    assert written() == pytest.approx(began, abs=0.002)
    clock.advance(1)
    claim.mark(RunMark(PATH, clock.time()))
    assert written() == pytest.approx(clock.time(), abs=0.002)


# A pidfile that changes while it is held.


def test_removed(make: Make, clock: FakeClock) -> None:
    """An owner whose file was removed finds out, for ever, and can own the new one."""
    ownership = make()
    claim = acquired(ownership)
    os.unlink(ownership.path)
    clock.advance(1)

    assert not claim.check()
    new = acquired(ownership)
    assert new.check()
    assert not claim.check()
    claim.release()
    assert new.check()
    assert make().acquire() is None


def test_replaced(make: Make, clock: FakeClock) -> None:
    """An owner whose file was replaced finds out; and leaves the new one alone."""
    claim = acquired(make())
    os.rename(make().path, f"{make().path}.old")
    new = acquired(make())
    before = Path(make().path).read_bytes()
    clock.advance(1)

    assert not claim.check()
    claim.mark(RunMark(PATH, 1.0))
    claim.release()
    assert Path(make().path).read_bytes() == before
    assert new.check()


def test_directory_removed(make: Make, root: Path, clock: FakeClock) -> None:
    """A directory that was removed with all in it is made anew."""
    ownership = make()
    claim = acquired(ownership)
    os.unlink(ownership.path)
    root.rmdir()
    clock.advance(1)

    assert not claim.check()
    assert acquired(ownership).check()


@pytest.mark.parametrize("suffix", [".pid", ".takeover"])
def test_replaced_between_open_and_lock(
    make: Make, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """A lock on a file that has lost its name is not taken for the lock."""
    ownership, opened = make(), []
    real = files.open_to_write

    def open_and_remove(path: str, **options: Any) -> int:
        descriptor = real(path, **options)
        opened.append(path)
        if len(opened) == 1:
            os.unlink(path)
        return descriptor

    monkeypatch.setattr(files, "open_to_write", open_and_remove)
    if suffix == ".pid":
        assert acquired(ownership).check()
    else:
        with ownership.request():
            assert ownership.candidate() is not None
    assert len(opened) == 2
    assert os.path.exists(opened[0])


def test_closed_behind_the_back(make: Make, clock: FakeClock) -> None:
    """A descriptor that something closed, and uses again, is left alone."""
    claim, other = acquired(make()), make()
    descriptor = claim._descriptor  # type: ignore[attr-defined]
    os.close(descriptor)
    foreign = os.memfd_create("foreign")
    try:
        assert foreign == descriptor
        new = acquired(other)
        claim.mark(RunMark(PATH, 1.0))
        assert not claim.check()
        claim.release()
        assert os.fstat(foreign).st_size == 0
        assert new.check()
    finally:
        os.close(foreign)


# Files that are not ours.


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
    os.chown(path, STRANGER, STRANGER)


THINGS = {
    "symlink": (symlink, "is a symbolic link"),
    "FIFO": (os.mkfifo, "is not a plain file"),
    "directory": (Path.mkdir, "is not a plain file"),
    "hard link": (hard_link, "has more than one name"),
    "foreign": (foreign, f"belongs to uid {STRANGER}"),
}


@pytest.mark.parametrize("suffix", ["pid", "takeover"])
@pytest.mark.parametrize("kind", THINGS)
def test_refused(make: Make, root: Path, kind: str, suffix: str) -> None:
    """What is no plain file of ours is refused with an error that names it."""
    if kind == "foreign" and os.geteuid():
        pytest.skip("needs root")
    put, problem = THINGS[kind]
    root.mkdir(0o750)
    ownership = make()
    path = root / f"chain.{suffix}"
    put(path)

    use = ownership.acquire if suffix == "pid" else ownership.request().__enter__
    with pytest.raises(UnusableRunRoot, match=problem) as caught:
        use()
    assert str(path) in str(caught.value)
    if kind == "foreign":
        assert "remove" not in str(caught.value)
        assert f"Run it as uid {STRANGER}, or " in str(caught.value)
        assert f"chown {os.geteuid()} {path}" in str(caught.value)
    else:
        assert "remove it" in str(caught.value)


@pytest.mark.parametrize("kind", THINGS)
def test_request_that_counts_for_nothing(make: Make, root: Path, kind: str) -> None:
    """A take-over file that is not ours ends no chain, and is named once."""
    if kind == "foreign" and os.geteuid():
        pytest.skip("needs root")
    root.mkdir(0o750)
    claim, standby = acquired(make()), make()
    THINGS[kind][0](root / "chain.takeover")

    with log() as records:
        for _ in range(3):
            assert claim.wanted_by() is None
    if kind != "FIFO" or records.texts():
        [text] = records.texts()
        assert str(root / "chain.takeover") in text
    claim.release()
    assert acquired(standby).check()


@needs_root
def test_request_of_another_user(strangers: Path, clock: FakeClock) -> None:
    """Who may create files in RUN_ROOT, and locks one, ends no chain by it."""
    path = strangers / "chain.takeover"
    claim = acquired(PidfileOwnership(strangers, CHAIN, clock=clock))

    with child(as_user(STRANGER, lambda: files.lock(str(path)))), log() as records:
        assert claim.wanted_by() is None
    assert f"belongs to uid {STRANGER}" in records.texts()[0]


@needs_root
def test_root_looks_at_a_chain_of_another_user(strangers: Path) -> None:
    """Root can see who runs a chain of another user, but not run it as root."""
    ownership = PidfileOwnership(strangers, CHAIN)

    with child(as_user(STRANGER, lambda: acquired(ownership))):
        assert ownership.owner() is not None
        with pytest.raises(UnusableRunRoot, match=f"Run it as uid {STRANGER}"):
            ownership.acquire()


# A system that refuses.


def test_mark_that_cannot_be_written(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that cannot be noted is an error; that none goes on is noted later."""

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    claim = acquired(make())
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space"):
            claim.mark(RunMark(PATH, 1.0))
        claim.mark(None)
    assert claim.check()
    claim.mark(RunMark(PATH, 1.0))
    record = make().owner()
    assert record is not None
    assert record.run is not None


@needs_root
def test_full_file_system(tmp_path: Path) -> None:
    """On a full file system an owner goes on, and a new one says what is wrong."""
    mount = tmp_path / "full"
    mount.mkdir()
    options = ["-o", "size=64k,mode=750"]
    command = ["mount", "-t", "tmpfs", *options, "tmpfs", str(mount)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("cannot mount")
    try:
        old = PidfileOwnership(mount, CHAIN)
        new = PidfileOwnership(mount, make_chain(CHAIN.tasks[:1]))
        claim = acquired(old)
        with pytest.raises(OSError, match="No space"):
            (mount / "filler").write_bytes(b"x" * 2**20)
        with pytest.raises(UnusableRunRoot, match="No space left"):
            new.acquire()
        claim.mark(RunMark(PATH, 1.0))
        claim.mark(None)
        claim.release()
        acquired(old).release()
        (mount / "filler").unlink()
        acquired(new).release()
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def test_no_descriptors(make: Make, clock: FakeClock) -> None:
    """Without descriptors there is an error, and the owner stays the owner."""
    claim, other = acquired(make()), make()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/proc/self/fd"))
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(used)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, limits[1]))
    try:
        clock.advance(1)
        assert claim.check()
        assert other.owner() is None
        assert claim.wanted_by() is None
        with pytest.raises(UnusableRunRoot, match="Too many open files") as caught:
            other.acquire()
        assert "remove it" not in str(caught.value)
        claim.mark(RunMark(PATH, 1.0))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in taken:
            os.close(descriptor)
    assert other.acquire() is None


def test_file_system_without_locks(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, with what to do."""

    def flock(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", flock)

    with pytest.raises(UnusableRunRoot, match=r"No locks available.*set RUN_ROOT"):
        make().acquire()


# Whoever asks.


def test_removed_request(make: Make) -> None:
    """A candidate whose take-over file was removed asks anew."""
    claim, candidate = acquired(make()), make()
    with candidate.request():
        os.unlink(candidate._takeover.path)
        assert claim.wanted_by() is None
        assert candidate.acquire() is None
        assert claim.wanted_by() is not None


def test_killed_candidate(make: Make) -> None:
    """The request of a candidate that is killed is gone with it."""
    claim = acquired(make())

    with child(make().request().__enter__) as pid:
        assert claim.wanted_by() is not None
        asks = make().candidate()
        assert asks is not None
        assert asks.pid == pid
    assert claim.wanted_by() is None
    assert make().candidate() is None


def test_probes_do_not_disturb(make: Make) -> None:
    """However many look whether they are wanted, a candidate gets its turn."""
    claim, done = acquired(make()), threading.Event()

    def probe() -> None:
        ownership = make()
        while not done.is_set():
            ownership.wanted_by()
            time.sleep(0.0005)

    threads = [threading.Thread(target=probe) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            candidate = make()
            with candidate.request():
                wait_for(lambda: candidate.acquire() or claim.wanted_by(), 5)  # noqa: B023
    finally:
        done.set()
        for thread in threads:
            thread.join()


# An owner that dies, or falls silent.


def test_death_of_the_owner(make: Make) -> None:
    """A descriptor tells at once that the owner has died; of this process none does."""
    standby = make()
    assert standby.death_fd() is None
    with child(lambda: acquired(make())) as pid:
        descriptor = standby.death_fd()
        assert descriptor is not None
        os.kill(pid, signal.SIGKILL)
        assert poll(descriptor, 10)
        os.close(descriptor)
    assert standby.death_fd() is None
    claim = acquired(standby)
    assert standby.death_fd() is None
    claim.release()


def poll(descriptor: int, seconds: float) -> bool:
    """Wait until a descriptor is readable."""
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(seconds * 1000))


def test_refused_pidfds(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pidfds are refused there is none, and nobody is said to be gone."""

    def refuse(*_: Any) -> int:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    with child(lambda: acquired(make())):
        standby = make()
        assert standby.acquire() is None
        assert standby.death_fd() is None
        assert standby.no_sign_of_life() is None


def test_sign_of_life(make: Make, clock: FakeClock) -> None:
    """An owner that looks after its claim is never silent, whether it runs or not."""
    claim, standby = acquired(make()), make()

    for _ in range(int(3 * SILENCE_S)):
        assert claim.check()
        assert standby.no_sign_of_life() is None
        clock.advance(1)
    # The clock of the file system is the real one, so that this was by the file.
    claim.release()


def test_frozen_owner(make: Make, clock: FakeClock) -> None:
    """An owner that shows no sign of life for a minute is named."""
    with child(lambda: acquired(make())) as pid:
        standby = make()
        assert standby.no_sign_of_life() is None
        clock.advance(SILENCE_S - 1)
        assert standby.no_sign_of_life() is None
        clock.advance(1)
        text = standby.no_sign_of_life()

    assert text is not None
    assert f"process {pid} on " in text
    assert "frozen" in text


SILENT_FORK = "import ctypes; pid = ctypes.CDLL(None).fork()"
"""A fork that Python does not know of: no hook of it is called."""

GHOST = f"""
import os, sys, time
from pathlib import Path
from tests.runner.test_ownership import CHAIN
from yourlabs.runner.ownership.pidfile import PidfileOwnership

ownership = PidfileOwnership(Path(sys.argv[1]), CHAIN)
if sys.argv[2] == "asks":
    asks = ownership.request()
    asks.__enter__()
else:
    claim = ownership.acquire()
{SILENT_FORK}
if pid == 0:
    time.sleep(600)
    os._exit(0)
if sys.argv[2] == "lets go":
    claim.release()
print(pid, flush=True)
if sys.argv[2] == "lets go":
    time.sleep(600)
os._exit(0)
"""


@contextmanager
def ghost(root: Path, end: str) -> Iterator[int]:
    """Have a process that forks a child which nobody knows of, and then dies."""
    program = subprocess.Popen(
        [sys.executable, "-c", GHOST, str(root), end],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    pid = int(program.stdout.readline())
    try:
        if end != "lets go":
            program.wait(30)
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        program.kill()
        program.wait()
        program.stdout.close()


@pytest.mark.parametrize(
    ("end", "words"), [("dies", "is gone"), ("lets go", "says nothing")]
)
def test_ghost(make: Make, root: Path, clock: FakeClock, end: str, words: str) -> None:
    """A lock that a child keeps that nobody knows of is told, and not taken from it."""
    with ghost(root, end) as pid:
        standby = make()
        assert standby.acquire() is None
        assert standby.no_sign_of_life() is None
        clock.advance(SILENCE_S)
        text = standby.no_sign_of_life()
        assert text is not None
        assert words in text
        assert f"process {pid}" in text
    assert wait_for(make().acquire) is not None


@pytest.mark.parametrize("is_dead", [False, True])
def test_candidate_in_front(make: Make, root: Path, is_dead: bool) -> None:
    """Who gives up names who has asked before it, and whether that is alive."""
    claim = acquired(make())
    ahead = ghost(root, "asks") if is_dead else child(make().request().__enter__)
    with ahead:
        asks = make().candidate()
        assert asks is not None
        with pytest.raises(TakeOverTimeout) as caught:
            take_over(make(), CHAIN, timeout=timedelta(0), pause=lambda _: False)
    state = "has ended" if is_dead else "lives"
    assert f"Process {asks.pid} on {asks.host}, which {state}, has" in str(caught.value)
    assert claim.check()


# Forks.


def test_forked_child(make: Make) -> None:
    """A forked child holds nothing, and drops nothing of its parent's."""
    ownership, other = make(), make()
    claim = acquired(ownership)

    def try_all() -> bool:
        claim.mark(RunMark(PATH, 1.0))
        claim.release()
        return claim.check() or other.acquire() is not None

    with ownership.request():
        assert not result_of(try_all)
        assert claim.check()
        assert other.acquire() is None
        record = other.owner()
        assert record is not None
        assert (record.released, record.run) == (False, None)
        asks = other.candidate()
        assert asks is not None
        assert asks.pid == os.getpid()


def test_fork_at_any_moment(make: Make) -> None:
    """A child that is forked while a lock is being taken holds nothing of it."""
    done = threading.Event()

    def own_and_let_go() -> None:
        ownership = make()
        while not done.is_set():
            with ownership.request():
                # A child that is being born closes its copies a moment later.
                wait_for(ownership.acquire).release()  # type: ignore[union-attr]
            ownership.wanted_by()

    thread = threading.Thread(target=own_and_let_go)
    thread.start()
    children = []
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(100):
            pid = os.fork()
            if not pid:
                time.sleep(60)
                os._exit(0)
            children.append(pid)
        done.set()
        thread.join()

        other = make()
        with other.request():
            wait_for(other.acquire, 5)
            assert make().candidate() is not None
    finally:
        sys.setswitchinterval(interval)
        done.set()
        thread.join()
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@pytest.mark.parametrize("suffix", [".pid", ".takeover"])
def test_fork_right_after_the_open(
    make: Make, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """A child that is forked before its parent knows of the descriptor has none."""
    real, children = os.open, []

    def open_and_fork(path: Any, *args: Any, **options: Any) -> int:
        descriptor = real(path, *args, **options)
        if str(path).endswith(suffix) and not children:
            pid = os.fork()
            if not pid:
                time.sleep(60)
                os._exit(0)
            children.append(pid)
        return descriptor

    monkeypatch.setattr(os, "open", open_and_fork)
    ownership = make()
    try:
        with ownership.request():
            acquired(ownership).release()
        assert children
        with make().request():
            assert ownership.candidate() is not None
        # A child that is being born closes its copies a moment later.
        wait_for(make().acquire, 5)
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_hung_open(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """While an open in RUN_ROOT hangs, the host can fork, and its child run chains."""
    hangs, goes_on = threading.Event(), threading.Event()
    real = os.open

    def hang(path: Any, *args: Any, **options: Any) -> int:
        if str(path).endswith(".pid") and threading.current_thread() is thread:
            hangs.set()
            assert goes_on.wait(30)
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", hang)
    taken: list[Any] = []
    thread = threading.Thread(target=lambda: taken.append(make().acquire()))
    thread.start()
    assert hangs.wait(30)
    try:
        assert result_of(lambda: acquired(make()).check())
    finally:
        goes_on.set()
        thread.join()
    assert taken[0].check()


def test_programs_inherit_nothing(make: Make) -> None:
    """A program that a task starts keeps no lock, even if all else is kept open."""
    programs = []

    def own_and_start() -> None:
        ownership = make()
        ownership.request().__enter__()
        acquired(ownership)
        programs.append(
            subprocess.Popen([sys.executable, "-c", "input()"], close_fds=False)
        )

    with child(own_and_start):
        assert make().acquire() is None
    # Its pidfile was read before: the program may still live.
    other = make()
    with other.request():
        assert wait_for(other.acquire, 5) is not None


def test_whole_record_survives_a_kill(make: Make) -> None:
    """Whenever an owner is killed, its record is the old one or the new one."""
    ownership = make()

    def run() -> None:
        claim = acquired(make())

        def mark_for_ever() -> None:
            while True:
                claim.mark(RunMark(PATH, time.time(), 0))
                claim.mark(None)

        threading.Thread(target=mark_for_ever, daemon=True).start()

    for number in range(1, 11):
        with child(run):
            time.sleep(0.01 * (number % 3))
        record = parse_record(ownership.read())
        assert record is not None
        assert record.seq == number
