"""The list of settings: name, value and origin, without the secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from yourlabs.setup import base

MASK = "********"

_SECRET_PARTS = (
    "apikey",
    "credential",
    "passphrase",
    "passwd",
    "password",
    "secret",
    "signature",
    "token",
)
_SECRET_WORDS = frozenset({"api", "dsn", "key", "pass", "pwd"})
_NOT_SECRET = frozenset(
    {
        "AUTH_PASSWORD_VALIDATORS",
        "KEY_PREFIX",
        "PASSWORD_HASHERS",
        "PASSWORD_RESET_TIMEOUT",
    }
)
_NOT_SECRET_END = ("_KEY_PREFIX", "_COOKIE_NAME", "_HEADER_NAME", "_TOKEN_NAME")


def listing(settings: Mapping[str, Any]) -> str:
    """Return a line for each setting of a module: name, value, origin.

    Args:
        settings: The ``vars()`` of the settings module.
    """
    names = sorted(name for name in settings if name.isupper() and name[0] != "_")
    width = max(map(len, names), default=0)
    lines = []
    for name in names:
        value = mask(name, settings[name])
        lines.append(f"{name:<{width}}  {value!r}  {origin(settings, name)}\n")
    return "".join(lines)


def origin(settings: Mapping[str, Any], name: str) -> str:
    """Return where a setting is from: ``file``, ``environment`` or ``default``."""
    setup = setup_of(settings)
    if setup is None or name not in setup.settings:
        return base.FILE
    if settings[name] is not setup.settings[name]:
        return base.FILE
    return setup.origin(name)


def setup_of(settings: Mapping[str, Any]) -> base.Base | None:
    """Return what set a module up, or the module that it imported all names from."""
    setup = base.latest
    if setup is None:
        return None
    # What one module made and another one imported is the very same object.
    is_same = settings.get("PROJECT_ROOT") is setup.settings.get("PROJECT_ROOT")
    return setup if is_same else None


def mask(name: str, value: Any) -> Any:
    """Return a value with the secrets in it masked, by name and in URLs."""
    if is_secret(name) and value not in ("", None, [], {}, ()):
        return MASK
    if isinstance(value, dict):
        return {key: mask(str(key), item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)) and not hasattr(value, "_make"):
        return type(value)(mask("", item) for item in value)
    if isinstance(value, str):
        return mask_url(value)
    return value


def is_secret(name: str) -> bool:
    """Whether what has this name is nobody's business."""
    upper = name.upper()
    if upper in _NOT_SECRET or upper.endswith(_NOT_SECRET_END):
        return False
    if any(part in name.lower() for part in _SECRET_PARTS):
        return True
    return not _SECRET_WORDS.isdisjoint(re.split(r"[^a-z]+", name.lower()))


def mask_url(text: str) -> str:
    """Mask the user and the password of a URL, and secrets among its options."""
    text = re.sub(r"(?<=://)\S*@", f"{MASK}@", text)
    words = "|".join([*(rf"\w*{part}" for part in _SECRET_PARTS), *_SECRET_WORDS])
    return re.sub(rf"(?i)([?&](?:\w*_)?(?:{words})=)[^&\s]+", rf"\1{MASK}", text)
