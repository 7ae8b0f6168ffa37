"""The only reader of the setting ``SMOKE``."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

KEYS = ("exclude", "expect", "values")


@dataclass(frozen=True)
class Conf:
    """What a project says of its own URLs."""

    exclude: tuple[str, ...] = ()
    """Names or paths that are never requested; ``*`` stands for anything."""

    expect: dict[str, int] = field(default_factory=dict)
    """The status that is right for a name or a path."""

    values: dict[str, Any] = field(default_factory=dict)
    """Callables, or dotted paths of callables, by parameter."""

    def excludes(self, *names: str) -> bool:
        """Whether one of a URL's names and paths is excluded."""
        return any(matches(wanted, names) for wanted in self.exclude)

    def expected(self, *names: str) -> int | None:
        """The status that is right for a URL; None when nothing is said."""
        for wanted, status in self.expect.items():
            if matches(wanted, names):
                return status
        return None


def matches(wanted: str, names: tuple[str, ...]) -> bool:
    """Whether a name, a path or a glob names one of several names and paths."""
    return any(
        name
        and (
            fnmatch.fnmatchcase(name, wanted)
            or fnmatch.fnmatchcase(name.lstrip("/"), wanted.lstrip("/"))
        )
        for name in names
        if wanted.lstrip("/") or name == wanted
    )


def read_conf() -> Conf:
    """Read and check the setting.

    Raises:
        ImproperlyConfigured: The setting is not what the documentation says.
    """
    raw = getattr(settings, "SMOKE", None) or {}
    if not isinstance(raw, dict):
        raise ImproperlyConfigured(
            f"The setting SMOKE is {raw!r}; expected a dict with the keys {KEYS}."
        )
    unknown = sorted(set(raw) - set(KEYS))
    if unknown:
        raise ImproperlyConfigured(
            f"The setting SMOKE has the unknown keys {unknown!r}; expected {KEYS}."
        )
    return Conf(
        exclude=tuple(raw.get("exclude") or ()),
        expect=dict(raw.get("expect") or {}),
        values=dict(raw.get("values") or {}),
    )
