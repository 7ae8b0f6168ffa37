"""Django's version is known before Django is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import django

from tests.setup.conftest import HERE, THREE_LINES

TELL = (
    "import sys; from yourlabs.setup.versions import django_version; "
    "print(django_version(), 'django' in sys.modules)"
)


def run(program: str, *paths: Path) -> str:
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(map(str, (*paths, HERE))),
        "YOURLABS_QUIET": "1",
        "ALLOWED_HOSTS": "example.com",
    }
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.run(
        command, env=environ, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_not_imported() -> None:
    """The version is read where Django is not imported."""
    assert run(TELL) == f"{django.VERSION[:2]} False"


def test_version_that_is_computed(tmp_path: Path) -> None:
    """A version that is not written as it always was is imported."""
    (tmp_path / "django").mkdir()
    text = "VERSION = tuple(map(int, '78'))\n"
    (tmp_path / "django/__init__.py").write_text(text)

    assert run(TELL, tmp_path) == "(7, 8) True"


def test_settings_are_read_without_django(tmp_path: Path) -> None:
    """A settings module of three lines does not import Django."""
    (tmp_path / "settings.py").write_text(THREE_LINES)
    program = "import sys, settings; print('django' in sys.modules)"

    assert run(program, tmp_path) == "False"
