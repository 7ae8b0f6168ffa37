"""The release of Django, without importing it."""

from __future__ import annotations

import importlib.util
import re
import sys


def django_version() -> tuple[int, int]:
    """Return the first two numbers of Django's version.

    A settings module may be read before Django is imported, and importing Django only
    to ask for its version costs as much as all the rest of this library's work there.
    """
    if "django" not in sys.modules:
        spec = importlib.util.find_spec("django")
        if spec is not None and spec.origin is not None:
            try:
                with open(spec.origin, encoding="utf-8") as file:
                    match = re.search(r"^VERSION = \((\d+), (\d+),", file.read(), re.M)
            except (OSError, UnicodeDecodeError):
                # Of a package in an archive, or without sources, there is no text.
                match = None
            if match is not None:
                return int(match[1]), int(match[2])
    import django

    return django.VERSION[:2]
