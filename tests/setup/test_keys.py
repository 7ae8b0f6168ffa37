"""The secret key: one for all processes, whole, private, never printed."""

from __future__ import annotations

import errno
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.setup.conftest import Project, clean_environment
from yourlabs.setup import Setup, environment
from yourlabs.setup import security as keys
from yourlabs.setup.values import Invalid

MakeSetup = Callable[..., Setup]

NEW = "n" * 50


def test_key_is_kept(tmp_path: Path) -> None:
    """A key is kept once, and for nobody else to read."""
    path = tmp_path / "var/secret_key"

    key = keys.kept_key(path, NEW)

    assert key == NEW
    assert keys.kept_key(path, "another") == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret_key"]


def test_key_of_the_environment(
    make_setup: MakeSetup, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A key in the environment is used, and none is made."""
    monkeypatch.setenv("SECRET_KEY", "from the environment")
    setup = make_setup(DEBUG=True)

    setup.security()

    assert setup.settings["SECRET_KEY"] == "from the environment"
    assert not (tmp_path / "var").exists()


def test_key_given_in_var(make_setup: MakeSetup, tmp_path: Path) -> None:
    """A key that somebody put into var is used as it is."""
    (tmp_path / "var").mkdir()
    (tmp_path / "var/secret_key").write_text("mine\n")
    setup = make_setup(DEBUG=True)

    setup.security()

    assert setup.settings["SECRET_KEY"] == "mine"


@pytest.mark.parametrize("text", ["", "\n"])
def test_empty_key(tmp_path: Path, text: str) -> None:
    """A file without a key, of a process that was killed perhaps, is given one."""
    path = tmp_path / "secret_key"
    path.write_text(text)

    key = keys.kept_key(path, NEW)

    assert key == NEW
    assert keys.kept_key(path, None) == key


def test_key_that_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that another process is about to write is waited for."""
    path = tmp_path / "secret_key"
    monkeypatch.setattr(environment, "lock", lambda file: path.write_text("theirs"))

    assert keys.kept_key(path, NEW) == "theirs"


def test_unreadable_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of another user is an error, not another key."""
    path = tmp_path / "secret_key"
    path.touch()

    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)

    with pytest.raises(Invalid, match="cannot be read \\(Permission denied\\)"):
        keys.kept_key(path, NEW)


def test_folder_that_cannot_be_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that may not exist at all is as good as none."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)

    with pytest.raises(PermissionError):
        keys.kept_key(tmp_path / "secret_key", NEW)


def test_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system without locks the key is kept all the same."""

    def refuse(*args: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    path = tmp_path / "secret_key"

    key = keys.kept_key(path, NEW)

    assert path.read_text().strip() == key == NEW


def test_disk_that_is_full(tmp_path: Path) -> None:
    """A key that cannot be written is none, and is made when there is space."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            keys.kept_key(tmp_path / "secret_key", NEW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert keys.kept_key(tmp_path / "secret_key", None) is None
    assert keys.kept_key(tmp_path / "secret_key", NEW)


def test_twenty_processes_agree(project: Project) -> None:
    """Processes that start at once on an empty var have one key and its folders."""
    program = (
        "import sys; sys.stdin.readline(); from package import settings; "
        "print(settings.SECRET_KEY)"
    )
    environment = clean_environment(ALLOWED_HOSTS="example.com")
    children = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", program],
            cwd=project.root,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(20)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()

    results = [child.communicate(timeout=60) for child in children]

    said = f"[yourlabs] Setting PROJECT_ROOT: {project.root}\n"
    assert {error for _, error in results} == {said}
    assert len({output for output, _ in results}) == 1
    names = {entry.name for entry in (project.root / "var").iterdir()}
    assert names == {"log", "media", "run", "secret_key", "static"}


def as_owner_without_privileges() -> list[str]:
    """A command that takes from root the right to write where it must not."""
    if os.geteuid() != 0:
        return []
    command = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("root, and setpriv cannot take its privileges")
    return command


@pytest.mark.parametrize("mode", [0o555, 0o000], ids=oct)
def test_read_only_var(project: Project, mode: int) -> None:
    """A var that cannot be written is one warning, and the project starts."""
    command = as_owner_without_privileges()
    var = project.root / "var"
    var.mkdir()
    var.chmod(mode)

    result = subprocess.run(
        [*command, sys.executable, "-W", "error", "manage.py", "check", "--deploy"],
        cwd=project.root,
        env=clean_environment(ALLOWED_HOSTS="example.com", DATABASE_URL="sqlite://"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    var.chmod(0o755)

    assert result.returncode == 0, result.stderr
    said = [line for line in result.stderr.splitlines() if "[yourlabs]" in line]
    assert len(said) == 2, result.stderr
    assert "Warning: cannot write" in said[1]
    assert list(var.iterdir()) == []


def test_var_that_is_a_file(
    make_setup: MakeSetup, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a file in the place of var there is a key all the same."""
    (tmp_path / "var").touch()
    setup = make_setup(DEBUG=True)

    setup.full()
    key = setup.settings["SECRET_KEY"]
    setup.full()

    assert setup.settings["SECRET_KEY"] == key
    assert capsys.readouterr().err.count("Warning") == 1
