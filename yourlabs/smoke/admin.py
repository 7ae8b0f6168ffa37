"""The admin pages of remembered failures: to read, search and run again."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from django.conf import ENVIRONMENT_VARIABLE
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import URLPattern

from yourlabs.smoke.models import FailUrl

MAX_AGAIN = 50
"""How many failures one action may request again."""

TIMEOUT = 120
"""Seconds after which running again is given up."""


@admin.register(FailUrl)
class FailUrlAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Shows failures; nobody can add or change one by hand."""

    list_display = ("where", "role", "status", "reason", "count", "last_seen")
    list_filter = ("role", "status", "method", "exception_class", "last_seen")
    search_fields = ("pattern", "name", "url", "reason", "exception_text", "tags")
    date_hierarchy = "last_seen"
    actions = ("run_again",)

    @admin.display(description="URL", ordering="url")
    def where(self, failure: FailUrl) -> str:
        """The URL, or the route when no URL could be written."""
        return failure.url or failure.pattern

    def get_urls(self) -> list[URLPattern]:
        """All pages but the one to add a row, which nobody may see."""
        return [
            pattern
            for pattern in super().get_urls()
            if not str(pattern.name).endswith("_add")
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never: only a run adds failures."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: a failure is a record of what happened."""
        return False

    @admin.action(description="Run again", permissions=["view"])
    def run_again(self, request: HttpRequest, queryset: QuerySet[FailUrl]) -> None:
        """Request the patterns of some failures again, in a process of its own.

        A run replaces settings for its whole process, which must not happen in
        one that serves other people.
        """
        chosen = list(queryset[: MAX_AGAIN + 1])
        if len(chosen) > MAX_AGAIN:
            text = f"At most {MAX_AGAIN} failures can be run again at once."
            self.message_user(request, text, messages.ERROR)
            return
        patterns = sorted({failure.pattern for failure in chosen})
        code, output = run_in_process(patterns)
        level = {0: messages.SUCCESS, 1: messages.WARNING}.get(code, messages.ERROR)
        last = output.strip().splitlines()[-1:] or ["The run said nothing."]
        self.message_user(request, last[0], level)


def run_in_process(patterns: list[str]) -> tuple[int, str]:
    """Run the command for some routes.

    The rows exist because a run on this database was allowed before, so this
    one is allowed too.

    Returns:
        The exit code, 2 when the process could not be run, and what it said.
    """
    command = [sys.executable, "-m", "django", "smoke", "--production", "-v0"]
    for pattern in patterns:
        command += ["--only", pattern if pattern.startswith("/") else f"/{pattern}"]
    environment = {
        **os.environ,
        ENVIRONMENT_VARIABLE: os.environ.get(ENVIRONMENT_VARIABLE, ""),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 2, f"The smoke tests could not be run again: {error}"
    return done.returncode, done.stdout if done.returncode < 2 else done.stderr
