"""``python -m yourlabs.setup``: list the settings of a project, or freeze them."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from yourlabs.setup.freezing import CannotFreeze, freeze
from yourlabs.setup.listing import listing


def main(arguments: list[str] | None = None) -> int:
    """Print the listing or the module; return the exit status.

    Args:
        arguments: Those of the command line, ``sys.argv[1:]`` when None.
    """
    options = _parser().parse_args(arguments)
    name = options.settings or os.environ.get("DJANGO_SETTINGS_MODULE") or _default()
    if not name:
        print(
            "DJANGO_SETTINGS_MODULE is not set and there is no manage.py here that "
            "sets it: give the settings module with --settings",
            file=sys.stderr,
        )
        return 2
    os.environ["DJANGO_SETTINGS_MODULE"] = name
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        settings = vars(importlib.import_module(name))
        sys.stdout.write(freeze(settings) if options.freeze else listing(settings))
    except (CannotFreeze, ImproperlyConfigured) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m yourlabs.setup",
        description="List each setting with its value (secrets masked) and origin.",
    )
    parser.add_argument(
        "--settings",
        help="the settings module; that of DJANGO_SETTINGS_MODULE or of the manage.py "
        "in this folder when it is not given",
    )
    parser.add_argument(
        "--freeze",
        action="store_true",
        help="print an equivalent settings module that does not need setup",
    )
    return parser


def _default() -> str | None:
    """The settings module that the ``manage.py`` of this folder sets."""
    path = Path("manage.py")
    if not path.is_file():
        return None
    pattern = r"""DJANGO_SETTINGS_MODULE["'\]\s,=]+["']([\w.]+)["']"""
    match = re.search(pattern, path.read_text("utf-8", errors="replace"))
    return match[1] if match else None


if __name__ == "__main__":
    sys.exit(main())
