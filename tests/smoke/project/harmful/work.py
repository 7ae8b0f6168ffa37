"""Tasks, imported by views only when they need them."""

from __future__ import annotations

import os
from pathlib import Path

import celery

try:
    from django.tasks import task
except ImportError:  # before Django 6
    from django_tasks import task

app = celery.Celery(
    "harmful", broker=f"{os.environ.get('SMOKE_REDIS', 'memory://')}/11"
)
app.conf.task_default_queue = os.environ.get("SMOKE_QUEUE", "smoke")


@app.task
def add(one: int, two: int) -> int:
    """Add."""
    return one + two


@task
def leave_a_file() -> None:
    """Do what shows that a task has run."""
    Path(os.environ["SMOKE_PLACE"], "task.txt").write_text("run")
