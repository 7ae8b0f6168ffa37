"""Projects for the tests of setup, and an environment that says nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from yourlabs.setup import Setup, context

HERE = Path(__file__).resolve().parent.parent.parent

VARIABLES = [
    "ADMINS",
    "ALLOWED_HOSTS",
    "CACHE_URL",
    "CSRF_TRUSTED_ORIGINS",
    "DATABASE_PASSWORD",
    "DATABASE_URL",
    "DEBUG",
    "EMAIL_URL",
    "LOG_FORMAT",
    "LOG_LEVEL",
    "SECRET_KEY",
    "SECRET_KEY_FALLBACKS",
    "STORAGE_URL",
]

THREE_LINES = """\
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "yourlabs.setup",
]
from yourlabs.setup import Setup
setup = Setup(globals())
setup.full()
"""

MANAGE = """\
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "package.settings")
from django.core.management import execute_from_command_line
if __name__ == "__main__":
    execute_from_command_line(sys.argv)
"""

URLS = """\
from django.contrib import admin
from django.http import HttpResponse
from django.urls import path

def boom(request):
    raise RuntimeError("the view broke")

urlpatterns = [
    path("", lambda request: HttpResponse("hello")),
    path("admin/", admin.site.urls),
    path("boom/", boom),
]
"""


def clean_environment(**variables: str) -> dict[str, str]:
    """The environment of a child process, with nothing that setup reads."""
    hidden = {"DJANGO_SETTINGS_MODULE", "RUN_MAIN", "YOURLABS_QUIET", "RUN_ROOT"}
    hidden |= {*VARIABLES, *(f"{name}_FILE" for name in VARIABLES)}
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    path = os.pathsep.join([str(HERE), kept.get("PYTHONPATH", "")]).strip(os.pathsep)
    return {**kept, "PYTHONPATH": path, **variables}


class Project:
    """A project on disk, and the commands to run in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("manage.py", MANAGE)
        self.write("package/__init__.py", "")
        self.write("package/settings.py", THREE_LINES)
        self.write("package/urls.py", URLS)

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def python(
        self, *arguments: str, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run Python in the project, with warnings as errors."""
        result = subprocess.run(
            [sys.executable, "-W", "error", *arguments],
            cwd=self.root,
            env=clean_environment(**variables),
            capture_output=True,
            text=True,
            timeout=60,
        )
        if check:
            assert result.returncode == 0, result.stdout + result.stderr
        return result

    def manage(
        self, *arguments: str, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run ``manage.py`` in the project."""
        return self.python("manage.py", *arguments, check=check, **variables)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of three lines, below a folder with a space in its name."""
    return Project(tmp_path / "my project")


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the environment, nothing said yet."""
    for name in (*VARIABLES, "RUN_MAIN", "WERKZEUG_RUN_MAIN", "YOURLABS_QUIET"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    monkeypatch.setattr(context, "_said", set())
    monkeypatch.setattr(context, "latest", None)


@pytest.fixture
def make_setup(tmp_path: Path) -> Callable[..., Setup]:
    """Make a ``Setup`` of a project in a folder of the test."""

    def make(**settings: object) -> Setup:
        return Setup({"PROJECT_ROOT": tmp_path, **settings})

    return make
