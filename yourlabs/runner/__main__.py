"""``python -m yourlabs.runner module.function …``: a chain without a Django project."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import django
from django.apps import apps
from django.conf import settings
from django.core.management.base import (
    CommandError,
    CommandParser,
    handle_default_options,
)
from django.core.management.color import color_style

from yourlabs import runner
from yourlabs.runner.apps import RunnerConfig


class ScreenFormatter(logging.Formatter):
    """Short lines for a person in a terminal."""

    def __init__(self) -> None:
        super().__init__(datefmt="%H:%M:%S")
        style = color_style()
        self._styles = {"task_succeeded": style.SUCCESS, "task_failed": style.ERROR}
        self._by_level = {"WARNING": style.WARNING, "ERROR": style.ERROR}

    @staticmethod
    def is_shown(record: logging.LogRecord) -> bool:
        """Return whether a record is shown: of the DEBUG ones, only successful runs."""
        action = getattr(record, "action", "")
        return record.levelno >= logging.INFO or action == "task_succeeded"

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; of a traceback its last one, which says what was raised."""
        text = record.getMessage()
        if record.exc_text or record.exc_info:
            traceback = record.exc_text or self.formatException(record.exc_info)  # type: ignore[arg-type]
            text = f"{text}: {traceback.strip().splitlines()[-1]}"
        style = self._styles.get(
            getattr(record, "action", ""), self._by_level.get(record.levelname, str)
        )
        return f"{self.formatTime(record, self.datefmt)} {style(text)}"


def embedded_settings(base: Path, *, on_screen: bool = False) -> dict[str, Any]:
    """Return the settings of a run without a project; `on_screen` the log is short."""
    admin = "root@localhost"
    handler = {
        "class": "logging.StreamHandler",
        "formatter": "screen" if on_screen else "plain",
        "filters": [ScreenFormatter.is_shown] if on_screen else [],
    }
    backend = "django.core.mail.backends.console.EmailBackend"
    mailers = {"MAILERS": {"default": {"BACKEND": backend}}}
    return {
        "ADMINS": [admin] if django.VERSION >= (6, 0) else [("root", admin)],
        "BASE_DIR": base,
        "DEFAULT_FROM_EMAIL": admin,
        "INSTALLED_APPS": ["yourlabs.runner"],
        "LOGGING": {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "plain": {"format": "%(asctime)s %(levelname)s %(message)s"},
                "screen": {"()": ScreenFormatter},
            },
            "handlers": {"console": handler},
            "loggers": {"runner": {"handlers": ["console"], "level": "DEBUG"}},
        },
        "USE_TZ": True,
        **(mailers if django.VERSION >= (6, 1) else {"EMAIL_BACKEND": backend}),
    }


def main(arguments: list[str]) -> None:
    """Run the command `run_functions`, or `runner` where `arguments` begin so."""
    # As for manage.py: before anything is looked up.
    parser = CommandParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--settings")
    parser.add_argument("--pythonpath")
    parser.add_argument("-v", "--verbosity", type=int, default=1)
    options, rest = Namespace(verbosity=1), arguments
    # The command reports what is wrong with them.
    with contextlib.suppress(CommandError):
        options, rest = parser.parse_known_args(arguments)
        handle_default_options(options)
    if not os.environ.get("DJANGO_SETTINGS_MODULE"):
        on_screen = sys.stderr.isatty() and options.verbosity < 2
        settings.configure(**embedded_settings(Path.cwd(), on_screen=on_screen))
    # As for manage.py: the functions are looked for in the working directory first,
    # unless python -P forbids it.
    is_safe = getattr(sys.flags, "safe_path", False)
    if not is_safe and "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    django.setup()
    if not apps.is_installed(RunnerConfig.name):
        # The project's settings do not have the app; its failures are mailed, too.
        RunnerConfig(RunnerConfig.name, runner).ready()
    from yourlabs.runner.management.commands import run_functions
    from yourlabs.runner.management.commands import runner as steering

    # A function has a dotted path, so that no verb can be one.
    steers = rest[:1] and rest[0] in steering.VERBS
    command = steering.Command() if steers else run_functions.Command()
    command.run_from_argv(["python -m", "yourlabs.runner", *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
