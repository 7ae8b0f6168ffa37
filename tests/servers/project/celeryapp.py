"""A Celery app that loads the project."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

app = Celery("project", broker="memory://")
app.autodiscover_tasks()
