"""``python -m yourlabs.setup``: list the settings of a project, or freeze them."""

from __future__ import annotations

import argparse
import enum
import importlib
import inspect
import os
import re
import sys
from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path, PurePath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.core.exceptions import ImproperlyConfigured

from yourlabs.setup.context import FILE, context_of
from yourlabs.setup.environment import parse_dotenv

MASK = "********"

SECRET = re.compile(
    r"(?i)apikey|credential|passphrase|passwd|password|secret|signature|token"
    r"|(?<![a-z])(api|dsn|key|pass|pwd)(?![a-z])"
)
NOT_SECRET = re.compile(
    r"(?i)(.*_)?KEY_PREFIX|AUTH_PASSWORD_VALIDATORS|PASSWORD_(HASHERS|RESET_TIMEOUT)"
    r"|.*_(COOKIE|HEADER|TOKEN)_NAME"
)
SECRET_PLACES = (
    *("EMAIL_HOST_PASSWORD", "LOCATION", "PASSWORD", "SECRET_KEY", "account_key"),
    *("SECRET_KEY_FALLBACKS", "password", "secret_key"),
)
"""Names whose values may be secret texts, replaced by what gives them."""

MODULES = ("os", "re", "datetime", "secrets", "zoneinfo")
IMPORTS = {f"{name}.": f"import {name}" for name in MODULES} | {
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


def main(arguments: list[str] | None = None) -> int:
    """Print the listing or the module; return the exit status.

    ``arguments`` are those of the command line, ``sys.argv[1:]`` when None.
    """
    parser = argparse.ArgumentParser(
        prog="python -m yourlabs.setup",
        description="List each setting with its value (secrets masked) and origin.",
    )
    text = (
        "the settings module; that of DJANGO_SETTINGS_MODULE or manage.py if not given"
    )
    parser.add_argument("--settings", help=text)
    text = "print an equivalent settings module that does not need setup"
    parser.add_argument("--freeze", action="store_true", help=text)
    options = parser.parse_args(arguments)
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


def _default() -> str | None:
    """The settings module that the ``manage.py`` of this folder sets."""
    path = Path("manage.py")
    if not path.is_file():
        return None
    pattern = r"""DJANGO_SETTINGS_MODULE["'\]\s,=]+["']([\w.]+)["']"""
    match = re.search(pattern, path.read_text("utf-8", errors="replace"))
    return match[1] if match else None


def listing(settings: Mapping[str, Any]) -> str:
    """Return a line for each setting of a module, given its ``vars()``."""
    names = sorted(name for name in settings if name.isupper() and name[0] != "_")
    width = max(map(len, names), default=0)
    context = context_of(settings)
    lines = []
    for name in names:
        origin = context.origin(name, settings) if context else FILE
        lines.append(f"{name:<{width}}  {mask(name, settings[name])!r}  {origin}\n")
    return "".join(lines)


def mask(name: str, value: Any) -> Any:
    """Return a value with the secrets in it masked, by name and in URLs."""
    if is_secret(name) and value not in ("", None, [], {}, ()):
        return MASK
    if isinstance(value, dict):
        return {key: mask(str(key), item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)) and not hasattr(value, "_make"):
        return type(value)(mask("", item) for item in value)
    if not isinstance(value, str):
        return value
    text = re.sub(r"(?<=://)\S*@", f"{MASK}@", value)
    option = re.compile(r"(?<=[?&])([^=&\s]+)=[^&\s]+")
    return option.sub(lambda m: f"{m[1]}={MASK}" if is_secret(m[1]) else m[0], text)


def is_secret(name: str) -> bool:
    """Whether what has this name is nobody's business."""
    return not NOT_SECRET.fullmatch(name) and bool(SECRET.search(name))


def freeze(settings: Mapping[str, Any]) -> str:
    """Return the source of a module that has the same settings, given its ``vars()``.

    The app of this package is left out of ``INSTALLED_APPS``.

    Raises:
        CannotFreeze: With the names of the settings that cannot be written.
    """
    writer = _Writer(str(settings.get("__name__", "")))
    context = context_of(settings)
    body, failed = "", []
    for name, value in settings.items():
        if not name.isupper() or name.startswith("_"):
            continue
        written = context.written.get(name) if context else None
        writer.secrets = written.secrets if written else {}
        if is_secret(name) and value and value == os.environ.get(name):
            writer.secrets = {value: f"os.environ[{name!r}]"}
        if name == "INSTALLED_APPS" and isinstance(value, (list, tuple)):
            ours = ("yourlabs.setup", "yourlabs.setup.apps.SetupConfig")
            value = type(value)(app for app in value if app not in ours)
        try:
            body += f"{name} = {writer.source(value, name)}\n"
        except CannotFreeze as error:
            failed.append(f"{name} cannot be written as source: {error}")
    if failed:
        raise CannotFreeze("\n".join(failed))
    function, future = "", ""
    if "parse_dotenv(" in body:
        function = f"\n\n{inspect.getsource(parse_dotenv)}\n"
        future = "from __future__ import annotations\n\n"
        writer.imports.add("import re")
    imports = "".join(f"{line}\n" for line in sorted(writer.imports))
    return f"{HEADER}\n{future}{imports}{function}\n{body}"


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
        is_finite = kind is float and value - value == 0
        if kind in (str, bytes, int, bool, type(None)) or is_finite:
            return repr(value)
        if kind is dict:
            items = [
                f"{self.source(k)}: {self.source(v, str(k), depth + 1)}"
                for k, v in value.items()
            ]
            return _lines("{", items, "}", depth)
        if kind in (list, tuple, set, frozenset):
            items = [self.source(item, name, depth + 1) for item in value]
            if not items or kind is frozenset:
                inside = _lines("{", items, "}", depth) if items else ""
                return "[]" if kind is list else f"{kind.__name__}({inside})"
            if kind is tuple:
                return _lines("(", items, ",)" if len(items) == 1 else ")", depth)
            return _lines(
                *("[", items, "]") if kind is list else ("{", items, "}"), depth
            )
        return self._object(value)

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
        if type(value).__name__ == "__proxy__":
            # Of gettext_lazy(): its function and what that is called with.
            _, (function, arguments, *_) = value.__reduce__()
            module = "django.utils.translation"
            if (function.__module__, function.__name__) == (module, "gettext"):
                self.imports.add(f"from {module} import gettext_lazy")
                return f"gettext_lazy({str(arguments[0])!r})"
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


def _lines(opening: str, items: list[str], closing: str, depth: int) -> str:
    line = f"{opening}{', '.join(items)}{closing}"
    if len(line) + 4 * depth <= 68 and "\n" not in line:
        return line
    indent = "    " * (depth + 1)
    body = "".join(f"{indent}{item},\n" for item in items)
    return f"{opening}\n{body}{'    ' * depth}{closing.lstrip(',')}"


if __name__ == "__main__":
    sys.exit(main())
