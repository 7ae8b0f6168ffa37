"""No secret key is left behind by a step of a build."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.setup.conftest import THREE_LINES, Project
from tests.setup.test_serving import WSGI
from yourlabs.setup import Setup, security

MakeSetup = Callable[..., Setup]

KEY = """\
import django; django.setup()
from django.conf import settings
print(settings.SECRET_KEY)
"""

OWN_COMMAND = """\
from django.core.management.base import BaseCommand
class Command(BaseCommand):
    def handle(self, *args, **options):
        self.stdout.write("built")
"""


@pytest.mark.parametrize(
    "command",
    [
        "manage.py compilemessages",
        "manage.py migrate",
        "manage.py check --deploy",
        "manage.py createcachetable",
        "manage.py setup",
        "manage.py bundle",
        "-m django findstatic x.css --settings=package.settings",
        "-m yourlabs.setup",
    ],
)
def test_commands_make_no_key(project: Project, command: str) -> None:
    """A command of a build, a project's own too, writes no key, whatever is set."""
    project.write("package/management/commands/bundle.py", OWN_COMMAND)
    project.write(
        "package/settings.py", THREE_LINES.replace("[\n", '[\n    "package",\n', 1)
    )

    result = project.python(*command.split(), check=False, ALLOWED_HOSTS="x.org")

    assert not (project.root / "var/secret_key").exists()
    is_said = "SECRET_KEY is not set" in result.stderr
    assert is_said is command.endswith("bundle"), result.stderr


@pytest.mark.parametrize(
    "command",
    [
        "manage.py check",
        "manage.py shell -c 1",
        "-c django.setup()",
        "-c settings.DEBUG",
    ],
)
def test_what_could_not_serve_makes_no_key(project: Project, command: str) -> None:
    """A script of a build, which knows no hosts yet, writes no key."""
    arguments = command.split()
    if arguments[0] == "-c":
        arguments[1] = (
            f"import django; from django.conf import settings; {arguments[1]}"
        )
    variables = {"DJANGO_SETTINGS_MODULE": "package.settings"}

    project.python(*arguments, **variables)
    is_kept_without = (project.root / "var/secret_key").exists()
    project.python(*arguments, DEBUG="1", **variables)

    assert not is_kept_without
    assert (project.root / "var/secret_key").exists()


@pytest.mark.parametrize("command", ["collectstatic --noinput", "createcachetable"])
def test_containers_have_keys_of_their_own(project: Project, command: str) -> None:
    """Two containers of the image that a command was run in do not share a key."""
    project.manage(*command.split())
    keys = set()
    for name in ("one", "two"):
        container = Project(project.root.parent / name)
        shutil.rmtree(container.root)
        shutil.copytree(project.root, container.root)
        environ = {"DJANGO_SETTINGS_MODULE": "package.settings", "ALLOWED_HOSTS": "x"}
        keys.add(container.python("-c", KEY, **environ).stdout)
        assert container.python("-c", KEY, **environ).stdout in keys

    assert len(keys) == 2


def test_configuration_is_checked_without_a_key(project: Project) -> None:
    """A server that only checks its configuration writes no key."""
    project.write("package/wsgi.py", WSGI.format(kind="wsgi"))

    gunicorn = ["gunicorn", "--check-config", "package.wsgi"]
    project.python("-W", "ignore", "-m", *gunicorn, ALLOWED_HOSTS="example.com")

    assert not (project.root / "var/secret_key").exists()


def test_first_check_keeps_a_key(project: Project) -> None:
    """The command that a person begins with makes the key, and keeps it."""
    project.manage("check", ALLOWED_HOSTS="example.com")

    assert (project.root / "var" / "secret_key").exists()


def test_command_reads_the_key_that_is_kept(project: Project) -> None:
    """A command has the key of the site where there is one."""
    project.write("var/secret_key", "kept")

    result = project.manage("shell", "-c", KEY, DEBUG="1")

    assert result.stdout.splitlines()[-1] == "kept"


@pytest.fixture
def container(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is in a container, as far as anybody can tell."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")


def warned(make_setup: MakeSetup, capsys: pytest.CaptureFixture[str]) -> bool:
    setup = make_setup(DEBUG=True)
    setup.security()
    assert setup.settings["SECRET_KEY"] == "of the image"
    return "older than this container" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("age", "expected"), [("old", True), ("new", False), ("fixed", True)]
)
def test_key_of_an_image(
    make_setup: MakeSetup,
    container: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    age: str,
    expected: bool,
) -> None:
    """A key older than the container, or one it cannot write, is warned about."""
    path = make_setup().root / "var/secret_key"
    path.parent.mkdir()
    path.write_text("of the image")
    if age == "old":
        os.utime(path, (0, 0))
    if age == "fixed":
        monkeypatch.setattr(security.os, "access", lambda *args, **kwargs: False)

    assert warned(make_setup, capsys) is expected


def test_key_on_a_volume(
    tmp_path: Path, container: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old key on another file system than the root's is the site's own."""
    path = Path("/dev/shm") / f"{tmp_path.name}-key"
    path.write_text("key")
    os.utime(path, (0, 0))
    try:
        assert security.came_with_image(path) is (
            os.stat("/dev/shm").st_dev == os.stat("/").st_dev
        )
    finally:
        path.unlink()
