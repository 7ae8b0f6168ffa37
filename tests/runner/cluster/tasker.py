"""
A process that enqueues background tasks of Django, or works them off in a chain.

``python -m tests.runner.cluster.tasker DATABASE ROOT LOG migrate|enqueue|work …``
"""

from __future__ import annotations

import json
import os
import random
import sys
import time

import django
from django.conf import settings

try:
    import pymysql
except ImportError:
    pass
else:
    pymysql.install_as_MySQLdb()

if django.VERSION >= (6, 0):
    from django.tasks import task
else:
    from django_tasks import task


@task()
def job(number: int, priority: int) -> int:
    """Write down that it was begun."""
    from yourlabs import runner

    line = json.dumps({"number": number, "priority": priority, "pid": os.getpid()})
    descriptor = os.open(os.environ["LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)
    time.sleep(0.002)
    if number % 10 == 0:
        raise ValueError(number)
    return runner.token()


@task()
def wait(path: str) -> str:
    """Wait for a file."""
    descriptor = os.open(os.environ["LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, b'{"number": -1, "priority": 0, "pid": 0}\n')
    os.close(descriptor)
    while not os.path.exists(path):
        time.sleep(0.01)
    return "waited"


def main(database: str, root: str, log: str, mode: str, *arguments: str) -> None:
    """Do what `mode` says."""
    os.environ["LOG"] = log
    backend = os.environ.get("BACKEND", "yourlabs.runner.storage.file")
    settings.configure(
        DATABASES={"default": json.loads(database)},
        INSTALLED_APPS=["yourlabs.runner", "yourlabs.runner.cluster", "django_tasks_db"]
        + ["django_tasks"] * (django.VERSION < (6, 0)),
        TASKS={"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}},
        RUN_ROOT=root,
        RUNNER={
            "EMAIL": False,
            "BACKEND": backend,
            "TASKS": {
                "yourlabs.runner.contrib.django_tasks.work": {
                    "success_cooldown": 0.1,
                    "fail_cooldown": 0.1,
                }
            },
        },
        USE_TZ=True,
    )
    django.setup()
    from tests.runner.cluster import tasker

    if mode == "migrate":
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
    elif mode == "enqueue":
        first, count = map(int, arguments)
        for number in range(first, first + count):
            priority = random.randint(-100, 100)
            tasker.job.using(priority=priority).enqueue(number, priority)
    elif mode == "wait":
        tasker.wait.enqueue(arguments[0])
    else:
        from yourlabs import runner

        runner.start_chain(["yourlabs.runner.contrib.django_tasks.work"], name="work")
        print("started", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
