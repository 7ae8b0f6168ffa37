"""The way out: settings written as a plain module."""

from __future__ import annotations

import enum
import inspect
import os
import re
import sys
from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from yourlabs.setup.environment import parse_dotenv
from yourlabs.setup.listing import is_secret, setup_of

SECRET_PLACES = frozenset(
    {
        "EMAIL_HOST_PASSWORD",
        "LOCATION",
        "PASSWORD",
        "SECRET_KEY",
        "SECRET_KEY_FALLBACKS",
        "password",
    }
)
"""Names whose values may be secret texts, replaced by what gives them."""

IMPORTS = {
    "os.": "import os",
    "re.": "import re",
    "datetime.": "import datetime",
    "secrets.": "import secrets",
    "zoneinfo.": "import zoneinfo",
    "Decimal(": "from decimal import Decimal",
    "Path(": "from pathlib import Path",
    "UUID(": "from uuid import UUID",
    "unquote(": "from urllib.parse import unquote",
}

HEADER = '''"""Settings, frozen by yourlabs.setup.

Passwords and keys that were not written in the settings module are not written
here: they are read from where they were.
"""
'''


class CannotFreeze(Exception):
    """A setting has a value that cannot be written as source."""


def freeze(settings: Mapping[str, Any]) -> str:
    """Return the source of a module that has the same settings.

    Args:
        settings: The ``vars()`` of the settings module.

    Raises:
        CannotFreeze: With the names of the settings that cannot be written.
    """
    writer = _Writer(str(settings.get("__name__", "")))
    setup = setup_of(settings)
    lines, failed = [], []
    for name, value in settings.items():
        if not name.isupper() or name.startswith("_"):
            continue
        writer.secrets = setup.secrets(name) if setup else {}
        if is_secret(name) and value and value == os.environ.get(name):
            writer.secrets = {value: f"os.environ[{name!r}]"}
        try:
            lines.append(f"{name} = {writer.source(value, name)}\n")
        except CannotFreeze as error:
            failed.append(f"{name} cannot be written as source: {error}")
    if failed:
        raise CannotFreeze("\n".join(failed))
    body = "".join(lines)
    function = ""
    if "parse_dotenv(" in body:
        function = f"\n\n{inspect.getsource(parse_dotenv)}\n"
        writer.imports.add("import re")
    imports = "".join(f"{line}\n" for line in sorted(writer.imports))
    return f"{HEADER}\n{imports}{function}\n{body}"


class _Writer:
    """Write values as Python source, and note what has to be imported."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.imports: set[str] = set()
        self.secrets: Mapping[str, str] = {}

    def source(self, value: Any, name: str = "", depth: int = 0) -> str:
        is_place = name in SECRET_PLACES or (not depth and name)
        if is_place and isinstance(value, str) and value in self.secrets:
            return self._expression(self.secrets[value])
        kind = type(value)
        if kind in (str, bytes, int, bool, type(None)) or _is_finite(value):
            return repr(value)
        if kind is dict:
            items = [
                f"{self.source(k)}: {self.source(v, str(k), depth + 1)}"
                for k, v in value.items()
            ]
            return _lines("{", items, "}", depth)
        if kind in (list, tuple, set, frozenset):
            return self._sequence(value, name, depth)
        return self._object(value)

    def _sequence(self, value: Any, name: str, depth: int) -> str:
        items = [self.source(item, name, depth + 1) for item in value]
        if isinstance(value, frozenset):
            return f"frozenset({_lines('{', items, '}', depth) if items else ''})"
        if isinstance(value, set):
            return _lines("{", items, "}", depth) if items else "set()"
        if isinstance(value, tuple):
            return _lines("(", items, ",)" if len(items) == 1 else ")", depth)
        return _lines("[", items, "]", depth)

    def _object(self, value: Any) -> str:
        if isinstance(value, enum.Enum):
            return f"{self._reference(type(value))}.{value.name}"
        if isinstance(value, PurePath):
            return self._expression(f"Path({str(value)!r})")
        if isinstance(value, re.Pattern):
            return self._expression(f"re.compile({value.pattern!r}, {value.flags})")
        known = (date, time, timedelta, Decimal, UUID, ZoneInfo)
        if type(value).__module__ in {kind.__module__ for kind in known}:
            return self._expression(repr(value))
        if _is_translation(value):
            self.imports.add("from django.utils.translation import gettext_lazy")
            return f"gettext_lazy({_translated(value)!r})"
        return self._reference(value)

    def _expression(self, source: str) -> str:
        for beginning, line in IMPORTS.items():
            if re.search(rf"(?<![\w.'\"]){re.escape(beginning)}", source):
                self.imports.add(line)
        return source

    def _reference(self, value: Any) -> str:
        module = getattr(value, "__module__", None)
        name = getattr(value, "__qualname__", None)
        found: Any = sys.modules.get(str(module))
        for part in str(name).split("."):
            found = getattr(found, part, None)
        if found is not value or module in (None, self.module):
            raise CannotFreeze(f"it holds an object of {type(value).__qualname__!r}")
        if module == "builtins":
            return str(name)
        self.imports.add(f"import {module}")
        return f"{module}.{name}"


def _is_finite(value: object) -> bool:
    return type(value) is float and value - value == 0


def _is_translation(value: Any) -> bool:
    return _translated(value) is not None


def _translated(value: Any) -> str | None:
    """The message of a ``gettext_lazy()``, or None for anything else."""
    if type(value).__name__ != "__proxy__":
        return None
    _, (function, arguments, *_) = value.__reduce__()
    if (function.__module__, function.__name__) != (
        "django.utils.translation",
        "gettext",
    ):
        return None
    return str(arguments[0])


def _lines(opening: str, items: list[str], closing: str, depth: int) -> str:
    line = f"{opening}{', '.join(items)}{closing}"
    if len(line) + 4 * depth <= 68 and "\n" not in line:
        return line
    indent = "    " * (depth + 1)
    body = "".join(f"{indent}{item},\n" for item in items)
    return f"{opening}\n{body}{'    ' * depth}{closing.lstrip(',')}"
