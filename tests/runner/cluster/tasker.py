"""
A process that enqueues background tasks of Django, or works them off in a chain.

``python -m tests.runner.cluster.tasker DATABASE ROOT LOG migrate|enqueue|work …``
"""

from __future__ import annotations

import json
import os
import random
import sys

import django
from django.conf import settings

try:
    import pymysql
except ImportError:
    pass
else:
    pymysql.install_as_MySQLdb()


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
    from tests.runner.cluster import background

    if mode == "migrate":
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
    elif mode == "enqueue":
        first, count = map(int, arguments)
        for number in range(first, first + count):
            priority = random.randint(-100, 100)
            background.job.using(priority=priority).enqueue(number, priority)
    elif mode == "wait":
        background.wait.enqueue(arguments[0])
    else:
        from yourlabs import runner

        runner.start_chain(["yourlabs.runner.contrib.django_tasks.work"], name="work")
        print("started", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
