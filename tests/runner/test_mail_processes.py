"""What the admins are told by processes that come and go, and are killed."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import django
import pytest

from tests.runner.smtp import Mailbox, smtp_server

ROOT = Path(__file__).resolve().parents[2]

SETTINGS = """
SECRET_KEY = "x"
INSTALLED_APPS = ["yourlabs.runner"]
ADMINS = {admins!r}
RUN_ROOT = {folder!r}
RUNNER = {{"MAX_NEW_EXCEPTIONS": 100, "RELEASE": "1"}}
if {mailers!r}:
    MAILERS = {{"default": {{
        "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "OPTIONS": {{"host": "127.0.0.1", "port": {port}, "timeout": 5}},
    }}}}
else:
    EMAIL_HOST, EMAIL_PORT = "127.0.0.1", {port}
"""

FAILING = """
import sys, time
import django
django.setup()
from datetime import timedelta
from tests.runner.test_mail import Chain
from tests.runner.states import FileState

chain = Chain(
    FileState({folder!r} + "/sync.json"),
    non_recoverable_downtime=timedelta(milliseconds=10),
).start()
print("started", flush=True)
first, number = sys.argv[1:]
with open({folder!r} + "/decided", "a") as decided:
    for one in range(int(number)):
        message = "word " + first + chr(97 + one // 26 % 26) + chr(97 + one % 26)
        chain.fail(message)
        decided.write(message + chr(10))
        decided.flush()
        time.sleep(0.02)
chain.stop()
"""

HOST = """
import django
django.setup()
import threading
from datetime import timedelta
from yourlabs import runner

ran = threading.Event()

def work():
    try:
        if {fails!r}:
            raise ValueError("the shelf is empty")
    finally:
        runs.append(1)
        if len(runs) == 2:
            ran.set()

runs = []
work = runner.task(success_cooldown=0.05, fail_cooldown=0.05)(work)
runner.start_chain([work], name="shelf")
assert ran.wait(30)
runner.stop_all(30)
"""


STAYS = """
import signal
import django
django.setup()
from yourlabs import runner

@runner.task(success_cooldown=0.05, name="shelf")
def work():
    pass

runner.start_chain([work])
print("started", flush=True)
signal.pause()
"""


class Project:
    """A folder with settings, whose scripts mail to the server of the test."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.scripts = 0
        values = {
            "folder": str(folder),
            "port": port,
            "mailers": django.VERSION >= (6, 1),
            "admins": ["a@example.com"]
            if django.VERSION >= (6, 0)
            else [("A", "a@example.com")],
        }
        (folder / "settings.py").write_text(SETTINGS.format(**values))

    def run(self, script: str, *arguments: object) -> subprocess.Popen[str]:
        """Start a script with Django's settings at hand."""
        # A name of its own: the process before may be about to read its script.
        self.scripts += 1
        path = self.folder / f"script_{self.scripts}.py"
        path.write_text(textwrap.dedent(script))
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "settings",
            "PYTHONPATH": f"{self.folder}:{ROOT}",
            "RUNNER_AUTOSTART": "1",
        }
        return subprocess.Popen(
            [sys.executable, str(path), *map(str, arguments)],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def finish(process: subprocess.Popen[str]) -> None:
    """Wait for a script that has to succeed."""
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors


def test_hosts_in_a_row(tmp_path: Path) -> None:
    """Three hosts that fail alike send one mail; the fourth, healthy, the end of it."""
    with smtp_server() as (mailbox, port):
        project = Project(tmp_path, port)
        for fails in (True, True, True, False):
            finish(project.run(HOST.format(fails=fails)))

        assert mailbox.subjects == [
            "[Django] [work] First exception caught: the shelf is empty",
            "[Django] [work] Process healed",
        ]


def test_chain_that_cannot_run(tmp_path: Path) -> None:
    """However many processes find it so, one mail tells it, and one tells its end."""
    (tmp_path / "shelf.pid").mkdir(parents=True)
    with smtp_server() as (mailbox, port):
        project = Project(tmp_path, port)
        processes = [project.run(STAYS) for _ in range(3)]
        try:
            assert mailbox.wait_for_mails(1)
            assert " cannot run: " in mailbox.subjects[0]
            assert str(tmp_path / "shelf.pid") in mailbox.mails[0].get_content()
            # Each of them has tried by now, and those that told wait for an answer.
            for process in processes:
                assert process.stdout is not None
                assert process.stdout.readline() == "started\n"
            (tmp_path / "shelf.pid").rmdir()
            assert mailbox.wait_for_mails(2)
        finally:
            for process in processes:
                process.kill()
                process.communicate()

        assert mailbox.subjects[1:] == ["[Django] [shelf] Process healed"]


def kill_at_random(folder: Path, kills: int) -> None:
    """Kill a process that fails differently each time, and look at what was told."""
    with smtp_server() as (mailbox, port):
        project = Project(folder, port)
        script = FAILING.format(folder=str(folder))
        for number in range(kills):
            first = chr(97 + number // 26) + chr(97 + number % 26)
            process = project.run(script, first, 10_000)
            assert process.stdout is not None
            assert process.stdout.readline() == "started\n"
            # The moment of the kill is what this is about: chance has to choose it.
            time.sleep(random.uniform(0.0, 0.25))
            process.send_signal(signal.SIGKILL)
            process.communicate()
        finish(project.run(script, "zz", 3))
        decided = (folder / "decided").read_text().split("\n")[:-1]
        texts = [
            f"{message['Subject']}\n{message.get_content()}"
            for message in mailbox.mails
        ]

        assert [one for one in decided if not any(one in text for text in texts)] == []
        assert duplicates(mailbox) <= kills


def duplicates(mailbox: Mailbox) -> int:
    """Return how often a failure was told that had been told before."""
    told = Counter(
        found[1]
        for subject in mailbox.subjects
        if (found := re.search(r"exception caught: (word \w+)", subject))
    )
    return sum(told.values()) - len(told)


def test_kills_lose_nothing(tmp_path: Path) -> None:
    """A process that is killed at any moment loses nothing that was decided."""
    kill_at_random(tmp_path, 3)


@pytest.mark.torture
def test_a_hundred_kills_lose_nothing(tmp_path: Path) -> None:
    """So it is a hundred times in a row."""
    kill_at_random(tmp_path, 100)
