"""``python -m yourlabs.setup``: list the settings of a project, or freeze them."""

from __future__ import annotations

import argparse
import enum
import importlib
import inspect
import os
import pprint
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import unquote

from django.core.exceptions import ImproperlyConfigured

from yourlabs.setup.context import DEFAULT, FILE, Context, context_of
from yourlabs.setup.environment import parse_dotenv
from yourlabs.setup.values import Invalid

MASK = "********"

SECRET = re.compile(
    r"(?i)apikey|credential|passphrase|passwd|password|secret|signature|token"
    r"|(?<![a-z])(api|dsn|key|pass|pwd)(?![a-z])"
)
NOT_SECRET = re.compile(
    r"(?i)(.*_)?KEY_PREFIX|AUTH_PASSWORD_VALIDATORS|PASSWORD_(HASHERS|RESET_TIMEOUT)"
    r"|.*_(COOKIE|HEADER|TOKEN)_NAME"
)
MODULES = "os|re|datetime|decimal|pathlib|secrets|urllib|uuid|zoneinfo"
"""What expressions need to be imported."""

PLAIN = (str, bytes, int, bool, float, type(None))
WRITTEN_AS = {"datetime": "", "decimal": "decimal.", "uuid": "uuid.", "zoneinfo": ""}
"""What goes before the ``repr()`` of an object, by the module of its type."""

HEADER = '''"""Settings, frozen by yourlabs.setup.

Passwords and keys that were not written in the settings module are not written
here: they are read from where they were.
"""
'''


class CannotFreeze(Exception):
    """A setting has a value that cannot be written as source."""


def main(arguments: list[str] | None = None) -> int:
    """Print the listing or the module; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m yourlabs.setup",
        description="List each setting with its value (secrets masked) and origin.",
    )
    text = "the settings module; DJANGO_SETTINGS_MODULE, or that of manage.py, if not"
    parser.add_argument("--settings", help=f"{text} given")
    text = "print an equivalent settings module that does not need setup"
    parser.add_argument("--freeze", action="store_true", help=text)
    options = parser.parse_args(arguments)
    name = options.settings or os.environ.get("DJANGO_SETTINGS_MODULE")
    if not name and os.path.isfile("manage.py"):
        text = Path("manage.py").read_text("utf-8", errors="replace")
        pattern = r"""DJANGO_SETTINGS_MODULE["'\]\s,=]+["']([\w.]+)["']"""
        name = next(iter(re.findall(pattern, text)), None)
    if not name:
        print(
            "DJANGO_SETTINGS_MODULE is not set and there is no manage.py here that "
            "sets it: give the settings module with --settings",
            file=sys.stderr,
        )
        return 2
    os.environ["DJANGO_SETTINGS_MODULE"] = name
    sys.path.insert(0, os.getcwd())
    try:
        settings = vars(importlib.import_module(name))
        sys.stdout.write(freeze(settings) if options.freeze else listing(settings))
    except (CannotFreeze, ImproperlyConfigured) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


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

    Raises ``CannotFreeze`` with the names of the settings that cannot be written.
    """
    context = context_of(settings)
    writer = _Writer(settings, _secrets(context) if context else {})
    body, failed = "", []
    for name, value in settings.items():
        if not name.isupper() or name.startswith("_"):
            continue
        if name == "INSTALLED_APPS" and isinstance(value, (list, tuple)):
            ours = ("yourlabs.setup", "yourlabs.setup.apps.SetupConfig")
            value = type(value)(app for app in value if app not in ours)
        try:
            source = pprint.pformat(writer.source(value, name), sort_dicts=False)
            body += f"{name} = {source}\n"
        except CannotFreeze as error:
            failed.append(f"{name} cannot be written as source: {error}")
    if failed:
        raise CannotFreeze("\n".join(failed))
    if "parse_dotenv(" in body:
        body = f"\n{inspect.getsource(parse_dotenv)}\n\n{body}"
    pattern = (
        r"(?<![\w.'\"])(os|re|datetime|pathlib|secrets|zoneinfo|decimal|uuid|urllib)\."
    )
    modules = writer.modules | set(re.findall(pattern, body))
    names = sorted("urllib.parse" if name == "urllib" else name for name in modules)
    imports = "".join(f"import {name}\n" for name in names)
    return f"{HEADER}\nfrom __future__ import annotations\n\n{imports}\n{body}"


def _secrets(context: Context) -> dict[str, str]:
    """Texts that are never written, each with an expression that gives it."""
    path = context.folder("VAR_ROOT") / "secret_key"
    key = f"pathlib.Path({str(path)!r}).read_text('utf-8').strip()"
    if not path.is_file():
        key = "secrets.token_urlsafe(48)"
    found = {context.settings.get("SECRET_KEY", ""): key}
    if context.origin("SECRET_KEY") != DEFAULT:
        found = {}
    for name in sorted(context.environment.names()):
        with suppress(Invalid):
            value = context.environment.get(name)
            if value is None:
                continue
            user, at, _ = value.text.partition("://")[2].partition("@")
            if user and at:
                source = f"{value.source}.partition('://')[2].partition('@')[0]"
                found[user] = source
                password = f"urllib.parse.unquote({source}.partition(':')[2])"
                found[unquote(user.partition(":")[2])] = password
            elif name == "SECRET_KEY_FALLBACKS":
                split = f"{value.source}.replace(',', ' ').split()"
                for number, item in enumerate(value.text.replace(",", " ").split()):
                    found[item] = f"{split}[{number}]"
            elif is_secret(name):
                found[value.text] = value.source
    found.pop("", None)
    return found


class _Source(str):
    """An expression, in the place of its value."""

    def __repr__(self) -> str:
        return str(self)


class _Writer:
    """Replace in values what has no ``repr()`` that could be run, and secrets."""

    def __init__(self, settings: Mapping[str, Any], secrets: Mapping[str, str]) -> None:
        self.module = settings.get("__name__")
        self.modules: set[str] = set()
        self.secrets = secrets

    def source(self, value: Any, name: str = "") -> Any:
        kind = type(value)
        if kind is dict:
            return {self.source(k): self.source(v, str(k)) for k, v in value.items()}
        if kind in (list, tuple, set, frozenset):
            return kind(self.source(item, name) for item in value)
        if kind is str:
            source = self._secret(value, name)
        elif kind in PLAIN and not (kind is float and value - value != 0):
            return value
        else:
            source = self._object(value)
        return value if source is None else _Source(source)

    def _secret(self, value: str, name: str) -> str | None:
        if is_secret(name) and value in self.secrets:
            return self.secrets[value]
        begin, at, end = value.partition("@")
        scheme, separator, user = begin.partition("://")
        if user and at and user in self.secrets:
            return f"{scheme + separator!r} + {self.secrets[user]} + {at + end!r}"
        return None

    def _object(self, value: Any) -> str:
        kind = type(value)
        if isinstance(value, enum.Enum):
            return f"{self._object(kind)}.{value.name}"
        if isinstance(value, PurePath):
            return f"pathlib.Path({str(value)!r})"
        if isinstance(value, re.Pattern):
            return f"re.compile({value.pattern!r}, {value.flags})"
        if kind.__module__ in WRITTEN_AS:
            return WRITTEN_AS[kind.__module__] + repr(value)
        if kind.__name__ == "__proxy__":
            # Of gettext_lazy(): its function and what that is called with.
            _, (function, arguments, *_) = value.__reduce__()
            module = "django.utils.translation"
            if (function.__module__, function.__name__) == (module, "gettext"):
                self.modules.add(module)
                return f"{module}.gettext_lazy({str(arguments[0])!r})"
        module = str(getattr(value, "__module__", None))
        name = str(getattr(value, "__qualname__", None))
        found: Any = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is not value or module == self.module:
            raise CannotFreeze(f"it holds an object of {kind.__qualname__!r}")
        self.modules.add(module)
        return f"{module}.{name}"


if __name__ == "__main__":
    sys.exit(main())
