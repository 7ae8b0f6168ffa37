"""``manage.py setup``: the listing of ``python -m yourlabs.setup``."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    """List the settings, or print them as a plain module."""

    help = "Lists each setting with its value (secrets masked) and where it is from."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add ``--freeze``."""
        text = "print an equivalent settings module that does not need setup"
        parser.add_argument("--freeze", action="store_true", help=text)

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the listing or the module."""
        name = settings.SETTINGS_MODULE
        if not name:
            raise CommandError("There is no settings module: settings were configured.")
        # In a process of its own: in this one Django has already filled in what
        # DATABASES leaves out, and that cannot be told from what the module says.
        command = [sys.executable, "-m", "yourlabs.setup", "--settings", name]
        command += ["--freeze"] * options["freeze"]
        path = os.pathsep.join(filter(None, sys.path))
        environ = {**os.environ, "PYTHONPATH": path, "YOURLABS_QUIET": "1"}
        result = subprocess.run(command, env=environ, capture_output=True, text=True)
        if result.returncode:
            raise CommandError(result.stderr.strip(), returncode=result.returncode)
        self.stdout.write(result.stdout, ending="")
