"""The only reader of the setting ``SMOKE``."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from yourlabs.smoke.isolation.guard import SETTINGS

_ALLOW = tuple(f"allow_{kind}" for kind in SETTINGS)
KEYS = ("exclude", "expect", "public", "urlconfs", "values", *_ALLOW)


@dataclass(frozen=True)
class Conf:
    """What a project says of its own URLs.

    Attributes:
        exclude: Names or paths that are never requested; ``*`` stands for anything.
        expect: The status that is right for a name or a path.
        values: Callables, or dotted paths of callables, by parameter.
        public: Names or paths that anybody may see; None when nothing is said.
        urlconfs: The module of URL patterns by host, where no middleware chooses it.
        allowed: Patterns of the hosts, paths and programs that views may use.
    """

    exclude: tuple[str, ...] = ()
    expect: dict[str, int] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    public: tuple[str, ...] | None = None
    urlconfs: dict[str, str] = field(default_factory=dict)
    allowed: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def excludes(self, *names: str) -> bool:
        """Whether one of a URL's names and paths is excluded."""
        return any(matches(wanted, names) for wanted in self.exclude)

    def is_private(self, *names: str) -> bool:
        """Whether a URL is one that only some people may see."""
        known = self.public
        return known is not None and not any(matches(item, names) for item in known)

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
    found: dict[str, Any] = {}
    for key, given in raw.items():
        is_dict = key in ("expect", "urlconfs", "values")
        kinds = (dict,) if is_dict else (list, tuple, set, frozenset)
        value: Any = given or kinds[0]()
        if not isinstance(value, kinds):
            raise ImproperlyConfigured(
                f"SMOKE[{key!r}] is {value!r}; expected a {kinds[0].__name__}."
            )
        for name in value:
            if not isinstance(name, str):
                raise ImproperlyConfigured(
                    f"The setting SMOKE has {name!r}; expected a name, a path or a "
                    "parameter, as a text."
                )
        found[key] = value if is_dict else tuple(value)
    for name, status in found.get("expect", {}).items():
        if not isinstance(status, int):
            raise ImproperlyConfigured(
                f"SMOKE['expect'][{name!r}] is {status!r}; expected a status like 410."
            )
    allowed = {key[6:]: found.pop(key) for key in _ALLOW if key in found}
    return Conf(**found, allowed=allowed)
