"""Hosts are demanded of what serves requests, and of nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.setup.conftest import THREE_LINES, Project, clean_environment
from tests.setup.test_projects import CELERY, running

WSGI = """\
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "package.settings")
from django.core.{kind} import get_{kind}_application
application = get_{kind}_application()
"""

TASK = "def work():\n    print('it ran')\n"

ALONE = THREE_LINES.replace('    "yourlabs.setup",\n', "")


@pytest.fixture
def site(project: Project) -> Project:
    """A project that is migrated, without hosts."""
    runner = THREE_LINES.replace("[\n", '[\n    "yourlabs.runner",\n', 1)
    project.write("package/settings.py", runner)
    for kind in ("wsgi", "asgi"):
        project.write(f"package/{kind}.py", WSGI.format(kind=kind))
    project.write("package/tasks.py", TASK)
    project.manage("migrate")
    return project


@pytest.mark.parametrize(
    "command",
    [
        "clearsessions",
        "dumpdata auth",
        "check",
        "shell -c print()",
        "createsuperuser --noinput --username me --email me@example.com",
        "run_functions package.tasks.work --once",
        "sendtestemail me@example.com",
        "diffsettings",
        "makemigrations --check",
        "setup",
    ],
)
def test_commands_run_without_hosts(site: Project, command: str) -> None:
    """A command that serves nothing needs no ALLOWED_HOSTS."""
    site.manage(*command.split(), EMAIL_URL="console://")


def test_check_says_it(site: Project) -> None:
    """Plain check mentions the missing hosts, and succeeds."""
    result = site.manage("check")

    assert "(yourlabs_setup.I001) ALLOWED_HOSTS is not set" in result.stderr


def test_celery_worker_needs_no_hosts(site: Project) -> None:
    """A worker of Celery starts without ALLOWED_HOSTS."""
    site.write("package/celery.py", CELERY)
    command = [sys.executable, "-m", "celery", "-A", "package.celery", "worker"]

    with running(site, *command, "-P", "solo") as worker:
        worker.until(r"celery@")


@pytest.mark.parametrize("settings", [THREE_LINES, ALONE], ids=["app", "no app"])
@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_applications_demand_hosts(site: Project, kind: str, settings: str) -> None:
    """Making an application says what is missing, whoever makes it."""
    site.write("package/settings.py", settings)

    result = site.python("-c", f"import package.{kind}", check=False)
    served = site.python("-c", f"import package.{kind}", ALLOWED_HOSTS="example.com")

    assert result.returncode == 1
    assert "ImproperlyConfigured: ALLOWED_HOSTS: not set" in result.stderr
    assert "ALLOWED_HOSTS: not set" not in served.stderr


@pytest.mark.servers
@pytest.mark.parametrize(
    "command",
    [
        ["gunicorn", "-b", "127.0.0.1:0", "package.wsgi"],
        ["uvicorn", "--port", "0", "package.asgi:application"],
        ["waitress", "--listen=127.0.0.1:0", "package.wsgi:application"],
    ],
    ids=lambda command: command[0],
)
def test_servers_do_not_start_without_hosts(site: Project, command: list[str]) -> None:
    """A server ends at once with the reason."""
    result = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=site.root,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert result.returncode != 0
    assert "ALLOWED_HOSTS: not set" in result.stdout + result.stderr


def test_runserver_without_debug_demands_hosts(site: Project) -> None:
    """The server of development says what is missing when DEBUG is off."""
    result = site.manage("runserver", "0", check=False, DEBUG="0")

    assert result.returncode != 0
    assert "ALLOWED_HOSTS: not set, and DEBUG is off" in result.stderr


def test_file_that_says_no_hosts(site: Project) -> None:
    """A file with an empty list of its own is believed."""
    site.write("package/settings.py", f"ALLOWED_HOSTS = []\n{THREE_LINES}")

    site.python("-c", "import package.wsgi")


def test_hosts_after_the_three_lines(site: Project) -> None:
    """Hosts that the module sets at its end are hosts."""
    site.write("package/settings.py", f"{THREE_LINES}ALLOWED_HOSTS = ['example.com']\n")

    site.python("-c", "import package.wsgi")


HTTPS = "https://example.com/"


@pytest.mark.parametrize(
    ("line", "variables", "expected"),
    [
        ("", {}, []),
        ("setup.security(proxy=True)", {"DYNO": "web.1"}, []),
        ("", {"DYNO": "web.1"}, ["W001"]),
        ("", {"K_SERVICE": "site"}, ["W001"]),
        ("", {"PORT": "8080"}, ["W001"]),
        ("", {"GAE_ENV": "standard"}, ["W001"]),
        ("USE_X_FORWARDED_HOST = True", {}, ["W001"]),
        ("USE_X_FORWARDED_PORT = True", {}, ["W001"]),
        ("SECURE_PROXY_SSL_HEADER = ('X-Forwarded-Proto', 'https')", {}, ["W002"]),
        ("SECURE_SSL_REDIRECT = False", {"DYNO": "web.1"}, []),
    ],
)
def test_proxy_that_was_forgotten(
    project: Project, line: str, variables: dict[str, str], expected: list[str]
) -> None:
    """check --deploy finds an endless redirect where it can be seen."""
    project.write("package/settings.py", f"{THREE_LINES}{line}\n")

    result = project.manage("check", "--deploy", ALLOWED_HOSTS="x.org", **variables)

    found = [w for w in ("W001", "W002") if f"yourlabs_setup.{w}" in result.stderr]
    assert found == expected
