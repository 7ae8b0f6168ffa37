"""``manage.py setup``: the listing of ``python -m yourlabs.setup``."""

from __future__ import annotations

import importlib
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from yourlabs.setup.freezing import CannotFreeze, freeze
from yourlabs.setup.listing import listing


class Command(BaseCommand):
    """List the settings, or print them as a plain module."""

    help = "Lists each setting with its value (secrets masked) and where it is from."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add ``--freeze``."""
        parser.add_argument(
            "--freeze",
            action="store_true",
            help="print an equivalent settings module that does not need setup",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the listing or the module."""
        module = importlib.import_module(settings.SETTINGS_MODULE)
        try:
            text = freeze(vars(module)) if options["freeze"] else listing(vars(module))
        except CannotFreeze as error:
            raise CommandError(str(error)) from None
        self.stdout.write(text, ending="")
