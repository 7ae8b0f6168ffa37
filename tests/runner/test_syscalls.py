"""System calls that keep the interpreter, and what stands in for them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.runner.fakes import TickingClock
from yourlabs.runner.ownership import syscalls

IN_PLACE = syscalls.IN_PLACE


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is slow, and nothing was, but where a test says so."""
    monkeypatch.setattr(syscalls, "SLOW", float("inf"))
    monkeypatch.setattr(syscalls, "_careful_until", 0.0)
    monkeypatch.setattr(syscalls, "_careful_for", syscalls.CAREFUL)
    # Of whatever kind the file system of the tests is.
    monkeypatch.setattr(syscalls, "IN_PLACE", range(1, 2**32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file whose name is no text."""
    made = tmp_path / os.fsdecode(b"chain \xff.pid")
    made.write_bytes(b"0123456789")
    return made


@pytest.fixture
def descriptor(path: Path) -> Iterator[int]:
    """Open it for writing."""
    opened = os.open(path, os.O_RDWR)
    yield opened
    os.close(opened)


def identity(path: Path) -> tuple[int, int]:
    """Return the device and the inode."""
    found = path.stat()
    return found.st_dev, found.st_ino


in_both_ways = pytest.mark.parametrize("crowded", [False, True])


@in_both_ways
def test_names_a_file(path: Path, crowded: bool) -> None:
    """A file is what its path names, by each of its names."""
    other = path.with_name("other")
    other.hardlink_to(path)

    assert syscalls.names(str(path), *identity(path), crowded=crowded)
    assert syscalls.names(str(other), *identity(path), crowded=crowded)


@in_both_ways
def test_names_another(path: Path, crowded: bool) -> None:
    """Not one that was moved away, replaced, or is behind a symbolic link."""
    known = identity(path)
    moved = path.with_name("moved")
    path.rename(moved)
    assert not syscalls.names(str(path), *known, crowded=crowded)
    path.write_bytes(b"")
    assert not syscalls.names(str(path), *known, crowded=crowded)
    path.unlink()
    path.symlink_to(moved)
    assert not syscalls.names(str(path), *known, crowded=crowded)
    assert syscalls.names(str(moved), *known, crowded=crowded)


@in_both_ways
def test_names_on_another_device(path: Path, crowded: bool) -> None:
    """The same number of an inode on another device is another file."""
    device, inode = identity(path)

    assert not syscalls.names(str(path), device + 1, inode, crowded=crowded)
    null = identity(Path("/dev/null"))
    assert syscalls.names("/dev/null", *null, crowded=crowded)


@in_both_ways
def test_names_through_a_file(path: Path, crowded: bool) -> None:
    """A path that leads nowhere names nothing."""
    below = str(path / "below")

    assert not syscalls.names(below, *identity(path), crowded=crowded)


@in_both_ways
def test_is_open(path: Path, crowded: bool) -> None:
    """A descriptor is open on one inode, whatever its name, until it is closed."""
    known, other = identity(path), path.with_name("other")
    descriptor = os.open(path, os.O_RDONLY)
    path.rename(other)

    assert syscalls.is_open(descriptor, *known, crowded=crowded)
    assert not syscalls.is_open(
        descriptor, *identity(Path("/dev/null")), crowded=crowded
    )
    os.close(descriptor)
    assert not syscalls.is_open(descriptor, *known, crowded=crowded)


def test_may_exist(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be told may exist."""
    missing = str(path.with_name("missing"))

    assert syscalls.may_exist(str(path))
    assert not syscalls.may_exist(missing)
    monkeypatch.setattr(syscalls._library, "statx", None)
    assert syscalls.may_exist(missing)


def test_may_exist_for_whom(path: Path) -> None:
    """It is asked for who the process is now, not for who started it."""
    if os.geteuid():
        pytest.skip("needs root")
    path.parent.chmod(0o700)
    child = os.fork()
    if child == 0:  # pragma: no cover - leaves by _exit
        os.setresuid(65_534, 0, 0)
        os._exit(not syscalls.may_exist(str(path)))

    assert os.waitpid(child, 0)[1] == 0


@in_both_ways
def test_writes(path: Path, descriptor: int, crowded: bool) -> None:
    """Bytes are written where they belong, zeros as well."""
    syscalls.pwrite(descriptor, b"a\0c", 4, crowded=crowded)
    syscalls.pwrite(descriptor, b"", 0, crowded=crowded)

    assert path.read_bytes() == b"0123a\x00c789"


def test_nothing_stands_in(
    path: Path, descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a crowd the C library does it all, where the tests run."""
    known = identity(path)
    usable = SimpleNamespace(fsencode=os.fsencode, makedev=os.makedev)
    monkeypatch.setattr(syscalls, "os", usable)

    assert syscalls.names(str(path), *known, crowded=True)
    assert syscalls.is_open(descriptor, *known, crowded=True)
    assert not syscalls.may_exist(str(path.with_name("missing")))
    syscalls.pwrite(descriptor, b"ab", 0, crowded=True)

    assert path.read_bytes() == b"ab23456789"


@in_both_ways
def test_write_that_fails(path: Path, crowded: bool) -> None:
    """An error is the one that `os.pwrite` raises."""
    reader = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="Bad file descriptor") as caught:
            syscalls.pwrite(reader, b"x", 0, crowded=crowded)
    finally:
        os.close(reader)

    assert caught.value.errno == errno.EBADF
    assert path.read_bytes() == b"0123456789"


def test_page(path: Path, descriptor: int) -> None:
    """What is written to memory is in the file, also when it is closed since."""
    path.write_bytes(b"0123456789" * 1000)
    page = syscalls.Page(descriptor, 9_999)

    assert page.write(b"a\0c", 4)
    assert page.write(b"", 0)
    assert page.write(b"end", 9_996)
    assert path.read_bytes()[:10] == b"0123a\x00c789"
    page.close()
    assert not page.write(b"x", 0)
    assert not page.write(b"x", 0, now=True)

    content = path.read_bytes()
    assert content[9_990:] == b"012345end9"
    assert len(content) == 10_000


def test_page_of_a_forked_child(path: Path, descriptor: int) -> None:
    """A child has no copy, which would keep a lock for as long as it lives."""
    page = syscalls.Page(descriptor, 10)
    name = path.name.encode("utf-8", "surrogateescape")
    assert name in Path("/proc/self/maps").read_bytes()
    child = os.fork()
    if child == 0:  # pragma: no cover - leaves by _exit
        os._exit(name in Path("/proc/self/maps").read_bytes())

    assert os.waitpid(child, 0)[1] == 0
    page.close()
    assert name not in Path("/proc/self/maps").read_bytes()


def test_where_it_is_safe(
    path: Path, descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File systems that write to a file where it is are known by their numbers."""
    monkeypatch.setattr(syscalls, "IN_PLACE", IN_PLACE)
    status = path.stat()
    device = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    kinds = {m.split(" - ")[1].split()[0] for m in mounts if f" {device} " in m}
    memory = os.memfd_create("of the kind of tmpfs")
    os.truncate(memory, 10)
    safe = {memory: True, descriptor: kinds <= {"ext4", "tmpfs"} and bool(kinds)}

    for opened, is_safe in safe.items():
        try:
            syscalls.Page(opened, 10).close()
        except OSError:
            assert not is_safe
        else:
            assert is_safe
    os.close(memory)


def fail(error: type[BaseException], *_: object) -> None:
    """Raise it."""
    raise error


def test_page_that_is_not_safe(
    path: Path, descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write to memory that could fail would end the process: it is not mapped."""

    def refused(opened: int, size: int = 10) -> str:
        with pytest.raises(OSError, match=r"It|A forked") as caught:
            syscalls.Page(opened, size)
        assert path.name not in Path("/proc/self/maps").read_text(errors="replace")
        return os.strerror(caught.value.errno or 0)

    calls = syscalls._library.mapping
    assert calls is not None
    assert refused(descriptor, 11) == "Operation not supported"
    reader = os.open(path, os.O_RDONLY)
    assert refused(reader) == "Cannot allocate memory"
    os.close(reader)
    for broken in (
        calls._replace(madvise=lambda *_: -1),
        calls._replace(fstatfs=lambda *_: -1),
        None,
    ):
        monkeypatch.setattr(syscalls._library, "mapping", broken)
        assert refused(descriptor) == "Operation not supported"
    for error in (MemoryError, KeyboardInterrupt):
        broken = calls._replace(view=partial(fail, error))
        monkeypatch.setattr(syscalls._library, "mapping", broken)
        with pytest.raises(error):
            syscalls.Page(descriptor, 10)
        assert path.name not in Path("/proc/self/maps").read_text(errors="replace")
    monkeypatch.setattr(syscalls._library, "mapping", calls)
    monkeypatch.setattr(syscalls, "IN_PLACE", set())
    assert refused(descriptor) == "Operation not supported"


class Library:
    """Notes how it is called, and answers the same to everything."""

    def __init__(self, answer: int) -> None:
        self.answer, self.calls = answer, 0

    def pwrite(self, *_: Any) -> int:
        self.calls += 1
        return self.answer

    statx = pwrite
    buffer = staticmethod(lambda: bytes(256))


@pytest.mark.parametrize("answer", [0, -1])
def test_one_word_is_not_enough(
    answer: int, path: Path, descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the library does not do, or says wrongly, is done in the usual way."""
    library = Library(answer)
    monkeypatch.setattr(syscalls, "_library", library)

    assert syscalls.names(str(path), *identity(path), crowded=True)
    assert syscalls.is_open(descriptor, *identity(path), crowded=True)
    syscalls.pwrite(descriptor, b"ab", 0, crowded=True)

    assert library.calls == 3
    assert path.read_bytes() == b"ab23456789"


def test_uncrowded(
    path: Path, descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing is gained, nobody is held up."""
    library = Library(0)
    monkeypatch.setattr(syscalls, "_library", library)

    assert syscalls.names(str(path), *identity(path), crowded=False)
    assert syscalls.is_open(descriptor, *identity(path), crowded=False)
    syscalls.pwrite(descriptor, b"ab", 0, crowded=False)

    assert library.calls == 0


def test_slow_calls(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a call that held everybody up, others may go on during the next ones."""
    library, clock = Library(1), TickingClock()
    page = syscalls.Page(descriptor, 10)
    monkeypatch.setattr(syscalls, "_library", library)
    monkeypatch.setattr(syscalls, "time", clock)

    def write(times: int = 1) -> int:
        before = library.calls
        for _ in range(times):
            syscalls.pwrite(descriptor, b"x", 0, crowded=True)
        return library.calls - before

    assert write(3) == 3
    waits = []
    monkeypatch.setattr(syscalls, "SLOW", 0.0)
    for _ in range(8):
        assert write(3) == 1
        assert not page.write(b"x", 0)
        if not waits:
            careful = syscalls._careful_for, syscalls._careful_until
            assert page.write(b"x", 0, now=True)
            syscalls._careful_for, syscalls._careful_until = careful
        waits.append(syscalls._careful_until - clock.now)
        clock.now = syscalls._careful_until
    assert [round(wait) for wait in waits] == [1, 2, 4, 8, 16, 32, 60, 60]

    monkeypatch.setattr(syscalls, "SLOW", 1.0)
    assert write(3) == 3
    assert page.write(b"x", 0)
    clock.now += syscalls.MOST_CAREFUL
    monkeypatch.setattr(syscalls, "SLOW", 0.0)
    assert page.write(b"x", 0)
    assert write(3) == 0
    page.close()
    assert round(syscalls._careful_until - clock.now) == syscalls.CAREFUL


@pytest.mark.parametrize("error", [ImportError, OSError, TypeError])
def test_no_library(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python without ctypes, or that is linked statically, does without."""

    def fail(name: object) -> None:
        raise error

    monkeypatch.setattr("ctypes.PyDLL", fail)
    library = syscalls._Library()

    assert library.pwrite is None
    assert library.statx is None
    assert library.mapping is None


def test_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a container refuses for every path is not believed for one."""
    monkeypatch.setattr(syscalls, "_kept", lambda *_: -1)

    assert syscalls._Library().statx is None


def test_old_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A C library may be older than a call."""
    monkeypatch.setattr("ctypes.PyDLL", lambda name: SimpleNamespace())
    library = syscalls._Library()

    assert library.pwrite is None
    assert library.statx is None
    assert library.mapping is None
