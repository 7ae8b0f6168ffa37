"""Django's version is known before Django is imported."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import django
import pytest

from tests.setup.conftest import HERE, THREE_LINES
from yourlabs.setup.versions import django_version

TELL = "import sys; from yourlabs.setup.versions import django_version as v; {}"


def run(program: str, *paths: Path, **variables: str) -> str:
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(map(str, (*paths, HERE))),
        "YOURLABS_QUIET": "1",
        **variables,
    }
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.run(
        command, env=environ, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_imported():
    assert django_version() == django.VERSION[:2]


def test_not_imported():
    told = run(TELL.format("print(v(), 'django' in sys.modules)"))

    assert told == f"{django.VERSION[:2]} False"


def test_version_that_is_computed(tmp_path):
    package = tmp_path / "django"
    package.mkdir()
    (package / "__init__.py").write_text("VERSION = tuple(map(int, '78'))\n")

    assert run(TELL.format("print(v())"), tmp_path) == "(7, 8)"


@pytest.mark.parametrize("text", [b"VERSION = (7, 8, 9)\n# \xff\n", None])
def test_version_that_cannot_be_read(tmp_path, text):
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("django/__init__.py", "VERSION = (7, 8, 9)\n")
    if text is not None:
        (tmp_path / "django").mkdir()
        (tmp_path / "django/__init__.py").write_bytes(b"# coding: latin-1\n" + text)

    place = archive if text is None else tmp_path
    assert run(TELL.format("print(v())"), place) == "(7, 8)"


def test_no_django(tmp_path):
    hide = "sys.path[:] = [p for p in sys.path if 'site-packages' not in p]; v()"

    with pytest.raises(subprocess.CalledProcessError) as caught:
        run(TELL.format(hide), tmp_path)

    assert "No module named 'django'" in caught.value.stderr


def test_settings_are_read_without_django(tmp_path):
    (tmp_path / "settings.py").write_text(THREE_LINES)
    tell = "import sys, settings; print('django' in sys.modules)"

    assert run(tell, tmp_path, ALLOWED_HOSTS="example.com") == "False"
