"""A command that does nothing: what ``manage.py`` itself needs."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand

from tests.benchmarks.measure import reply


class Command(BaseCommand):
    """Say when it is reached."""

    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Say it."""
        reply(time.monotonic())
