"""Projects of three lines, from outside: what their commands print and do."""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.setup.conftest import THREE_LINES, Project, clean_environment

DEADLINE = 60

HERE = Path(sys.executable).parent

DUMP = """\
import json, os
from django.apps import AppConfig
from django.conf import settings

class DumpConfig(AppConfig):
    name = "dump"

    def ready(self):
        values = {name: repr(getattr(settings, name))
                  for name in dir(settings) if name.isupper()}
        path = os.environ["DUMP_TO"] + f".{os.getpid()}"
        with open(path, "w") as file:
            json.dump(values, file)
        os.replace(path, os.environ["DUMP_TO"])
"""

CELERY = """\
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "package.settings")
from celery import Celery
app = Celery("package", broker="memory://")
app.config_from_object("django.conf:settings", namespace="CELERY")
"""


def test_check_deploy(project: Project) -> None:
    """A project of three lines has nothing that check --deploy complains about."""
    result = project.manage(
        "check", "--deploy", "--fail-level", "INFO", ALLOWED_HOSTS="example.com"
    )

    assert "no issues (0 silenced)" in result.stdout
    assert result.stderr == f"[yourlabs] Setting PROJECT_ROOT: {project.root}\n"


def test_check_deploy_without_hosts(project: Project) -> None:
    """Without ALLOWED_HOSTS check --deploy fails, and names the variable."""
    result = project.manage("check", "--deploy", check=False)

    assert result.returncode != 0
    assert "(yourlabs_setup.E001) ALLOWED_HOSTS is not set" in result.stderr
    assert result.stderr.count("[yourlabs]") == 1


@pytest.mark.servers
def test_development(project: Project) -> None:
    """In development a project migrates, collects its files and runs its tests."""
    project.write(
        "package/tests.py",
        "from django.test import TestCase\n"
        "class Tests(TestCase):\n"
        "    def test_home(self):\n"
        "        assert self.client.get('/').content == b'hello'\n"
        "        assert self.client.get('/admin/', follow=True).status_code == 200\n",
    )

    project.manage("migrate", DEBUG="1")
    tests = project.manage("test", DEBUG="1")
    collected = project.manage("collectstatic", "--noinput", DEBUG="1")

    assert "OK" in tests.stderr
    assert "static files copied" in collected.stdout
    assert (project.root / "var/db.sqlite3").exists()
    assert (project.root / "var/static/admin/css/base.css").exists()


@pytest.mark.servers
def test_collecting_in_a_build(project: Project) -> None:
    """An image is built without an environment: files get their hashes."""
    project.manage("collectstatic", "--noinput")

    names = [path.name for path in (project.root / "var/static/admin/css").iterdir()]
    assert any(re.fullmatch(r"base\.[0-9a-f]{12}\.css", name) for name in names)


class Process:
    """A process that goes on until the test is over, and what it prints."""

    def __init__(self, project: Project, *command: str, **variables: str) -> None:
        self.output = ""
        self.process = subprocess.Popen(
            command,
            cwd=project.root,
            env=clean_environment(PYTHONUNBUFFERED="1", **variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)

    def until(self, pattern: str) -> str:
        """Wait until the output matches; return what the first group matched."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + DEADLINE
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while not (found := re.search(pattern, self.output)):
                assert time.monotonic() < deadline, self.output
                assert self.process.poll() is None or self.read(), self.output
                if selector.select(timeout=1):
                    self.read()
        return found[found.re.groups]

    def read(self) -> str:
        assert self.process.stdout is not None
        chunk = (self.process.stdout.read() or b"").decode()
        self.output += chunk
        return chunk

    def wait_for(self, path: Path) -> None:
        """Wait until a file is there."""
        deadline = time.monotonic() + DEADLINE
        while not path.exists():
            self.read()
            assert time.monotonic() < deadline, self.output
            assert self.process.poll() is None, self.output
            time.sleep(0.05)

    def stop(self) -> None:
        for wanted in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, wanted)
                self.process.wait(10)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
            break
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def running(project: Project, *command: str, **variables: str) -> Iterator[Process]:
    process = Process(project, *command, **variables)
    try:
        yield process
    finally:
        process.stop()


def free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def fetch(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.status, response.read().decode()


@pytest.mark.servers
def test_runserver(project: Project) -> None:
    """Without any environment runserver serves pages, the admin and its files."""
    project.manage("migrate")
    port = free_port()

    with running(
        project, sys.executable, "-W", "error", "manage.py", "runserver", str(port)
    ) as server:
        server.until(r"Quit the server")
        home = fetch(f"http://127.0.0.1:{port}/")
        login = fetch(f"http://127.0.0.1:{port}/admin/login/")
        css = fetch(f"http://127.0.0.1:{port}/static/admin/css/base.css")

    assert home == (200, "hello")
    assert login[0] == 200
    assert css[0] == 200
    assert server.output.count("[yourlabs]") == 1


@pytest.mark.servers
def test_same_settings_everywhere(project: Project, tmp_path: Path) -> None:
    """Under every host a project has the same settings."""
    project.write("dump/__init__.py", "")
    project.write("dump/apps.py", DUMP)
    project.write(
        "package/settings.py", THREE_LINES.replace("[\n", '[\n    "dump",\n', 1)
    )
    project.write("package/celery.py", CELERY)
    for kind in ("wsgi", "asgi"):
        project.write(
            f"package/{kind}.py",
            "import os\n"
            "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'package.settings')\n"
            f"from django.core.{kind} import get_{kind}_application\n"
            f"application = get_{kind}_application()\n",
        )
    project.write("test_it.py", "def test_nothing(client): client.get('/')\n")
    environ = {"ALLOWED_HOSTS": "example.com,testserver", "EMAIL_URL": "smtp://u:p@h"}
    python, port = sys.executable, str(free_port())
    hosts = {
        "manage": [python, "manage.py", "shell", "-c", "import time; time.sleep(60)"],
        "gunicorn": [
            python, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "package.wsgi",
        ],
        "uvicorn": [
            python, "-m", "uvicorn", "--port", port, "package.asgi:application",
        ],
        "celery": [
            python, "-m", "celery", "-A", "package.celery", "worker", "-P", "solo",
        ],
        "pytest": [
            python, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider",
            "--ds=package.settings", "test_it.py",
        ],
    }  # fmt: skip

    settings = {}
    for name, command in hosts.items():
        path = tmp_path / f"{name}.json"
        host = Process(project, *command, DUMP_TO=str(path), **environ)
        if name == "pytest":
            host.process.wait(DEADLINE)
        try:
            if name != "pytest":
                host.wait_for(path)
        finally:
            host.stop()
        settings[name] = json.loads(path.read_text())

    for name in hosts:
        assert settings[name] == settings["manage"], name
    assert settings["manage"]["DEBUG"] == "False"


@pytest.mark.services
def test_in_a_browser(project: Project, tmp_path: Path) -> None:
    """In a browser one logs in to the admin of runserver and sees its styles."""
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    project.manage("migrate")
    project.manage(
        "createsuperuser",
        "--noinput",
        DJANGO_SUPERUSER_USERNAME="me",
        DJANGO_SUPERUSER_PASSWORD="correct horse",
        DJANGO_SUPERUSER_EMAIL="me@example.com",
    )
    options = webdriver.ChromeOptions()
    for flag in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={tmp_path / 'browser'}",
    ):
        options.add_argument(flag)
    port = free_port()

    with running(
        project, sys.executable, "manage.py", "runserver", str(port)
    ) as server:
        server.until(r"Quit the server")
        browser = webdriver.Chrome(options, Service("/usr/bin/chromedriver"))
        try:
            browser.get(f"http://127.0.0.1:{port}/admin/")
            browser.find_element(By.NAME, "username").send_keys("me")
            browser.find_element(By.NAME, "password").send_keys("correct horse")
            header = browser.find_element(By.ID, "header")
            colour = header.value_of_css_property("background-color")
            browser.find_element(By.CSS_SELECTOR, "[type=submit]").click()
            WebDriverWait(browser, DEADLINE).until(
                lambda page: page.find_elements(By.ID, "user-tools")
            )
            text = browser.find_element(By.ID, "user-tools").text
            errors = [
                entry
                for entry in browser.get_log("browser")
                if entry["level"] == "SEVERE" and "favicon" not in entry["message"]
            ]
        finally:
            browser.quit()

    assert "WELCOME, ME" in text.upper()
    assert colour not in ("rgba(0, 0, 0, 0)", "transparent")
    assert errors == []
