"""The state of a chain outlives its owner, and nothing in its file breaks the next."""

from __future__ import annotations

import errno
import json
import os
import random
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.runner.fakes import Counted, happens, log, make, quick, started
from yourlabs.runner.storage.file import MAX_ASIDE, MAX_SIZE, FileState

NOBODY = 65_534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is."""
    return tmp_path / "chain.json"


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user can reach and write to."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)
        Path(name).chmod(0o777)


def opened(path: Path) -> FileState:
    state = FileState(path)
    state.load()
    return state


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be a user to whom permissions apply."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_round_trip(path: Path) -> None:
    """The next owner gets what the last one put."""
    value = {"a": [1, 2.5, None, True, "é\u2028\ud800"]}
    first = opened(path)
    first.put("section", value)
    first.close()

    second = opened(path)

    assert second.get("section") == value
    assert second.get("other") is None


def test_permissions(path: Path) -> None:
    """The file is its owner's alone, and nothing else is left in the directory."""
    state = opened(path)

    state.put("section", 1, now=True)

    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == [path.name]


def test_put_is_written_later(path: Path) -> None:
    """What is put is written with the next write, and at once only when asked for."""
    state = opened(path)

    state.put("first", 1)
    assert not path.exists()
    state.put("second", 2, now=True)

    assert json.loads(path.read_text()) == {"version": 1, "first": 1, "second": 2}


def test_save_without_change(path: Path) -> None:
    """Nothing is written when nothing has changed."""
    state = opened(path)
    state.put("section", 1)
    state.save()
    path.unlink()

    state.save()
    state.close()

    assert not path.exists()


def test_closed(path: Path) -> None:
    """Between owners nothing is taken, because another process may write the file."""
    state = FileState(path)
    state.put("early", 1, now=True)
    state.load()
    state.put("section", 1)
    state.close()
    state.put("late", 1, now=True)
    state.save()

    assert json.loads(path.read_text()) == {"version": 1, "section": 1}


def test_close_unwritten(path: Path) -> None:
    """An owner that lost the chain writes nothing."""
    state = opened(path)
    state.put("section", 1)

    state.close(write=False)

    assert not path.exists()


def test_load_again(path: Path) -> None:
    """A chain that comes back reads what another owner wrote meanwhile."""
    first = opened(path)
    first.put("section", "first")
    first.close()
    second = opened(path)
    second.put("section", "second")
    second.close()

    first.load()

    assert first.get("section") == "second"


def test_version_cannot_be_put(path: Path) -> None:
    """A section of any name leaves the file readable."""
    first = opened(path)
    first.put("version", "mine")
    first.put("section", 1)
    first.close()

    with log() as kept:
        assert opened(path).get("section") == 1
    assert kept.actions() == []


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", {("a",): 1}])
def test_no_json(path: Path, value: Any) -> None:
    """What is no JSON is told once, and the chain that put it goes on."""
    state = opened(path)

    with log() as kept:
        state.put("section", value, now=True)
        state.save()
        state.close()

    assert kept.actions() == ["state_unwritable"]


def test_threads(path: Path) -> None:
    """Sections may be put by several threads at once."""
    state = opened(path)

    def put(name: str) -> None:
        for number in range(50):
            state.put(name, number, now=number % 10 == 0)

    threads = [threading.Thread(target=put, args=(f"s{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    state.close()

    again = opened(path)
    assert [again.get(f"s{n}") for n in range(8)] == [49] * 8


def test_large(path: Path) -> None:
    """What an owner writes is never too large for the next one to read."""
    state = opened(path)
    downtimes = {
        f"tasks.number_{task}": [["E", "\u2028" * 500, "f", 1] for _ in range(50)]
        for task in range(50)
    }
    state.put("incidents", downtimes)
    state.close()

    assert opened(path).get("incidents") == downtimes
    assert path.stat().st_size < MAX_SIZE


# Writing that fails.


def test_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails is told once, kept in memory, and made up for."""
    state = opened(path)
    replace = os.replace

    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with log() as kept:
        monkeypatch.setattr(os, "replace", refuse)
        state.put("section", 1, now=True)
        state.put("section", 2, now=True)
        assert kept.actions() == ["state_unwritable"]
        assert "No space left on device" in kept.texts()[0]
        assert state.get("section") == 2
        monkeypatch.setattr(os, "replace", replace)
        state.save()
        assert opened(path).get("section") == 2
        monkeypatch.setattr(os, "replace", refuse)
        state.put("section", 3, now=True)

    assert kept.actions() == ["state_unwritable", "state_unwritable"]


def test_directory_gone(tmp_path: Path) -> None:
    """A RUN_ROOT that was removed is told, and made up for when it is back."""
    root = tmp_path / "run"
    root.mkdir()
    state = opened(root / "chain.json")
    root.rmdir()

    with log() as kept:
        state.put("section", 1, now=True)
    root.mkdir()
    state.save()

    assert kept.actions() == ["state_unwritable"]
    assert opened(root / "chain.json").get("section") == 1


@pytest.mark.parametrize("kind", ["file", "symlink", "fifo", "directory"])
def test_foreign_temporary(path: Path, tmp_path: Path, kind: str) -> None:
    """Nothing is ever written through what stands in the way of a write."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    temporary = Path(f"{path}.new")
    make_thing(temporary, kind, victim)

    state = opened(path)
    with log() as kept:
        state.put("section", 1, now=True)

    assert victim.read_text() == "precious"
    assert kept.actions() == (["state_unwritable"] if kind == "directory" else [])


def test_descriptors(path: Path) -> None:
    """No descriptor is left open, whatever stands under the file's name."""
    before = len(os.listdir("/proc/self/fd"))

    for kind in ("missing", "directory", "fifo", "symlink", "file"):
        make_thing(path, kind, path.parent / "nothing")
        with log():
            opened(path).close()

    assert len(os.listdir("/proc/self/fd")) == before


def test_no_descriptor_to_read_with(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it cannot be read for now, it is left as it is, for the next try."""
    state = opened(path)
    state.put("a", 1, now=True)
    state.close()

    def exhausted(*arguments: Any) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    heir = FileState(path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", exhausted)
        with pytest.raises(OSError, match="Too many"):
            heir.load()
    heir.load()

    assert heir.get("a") == 1
    assert not asides(path)
    heir.close()


# Files that are not what an owner wrote.


def make_thing(path: Path, kind: str, target: Path) -> None:
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "symlink":
        path.symlink_to(target)
    elif kind == "file":
        path.write_text("{}")


def asides(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*.unreadable-*"))


@pytest.mark.parametrize("kind", ["directory", "fifo", "symlink", "file"])
def test_foreign_file(path: Path, tmp_path: Path, kind: str) -> None:
    """What is no plain file of ours is set aside, said, and never touched."""
    victim = tmp_path / "victim"
    victim.write_text('{"version": 1, "section": "stolen"}')
    make_thing(path, kind, victim)

    with log() as kept:
        state = opened(path)
        state.put("section", "mine", now=True)

    assert kept.actions() == ["state_set_aside"]
    assert str(path) in kept.texts()[0]
    assert opened(path).get("section") == "mine"
    assert len(asides(path)) == 1
    assert "stolen" in victim.read_text()


def test_no_permission(public: Path) -> None:
    """A file that may not be read is set aside."""
    path = public / "chain.json"
    path.write_text('{"version": 1, "section": "secret"}')
    path.chmod(0)
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)

    with log() as kept, unprivileged():
        state = opened(path)
        state.put("section", "mine", now=True)
        assert opened(path).get("section") == "mine"

    assert kept.actions() == ["state_set_aside"]
    assert "Permission denied" in kept.texts()[0]


def test_no_permission_at_all(public: Path) -> None:
    """In a directory that may not be written to, the chain goes on in memory."""
    path = public / "chain.json"
    path.write_text("{")
    path.chmod(0o644)
    public.chmod(0o555)

    with log() as kept, unprivileged():
        state = opened(path)
        state.put("section", "mine", now=True)

        assert state.get("section") == "mine"

    assert kept.actions() == ["state_set_aside", "state_unwritable"]
    assert path.read_text() == "{"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_foreign_owner(path: Path) -> None:
    """A file of another user is not believed."""
    path.write_text('{"version": 1, "section": "forged"}')
    os.chown(path, NOBODY, NOBODY)

    with log() as kept:
        assert opened(path).get("section") is None

    assert kept.actions() == ["state_set_aside"]
    assert f"belongs to uid {NOBODY}" in kept.texts()[0]


def test_huge(path: Path) -> None:
    """A file of 50 MB is not read."""
    path.write_bytes(b"")
    os.truncate(path, 50_000_000)

    with log() as kept:
        assert opened(path).get("section") is None

    assert kept.actions() == ["state_set_aside"]
    assert "50000000 bytes" in kept.texts()[0]
    assert asides(path)[0].stat().st_size == 50_000_000


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"5",
        b'"text"',
        b"{}",
        b'{"version": 2}',
        b'{"version": true}',
        b'{"version": 1.5}',
        b'{"version": "1"}',
        b'{"version": 1',
        b"\xff\xfe\x00",
        b"\0" * 100,
        b"[" * 100_000,
        b'{"version": 1, "a": ' + b"[" * 100_000,
        b'{"version": 1, "n": ' + b"9" * 5_000 + b"}",
    ],
    ids=lambda content: repr(content[:30]),
)
def test_strange(path: Path, content: bytes) -> None:
    """What no owner can have written is set aside, and a new file begun."""
    path.write_bytes(content)

    with log() as kept:
        state = opened(path)
        state.put("section", 1, now=True)

    if kept.actions():
        assert kept.actions() == ["state_set_aside"]
        assert asides(path)[0].read_bytes() == content
    assert opened(path).get("section") == 1


def test_set_aside_is_bounded(path: Path) -> None:
    """There is an end to what is set aside; then the file is written anew."""
    for number in range(MAX_ASIDE + 1):
        path.write_text(f"bad {number}")
        with log() as kept:
            state = opened(path)
    state.put("section", 1, now=True)

    assert len(asides(path)) == MAX_ASIDE - 1
    assert "too many were set aside" in kept.texts()[0]
    assert opened(path).get("section") == 1


# A chain with such a file.


def healthy() -> bytes:
    """The file of a chain that failed, as its owner writes it."""
    return json.dumps(
        {
            "version": 1,
            "incidents": {
                "tests.quick": {
                    "down_since": 1_770_000_000.0,
                    "failures": 3,
                    "interrupted": 0,
                    "exceptions": [["builtins.ValueError", "no", "1:ab", 3]],
                }
            },
            "status": [{"task": "tests.quick", "runs": 3, "last_run": 1.0}],
            "schedule": {"next": "x", "index": 0, "due": 1.0, "after": "x"},
            "notifications": {"release": "1", "tasks": {}},
        }
    ).encode()


def corruptions() -> dict[str, bytes]:
    """The file, damaged in more than 200 ways."""
    content, found = healthy(), {}
    for length in range(len(content)):
        found[f"cut at {length}"] = content[:length]
    chance = random.Random(5)
    for number in range(100):
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 5)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        found[f"flipped {number}"] = bytes(damaged)
    wrong: list[Any] = [None, True, -1, 1e308, 10**400, "x", "\ud800", [], [[]], {}]
    for section in ("incidents", "status", "schedule", "notifications"):
        for number, value in enumerate([*wrong, {"next": {}, "tasks": 5}, [None, 5]]):
            values = {**json.loads(content), section: value}
            found[f"{section} {number}"] = json.dumps(values).encode()
    return found


def run_once(path: Path, prepare: Callable[[], None]) -> list[str]:
    """Run a chain whose state is at `path`; return what it warned of."""
    function = Counted()
    prepare()
    thread = make(quick(function), state=FileState(path), once=True)
    with log() as kept:
        thread.start()
        thread.join(20)
    assert function.calls == 1
    assert not thread.is_alive()
    assert thread.status().failures == 0
    json.loads(path.read_text())
    return [action for action in kept.actions() if action.startswith("state")]


def test_corruptions(path: Path) -> None:
    """Whatever is damaged in the file, the chain runs, and writes a sane one."""
    cases = corruptions()
    assert len(cases) > 400

    # One file after the other: a chain that runs takes milliseconds to start.
    for content in list(cases.values())[::2]:
        warned = run_once(path, lambda content=content: path.write_bytes(content))  # type: ignore[misc]
        assert warned in ([], ["state_set_aside"])
        for aside in asides(path):
            assert warned == ["state_set_aside"]
            assert aside.read_bytes() == content
            aside.unlink()


@pytest.mark.parametrize("kind", ["directory", "fifo", "symlink", "file"])
def test_chain_with_a_foreign_file(path: Path, kind: str) -> None:
    """A chain runs whatever stands in the place of its file, and says so."""
    warned = run_once(path, lambda: make_thing(path, kind, path.parent / "nothing"))

    assert warned == ["state_set_aside"]


def test_chain_with_a_strange_section(path: Path) -> None:
    """What a receiver puts that is no JSON does not stop the chain."""
    done = threading.Event()

    def function() -> None:
        thread.state.put("strange", object())
        thread.state.put("sane", 1)
        if thread.status().runs:
            done.set()

    thread = make(quick(function, success_cooldown=0.5), state=FileState(path))
    with log() as kept, started(thread):
        assert happens(done) or thread.wake()

    assert kept.actions().count("state_unwritable") == 1
    assert "chain_broken" not in kept.actions()
    assert opened(path).get("sane") == 1
