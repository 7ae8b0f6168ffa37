"""``python -m yourlabs.runner module.function …``: a chain without a Django project."""

from __future__ import annotations

import contextlib
import os
import sys
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

from yourlabs import runner
from yourlabs.runner.apps import RunnerConfig


def embedded_settings(base: Path) -> dict[str, Any]:
    """Return the settings of a run without a project, in the folder `base`."""
    admin = "root@localhost"
    return {
        "ADMINS": [admin] if django.VERSION >= (6, 0) else [("root", admin)],
        "BASE_DIR": base,
        "DEFAULT_FROM_EMAIL": admin,
        "INSTALLED_APPS": ["yourlabs.runner"],
        "LOGGING": {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "plain": {"format": "%(asctime)s %(levelname)s %(message)s"}
            },
            "handlers": {
                "console": {"class": "logging.StreamHandler", "formatter": "plain"}
            },
            "loggers": {"runner": {"handlers": ["console"], "level": "DEBUG"}},
        },
        "USE_TZ": True,
        **_mail_to_console(),
    }


def _mail_to_console() -> dict[str, Any]:
    backend = "django.core.mail.backends.console.EmailBackend"
    if django.VERSION >= (6, 1):
        return {"MAILERS": {"default": {"BACKEND": backend}}}
    return {"EMAIL_BACKEND": backend}


def main(arguments: list[str]) -> None:
    """Run the command `run_functions` with `arguments`."""
    # As for manage.py: before anything is looked up.
    parser = CommandParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--settings")
    parser.add_argument("--pythonpath")
    # What is wrong with them the command says.
    with contextlib.suppress(CommandError):
        handle_default_options(parser.parse_known_args(arguments)[0])
    if not os.environ.get("DJANGO_SETTINGS_MODULE"):
        settings.configure(**embedded_settings(Path.cwd()))
    # As for manage.py: the functions are looked for here first.
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    django.setup()
    if not apps.is_installed(RunnerConfig.name):
        # A project whose settings do not have it: failures are told all the same.
        RunnerConfig(RunnerConfig.name, runner).ready()
    from yourlabs.runner.management.commands.run_functions import Command

    Command().run_from_argv(["python -m", "yourlabs.runner", *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
