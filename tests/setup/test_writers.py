"""SQLite as the three lines set it up: many processes write, and none is locked out."""

from __future__ import annotations

import os
import sys
import threading
import time
import urllib.request
from collections.abc import Callable

import pytest

from tests.setup.conftest import THREE_LINES, Project
from tests.setup.test_projects import free_port, running

SECONDS = float(os.environ.get("WRITERS_SECONDS", "60"))

MODELS = """\
from django.db import models
class Row(models.Model):
    by = models.CharField(max_length=20)
    number = models.IntegerField(default=0)
"""

VIEWS = """\
from django.db import transaction
from django.http import HttpResponse
from django.urls import path
from package.models import Row

def write(request):
    with transaction.atomic():
        number = Row.objects.filter(by="web").count()
        Row.objects.create(by="web", number=number)
    return HttpResponse(number)

def count(request):
    rows = [Row.objects.filter(by=by).count() for by in ("web", "chain")]
    return HttpResponse(" ".join(map(str, rows)))

urlpatterns = [path("write/", write), path("count/", count)]
"""

TASKS = """\
from django.db import transaction
from package.models import Row
from yourlabs import runner

@runner.task(success_cooldown=0.05, fail_cooldown=0.05)
def work():
    with transaction.atomic():
        number = Row.objects.filter(by="chain").count()
        Row.objects.create(by="chain", number=number)
"""

APPS = """\
from django.apps import AppConfig
from yourlabs import runner

class SiteConfig(AppConfig):
    name = "package"
    def ready(self):
        runner.start_chain(["package.tasks.work"])
"""


def hammer(url: str, until: float, failures: list[str]) -> None:
    """Request a page as often as it goes."""
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=60) as response:
                response.read()
        except OSError as error:
            failures.append(str(error))


@pytest.mark.torture
@pytest.mark.timeout(300)
def test_writers_wait_for_each_other(project: Project) -> None:
    """Four workers and a chain write for a minute: no "database is locked"."""
    line = (
        'INSTALLED_APPS = [\n    "yourlabs.runner",\n    "package.apps.SiteConfig",\n'
    )
    text = THREE_LINES.replace("INSTALLED_APPS = [\n", line)
    lines = "setup.security(hsts=0)\nSECURE_SSL_REDIRECT = False\n"
    project.write("package/settings.py", f"{text}{lines}")
    project.write("package/models.py", MODELS)
    project.write("package/urls.py", VIEWS)
    project.write("package/tasks.py", TASKS)
    project.write("package/apps.py", APPS)
    project.write(
        "package/wsgi.py",
        "import os\nos.environ['DJANGO_SETTINGS_MODULE'] = 'package.settings'\n"
        "from django.core.wsgi import get_wsgi_application as get\n"
        "application = get()\n",
    )
    project.manage("makemigrations", "package")
    project.manage("migrate")
    address = f"127.0.0.1:{free_port()}"
    gunicorn = [sys.executable, "-m", "gunicorn", "-w", "4", "-b", address]
    failures: list[str] = []

    with running(project, *gunicorn, "package.wsgi", ALLOWED_HOSTS="127.0.0.1") as site:
        site.until(r"Booting worker(?s:.*Booting worker){3}")
        until = time.monotonic() + SECONDS
        arguments = (f"http://{address}/write/", until, failures)
        threads = [threading.Thread(target=hammer, args=arguments) for _ in range(8)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            # What the server says must not fill the pipe.
            site.read()
            threads[0].join(0.5)
        with urllib.request.urlopen(f"http://{address}/count/", timeout=60) as response:
            web, chain = map(int, response.read().split())
        site.read()

    print(f"{web} rows of requests, {chain} of the chain in {SECONDS:.0f} s")
    log = (project.root / "var/log/django.log").read_text() if failures else ""
    assert failures == [], log[-2000:]
    assert "is locked" not in site.output
    assert web > SECONDS
    assert chain > SECONDS


@pytest.fixture
def options(project: Project) -> Callable[..., str]:
    """What a connection of a project says of itself."""

    def ask(**variables: str) -> str:
        code = (
            "from django.db import connection\ncursor = connection.cursor()\n"
            "print(*(cursor.execute(f'pragma {name}').fetchone()[0] for name in "
            "('journal_mode', 'synchronous', 'busy_timeout')), "
            "connection.transaction_mode)"
        )
        output = project.manage("shell", "-c", code, DEBUG="1", **variables).stdout
        return output.splitlines()[-1]

    return ask


def test_connections(options: Callable[..., str]) -> None:
    """A connection has WAL, NORMAL, a busy timeout and transactions that write."""
    assert options() == "wal 1 20000 IMMEDIATE"
    assert options(DATABASE_URL="sqlite:///x.db?timeout=5") == "wal 1 5000 IMMEDIATE"
    url = "sqlite:///y.db?journal_mode=delete&synchronous=full"
    assert options(DATABASE_URL=url) == "delete 2 20000 IMMEDIATE"
