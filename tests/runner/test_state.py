"""The documents of a chain outlive its owner, and nothing in them breaks the next."""

from __future__ import annotations

import errno
import json
import os
import random
import tempfile
import threading
from collections.abc import Callable, Iterator
from operator import mul
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runner.fakes import log, make, quick
from tests.runner.test_ownership import CHAIN, acquired
from tests.runner.test_pidfile import STRANGER, as_user, needs_root, result_of
from yourlabs.runner.exceptions import UnusableRunRoot
from yourlabs.runner.failures.downtime import Hang, Latest
from yourlabs.runner.ownership.pidfile import PidfileClaim, PidfileOwnership
from yourlabs.runner.storage import file as storage
from yourlabs.runner.storage.document import MAX_SIZE, encode, encode_sections
from yourlabs.runner.storage.file import FileStore
from yourlabs.runner.testing import MemoryBackend

NOON = 1_750_003_200.0


@pytest.fixture
def claim(tmp_path: Path) -> PidfileClaim:
    """Return the claim of the chain's owner."""
    return acquired(PidfileOwnership(tmp_path, CHAIN))  # type: ignore[return-value]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the document is."""
    return tmp_path / "chain.json"


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    """Return the store of the chain."""
    return FileStore(tmp_path, "chain")


def loaded(path: Path) -> dict[str, Any]:
    """Return what another process reads."""
    return FileStore(path.parent, "chain").load()


# Writing.


def test_round_trip(store: FileStore, claim: PidfileClaim, path: Path) -> None:
    """Whatever is plain JSON is read as it was written, half a surrogate, too."""
    value = {"a": [1, 2.5, None, True, "é\u2028\ud800", "Ж" * 1_000]}
    store.save(claim, {"section": value, "other": {}})

    assert loaded(path) == {"section": value, "other": {}}
    content = path.read_bytes()
    assert "Ж".encode() in content, "in UTF-8, not in six bytes a letter"
    document = json.loads(content)
    assert (document["version"], document["token"]) == (1, claim.token)


def test_permissions(store: FileStore, claim: PidfileClaim, path: Path) -> None:
    """The file is its owner's alone, and nothing else is left in the directory."""
    store.save(claim, {"section": 1})

    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(path.parent)) == ["chain.json", "chain.pid"]


def test_unchanged(store: FileStore, claim: PidfileClaim, path: Path) -> None:
    """What has not changed is not written again."""
    store.save(claim, {"section": 1})
    inode = path.stat().st_ino

    store.save(claim, {"section": 1})
    assert path.stat().st_ino == inode
    store.save(claim, {"section": 2})
    assert path.stat().st_ino != inode


def test_synced(
    store: FileStore,
    claim: PidfileClaim,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The new file is on the disk before it takes the old one's place."""
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def sync(descriptor: int) -> None:
        fsync(descriptor)
        done.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    def put(*paths: str) -> None:
        replace(*paths)
        done.append("replaced")

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", put)
    store.save(claim, {"section": 1})

    assert done == [f"{path}.new", "replaced", str(path.parent)]


def test_lost_claim(store: FileStore, claim: PidfileClaim, path: Path) -> None:
    """An owner that lost the chain, and a forked child, write nothing."""
    assert result_of(lambda: store.save(claim, {"by": "a child"}) is None)
    assert not path.exists()
    claim.release()
    store.save(claim, {"by": "nobody"})
    assert not path.exists()


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", {("a",): 1}])
def test_no_json(store: FileStore, claim: PidfileClaim, path: Path, value: Any) -> None:
    """What is no JSON is left out, and told once."""
    with log() as kept:
        store.save(claim, {"strange": value, "sane": 1})
        store.save(claim, {"strange": value, "sane": 2})

    assert kept.actions() == ["state_unwritable"]
    assert "'strange'" in kept.texts()[0]
    assert loaded(path) == {"sane": 2}


PIECES = st.sampled_from(["x", '"', "\n", "é", "\U0001f600", "a b\\"])
LONG = st.builds(mul, PIECES, st.integers(0, 9_000))


@settings(max_examples=25, deadline=None)
@given(st.lists(LONG, min_size=1, max_size=20))
def test_document_is_bounded(texts: list[str]) -> None:
    """However many tasks fail for however long, it has at most 64 KiB."""
    tasks = [quick(lambda: None, name=f"t{number}") for number in range(len(texts))]
    thread = make(*tasks, backend=(backend := MemoryBackend()))
    thread.loop.tick()
    for execution, text in zip(thread.tasks, texts, strict=True):
        hang = Hang(NOON, 60, 61, text)
        execution.downtime = execution.downtime.stalled(hang)
        for number in range(60):
            at, words = NOON + number * 10_000, f"{number} {text}"
            latest = Latest(text, words, text, f"2:{number:032}", at)
            execution.downtime = execution.downtime.failed(latest, lasted=1)
            execution.history.failed(at, 0.1, text, words, text)
    thread.state.save()
    kept = backend.store(thread.chain).load()
    texts_of, problems = encode_sections(kept)

    assert len(encode({"token": b"%d" % 2**53, **texts_of})) <= 65_536
    assert problems == {}
    assert {one["failures"] for one in kept["tasks"].values()} == {60}
    for one in kept["tasks"].values():
        assert one["hours"], "what goes last"


def test_too_large(store: FileStore, claim: PidfileClaim, path: Path) -> None:
    """A section that does not fit is left out; the document can be read."""
    with log() as kept:
        store.save(claim, {"huge": list(range(2**20)), "small": [1]})

    assert kept.actions() == ["state_unwritable"]
    assert loaded(path) == {"small": [1]}
    assert path.stat().st_size < MAX_SIZE


def test_full_disk(
    store: FileStore,
    claim: PidfileClaim,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A write that fails is told once, and made up for with the next."""

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with log() as kept:
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", refuse)
            store.save(claim, {"section": 1})
            store.save(claim, {"section": 2})
        assert kept.actions() == ["state_unwritable"]
        assert "No space left on device" in kept.texts()[0]
        store.save(claim, {"section": 2})
        assert loaded(path) == {"section": 2}
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", refuse)
            store.save(claim, {"section": 3})

    assert kept.actions() == ["state_unwritable", "state_unwritable"]


def make_thing(path: Path, kind: str, target: Path) -> None:
    """Put something under a name."""
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "symlink":
        path.symlink_to(target)
    elif kind == "file":
        path.write_text("{}")


@pytest.mark.parametrize("kind", ["file", "symlink", "fifo", "directory"])
def test_foreign_temporary(
    store: FileStore, claim: PidfileClaim, path: Path, kind: str
) -> None:
    """Nothing is ever written through what stands in the way of a write."""
    victim = path.parent / "victim"
    victim.write_text("precious")
    make_thing(Path(f"{path}.new"), kind, victim)

    with log() as kept:
        store.save(claim, {"section": 1})

    assert victim.read_text() == "precious"
    assert kept.actions() == (["state_unwritable"] if kind == "directory" else [])


# Reading what an owner did not write.


@pytest.mark.parametrize("kind", ["directory", "fifo", "symlink", "file"])
def test_foreign_file(
    store: FileStore, claim: PidfileClaim, path: Path, kind: str
) -> None:
    """What is no plain file of ours is set aside, said, and never touched."""
    victim = path.parent / "victim"
    victim.write_text('{"version": 1, "section": "stolen"}')
    make_thing(path, kind, victim)
    before = len(os.listdir("/proc/self/fd"))

    with log() as kept:
        assert store.load() == {}
        store.save(claim, {"section": "mine"})

    assert kept.actions() == ["state_set_aside"]
    assert str(path) in kept.texts()[0]
    assert loaded(path) == {"section": "mine"}
    assert "stolen" in victim.read_text()
    assert os.path.lexists(f"{path}.unreadable")
    assert len(os.listdir("/proc/self/fd")) == before


@needs_root
def test_foreign_owner(store: FileStore, claim: PidfileClaim, path: Path) -> None:
    """A file of another user is not believed."""
    path.write_text('{"version": 1, "section": "forged"}')
    os.chown(path, STRANGER, STRANGER)

    with log() as kept:
        assert store.load() == {}
    assert kept.actions() == ["state_set_aside"]
    assert f"belongs to uid {STRANGER}" in kept.texts()[0]
    assert claim.check()


def test_huge(store: FileStore, path: Path) -> None:
    """A file of 50 MB is not read."""
    path.touch()
    os.truncate(path, 50_000_000)

    with log() as kept:
        assert store.load() == {}
    assert "50000000 bytes" in kept.texts()[0]
    assert Path(f"{path}.unreadable").stat().st_size == 50_000_000


def test_no_descriptor_to_read_with(
    store: FileStore, claim: PidfileClaim, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it cannot be read for now, it is left as it is, for the next try."""
    store.save(claim, {"section": 1})

    def exhausted(*_: Any) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", exhausted)
        with pytest.raises(OSError, match="Too many"):
            store.load()
    assert store.load() == {"section": 1}


STRANGE = [
    b"",
    b"null",
    b"[]",
    b"5",
    b'"text"',
    b"{}",
    b'{"version": 2}',
    b'{"version": true}',
    b'{"version": "1"}',
    b'{"version": 1',
    b"\xff\xfe\x00",
    b"\0" * 100,
    b"[" * 100_000,
    b'{"version": 1, "a": ' + b"[" * 100_000,
    b'{"version": 1, "n": ' + b"9" * 5_000 + b"}",
]


@pytest.mark.parametrize("content", STRANGE, ids=lambda content: repr(content[:30]))
def test_strange(
    store: FileStore, claim: PidfileClaim, path: Path, content: bytes
) -> None:
    """What no owner can have written is set aside, and a new file begun."""
    path.write_bytes(content)

    with log() as kept:
        assert store.load() == {}
        store.save(claim, {"section": 1})
    assert kept.actions() == ["state_set_aside"]
    assert Path(f"{path}.unreadable").read_bytes() == content
    assert loaded(path) == {"section": 1}


def test_damaged(store: FileStore, claim: PidfileClaim, path: Path) -> None:
    """Whatever is damaged in the file, it is read, or set aside; nothing raises."""
    store.save(claim, {"plan": {"next": "x", "due": 1.5}, "texts": ["é", None]})
    content, chance = path.read_bytes(), random.Random(5)
    with log():
        for length in range(len(content)):
            path.write_bytes(content[:length])
            assert store.load() in ({}, loaded(path))
        for _ in range(200):
            damaged = bytearray(content)
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            path.write_bytes(bytes(damaged))
            assert isinstance(store.load(), dict)


# What people want.


def test_steer(store: FileStore, tmp_path: Path) -> None:
    """The control file is one document, replaced in one step, for its user alone."""
    store.steer(lambda desired: {**desired, "paused": None, "wake": 7})

    control = tmp_path / "chain.control"
    assert json.loads(control.read_text()) == {"version": 1, "paused": None, "wake": 7}
    assert control.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "chain.control.lock").stat().st_mode & 0o777 == 0o600


def test_steer_at_once(tmp_path: Path) -> None:
    """However many steer at once, none is lost."""

    def wake() -> None:
        store = FileStore(tmp_path, "chain")
        for _ in range(10):
            store.steer(lambda desired: {"wake": desired.get("wake", 0) + 1})

    threads = [threading.Thread(target=wake) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert FileStore(tmp_path, "chain").desired() == {"wake": 50}


def test_control_that_cannot_be_read(store: FileStore, tmp_path: Path) -> None:
    """What was wanted last stays in force, and nothing is set aside."""
    store.steer(lambda _: {"wake": 7})
    assert store.desired() == {"wake": 7}
    control = tmp_path / "chain.control"
    control.write_text('{"version": 1, "wa')

    assert store.desired() == {"wake": 7}
    assert control.read_text() == '{"version": 1, "wa'
    control.unlink()
    assert store.desired() == {}


def test_steered_by_no_json(store: FileStore) -> None:
    """What is no JSON is an error, and changes nothing."""
    store.steer(lambda _: {"wake": 1})

    with pytest.raises(ValueError, match="cannot be written"):
        store.steer(lambda _: {"wake": object()})
    assert store.desired() == {"wake": 1}


def test_steered_for_long(
    store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who steers does not wait for ever for another one who does."""
    monkeypatch.setattr(storage, "STEER_TIMEOUT_S", 0.05)
    held: list[Any] = []

    def hold(desired: dict[str, Any]) -> dict[str, Any]:
        with pytest.raises(UnusableRunRoot, match="has been locked"):
            FileStore(tmp_path, "chain").steer(lambda other: other)
        held.append(True)
        return desired

    store.steer(hold)
    assert held


@pytest.fixture
def theirs() -> Iterator[Path]:
    """Return the RUN_ROOT of another user, who owns the chain in it."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        root = Path(folder) / "run"
        root.mkdir(0o755)
        os.chown(root, STRANGER, STRANGER)

        def own() -> bool:
            claim = acquired(PidfileOwnership(root, CHAIN))
            FileStore(root, "chain").save(claim, {"section": 1})
            return True

        assert result_of(as_user(STRANGER, own))
        yield root


@needs_root
def test_root_steers(theirs: Path) -> None:
    """Root may look at a chain of another user and steer it; who runs it can read."""
    store = FileStore(theirs, "chain")
    assert store.load() == {"section": 1}
    store.steer(lambda _: {"wake": 1})

    for name in ("chain.control", "chain.control.lock"):
        assert (theirs / name).stat().st_uid == STRANGER

    def steer_on() -> bool:
        own = FileStore(theirs, "chain")
        own.steer(lambda desired: {"wake": desired["wake"] + 1})
        return own.desired() == {"wake": 2}

    assert result_of(as_user(STRANGER, steer_on))


@needs_root
def test_another_user_does_not_steer(theirs: Path) -> None:
    """Anybody else is refused before anything is written."""
    theirs.chmod(0o777)

    def refused(do: Callable[[], Any]) -> bool:
        try:
            do()
        except UnusableRunRoot as exc:
            return f"is run by uid {STRANGER}" in str(exc)
        return False

    def steer() -> Any:
        return FileStore(theirs, "chain").steer(lambda _: {"wake": 1})

    assert result_of(as_user(STRANGER + 1, lambda: refused(steer)))
    assert sorted(os.listdir(theirs)) == ["chain.json", "chain.pid"]


def test_tracebacks_go_before_exceptions() -> None:
    """Where room is scarce, no exception is forgotten that may have to be reported."""
    tasks = [quick(lambda: None, name=f"t{number}") for number in range(10)]
    thread = make(*tasks, backend=(backend := MemoryBackend()))
    thread.loop.tick()
    for execution in thread.tasks:
        for number in range(12):
            words = f"{number} went wrong " * 20
            latest = Latest("app.Wrong", words, "File\n" * 900, f"2:{number:032}", NOON)
            execution.downtime = execution.downtime.failed(latest, lasted=1)
    thread.state.save()
    kept = backend.store(thread.chain).load()["downtimes"].values()

    assert [len(one["seen"]) for one in kept] == [12] * 10
    assert {one["latest"]["traceback"] for one in kept} == {""}
