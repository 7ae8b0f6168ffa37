"""Tools that import settings, files that were converted, and what is said to whom."""

from __future__ import annotations

import pytest

from tests.setup.conftest import THREE_LINES, Project

MYPY = """\
[mypy]
plugins = mypy_django_plugin.main
[mypy.plugins.django-stubs]
django_settings_module = package.settings
"""

PLAIN = """\
from pathlib import Path
BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "django-insecure-" + "x" * 50
DEBUG = True
ALLOWED_HOSTS = []
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "x"}}
"""

BAD = {
    "DATABASE_URL": "postgres://u:hunter2#@h/db",
    "DEBUG": "hunter2",
    "ALLOWED_HOSTS": "https://hunter2",
}


@pytest.mark.parametrize("name", ["DATABASE_URL", "ALLOWED_HOSTS"])
def test_mypy_plugin(project: Project, name: str) -> None:
    """A variable that is wrong is named although the plugin hides the reason."""
    project.write("mypy.ini", MYPY)
    project.write("shop.py", "price: int = 1\n")
    arguments = ["-W", "ignore", "-m", "mypy", "--cache-dir", "/dev/null", "shop.py"]

    result = project.python(*arguments, check=False, **{name: BAD[name]})

    assert f"[yourlabs] {name}: expected" in result.stderr
    assert "hunter2" not in result.stdout + result.stderr


def test_mypy_plugin_needs_no_variable(project: Project) -> None:
    """A machine of CI without a .env can check types."""
    project.write("mypy.ini", MYPY)
    project.write("shop.py", "price: int = 1\n")

    project.python("-W", "ignore", "-m", "mypy", "--cache-dir", "/dev/null", "shop.py")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("shell -c 1", "DEBUG"),
        ("startapp one", "ALLOWED_HOSTS"),
        ("migrate", "DATABASE_URL"),
    ],
)
def test_commands_show_the_reason(project: Project, command: str, name: str) -> None:
    """A command that goes on without settings shows what is wrong with them."""
    result = project.manage(*command.split(), check=False, **{name: BAD[name]})

    assert result.stderr.count(f"[yourlabs] {name}: expected") == 1
    assert "hunter2" not in result.stdout + result.stderr


@pytest.mark.parametrize(
    "text", ["{plain}{lines}", "{lines}{plain}"], ids=["end", "top"]
)
def test_variables_that_lose_are_said(project: Project, text: str) -> None:
    """What is set in the environment and in the file is named once, without values."""
    project.write("package/settings.py", text.format(plain=PLAIN, lines=THREE_LINES))
    project.write(".env", "CACHE_URL=dummy://\n")

    result = project.manage(
        "check", DEBUG="0", DATABASE_URL="postgres://u:hunter2@h/db", SECRET_KEY="k"
    )

    lines = [line for line in result.stderr.splitlines() if "has its own" in line]
    assert len(lines) == 1
    for name in (
        "DEBUG (DEBUG)",
        "DATABASE_URL (DATABASES)",
        "SECRET_KEY (SECRET_KEY)",
    ):
        assert name in lines[0]
    for name in ("CACHE_URL", "ALLOWED_HOSTS", "hunter2"):
        assert name not in lines[0]


def test_nothing_lost_is_not_said(project: Project) -> None:
    """A file whose names have no variable says nothing of it."""
    project.write("package/settings.py", PLAIN + THREE_LINES)

    result = project.manage("check")

    assert "has its own" not in result.stderr


def test_mail_settings_that_win(project: Project) -> None:
    """One setting of mail in the file is told to have beaten EMAIL_URL."""
    project.write("package/settings.py", f"EMAIL_HOST = 'mail'\n{THREE_LINES}")

    # Newer versions of Django warn of such a setting, which is an error here.
    result = project.manage("check", check=False, DEBUG="1", EMAIL_URL="smtp://h")

    assert "EMAIL_URL (EMAIL_HOST)" in result.stderr


@pytest.mark.parametrize("command", ["migrate", "shell -c 1", "dumpdata auth"])
def test_root_that_was_guessed(project: Project, command: str) -> None:
    """Any command says the root that was guessed, and none one that is set."""
    project.manage("migrate", DEBUG="1")

    guessed = project.manage(*command.split(), DEBUG="1")
    text = "from pathlib import Path\nPROJECT_ROOT = Path(__file__).parent.parent\n"
    project.write("package/settings.py", text + THREE_LINES)
    given = project.manage(*command.split(), DEBUG="1")

    assert guessed.stderr.count("Setting PROJECT_ROOT") == 1
    assert "PROJECT_ROOT" not in given.stderr + given.stdout


def test_frozen_without_the_package(project: Project) -> None:
    """A frozen project has no app of setup, and starts without it."""
    frozen = project.manage("setup", "--freeze", ALLOWED_HOSTS="x.org").stdout
    project.write("package/settings.py", frozen)

    result = project.manage("check", ALLOWED_HOSTS="x.org")

    assert "yourlabs.setup'" not in frozen
    assert "[yourlabs]" not in result.stderr
