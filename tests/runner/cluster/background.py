"""Background tasks of Django: they are made when the settings are known."""

from __future__ import annotations

import json
import os
import time

import django

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
