"""RUN_ROOT is examined for who may write to it, before anything in it is trusted."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.runner.fakes import log
from tests.runner.test_ownership import CHAIN, acquired
from tests.runner.test_pidfile import STRANGER, as_user, needs_root, result_of
from yourlabs.runner.exceptions import UnusableRunRoot
from yourlabs.runner.ownership import root as roots
from yourlabs.runner.ownership.pidfile import PidfileOwnership
from yourlabs.runner.ownership.root import examine_root, make_run_root

GROUP = 54_321


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a RUN_ROOT."""
    root = tmp_path / "run of mine"
    root.mkdir(0o750)
    return root


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Return the users of the system, by name, with their first groups."""
    found = {"root": 0, "me": os.getegid()}

    def users() -> list[SimpleNamespace]:
        return [
            SimpleNamespace(
                pw_name=name,
                pw_gid=gid,
                pw_uid={"root": 0, "me": os.geteuid()}.get(name, 77),
            )
            for name, gid in found.items()
        ]

    monkeypatch.setattr(roots.pwd, "getpwall", users)
    return found


def members(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Have a group with these members."""
    group = SimpleNamespace(gr_mem=list(names))
    monkeypatch.setattr(roots.grp, "getgrgid", lambda gid: group)


def test_sane(root: Path) -> None:
    """There is nothing wrong with a directory of one's own, or one that is not made."""
    assert examine_root(root) == []
    assert examine_root(root / "missing") == []


def test_everybody(root: Path) -> None:
    """One that everybody may write to is an error; the command that is named mends it.

    Nothing starts there, and nothing in it is made.
    """
    root.chmod(0o777)
    [problem] = examine_root(root)

    assert problem.severity == "error"
    assert f"RUN_ROOT {root} can be written to by everybody" in problem.text
    with pytest.raises(UnusableRunRoot, match="by everybody") as caught:
        PidfileOwnership(root, CHAIN).acquire()
    assert problem.command in str(caught.value)
    assert os.listdir(root) == []
    subprocess.run(shlex.split(problem.command), check=True)
    assert examine_root(root) == []
    acquired(PidfileOwnership(root, CHAIN)).release()


def test_sticky(root: Path) -> None:
    """Of a directory like ``/tmp`` it is not said to change its mode."""
    root.chmod(0o1777)
    [problem] = examine_root(root)

    assert problem.severity == "error"
    assert "a directory in there that is the user's own" in problem.text
    assert problem.command.startswith("mkdir -m 750 ")


def test_private_group(
    root: Path, users: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group with nobody else in it may write: umask 002 makes it so."""
    members(monkeypatch, "me")
    root.chmod(0o770)

    assert examine_root(root) == []
    assert users["me"] == os.getegid()


def test_unknown_group(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group that the system does not know of has no members."""

    def unknown(gid: int) -> None:
        raise KeyError(gid)

    monkeypatch.setattr(roots.grp, "getgrgid", unknown)
    monkeypatch.setattr(roots.pwd, "getpwall", list)
    root.chmod(0o770)

    assert examine_root(root) == []


@pytest.mark.parametrize("how", ["member", "first group"])
def test_shared_group(
    root: Path, users: dict[str, int], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A group with others in it is a warning, logged once a process, that names them.

    Chains run there.
    """
    if how == "member":
        members(monkeypatch, "me", "ann")
    else:
        members(monkeypatch)
        users["ann"] = os.getegid()
    root.chmod(0o770)
    [problem] = examine_root(root)

    assert problem.severity == "warning"
    assert "are others than its owner: ann." in problem.text
    with log() as kept:
        acquired(PidfileOwnership(root, CHAIN)).release()
        acquired(PidfileOwnership(root, CHAIN)).release()
    assert kept.actions() == ["run_root_shared"]
    assert problem.command in kept.texts()[0]
    subprocess.run(shlex.split(problem.command), check=True)
    assert examine_root(root) == []


@pytest.fixture
def shared() -> Iterator[Path]:
    """Return a RUN_ROOT of root that a group may write to."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        root = Path(folder) / "run"
        root.mkdir()
        os.chown(root, 0, GROUP)
        root.chmod(0o2770)
        yield root


@needs_root
def test_directory_of_root(shared: Path) -> None:
    """A user who is the only one in the group runs chains there."""
    os.chown(shared, 0, STRANGER)
    shared.chmod(0o2770)

    def own() -> bool:
        return acquired(PidfileOwnership(shared, CHAIN)).check()

    assert result_of(as_user(STRANGER, own))
    assert (shared / "chain.pid").stat().st_uid == STRANGER


def test_made(root: Path) -> None:
    """A directory that is missing is made; where it cannot be, the error says so."""
    make_run_root(root / "a" / "b")
    assert (root / "a" / "b").stat().st_mode & 0o777 == 0o750

    (root / "file").touch()
    for place in (root / "file", root / "file" / "below"):
        with pytest.raises(UnusableRunRoot, match="cannot be made"):
            make_run_root(place)
