"""The only reader of the setting ``SMOKE``."""

from __future__ import annotations

import fnmatch
import itertools
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from yourlabs.smoke.isolation.guard import SETTINGS

_ALLOW = tuple(f"allow_{kind}" for kind in SETTINGS)
KEYS = ("exclude", "expect", "public", "urlconfs", "values", *_ALLOW)


@dataclass(frozen=True)
class Conf:
    """What a project says of its own URLs."""

    exclude: tuple[str, ...] = ()
    """Names or paths that are never requested; ``*`` stands for anything."""

    expect: dict[str, int] = field(default_factory=dict)
    """The status that is right for a name or a path."""

    values: dict[str, Any] = field(default_factory=dict)
    """Callables, or dotted paths of callables, by parameter."""

    public: tuple[str, ...] | None = None
    """Names or paths that anybody may see; None when nothing is said."""

    urlconfs: dict[str, str] = field(default_factory=dict)
    """The module of URL patterns by host, where no middleware chooses it."""

    allowed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Patterns of the hosts, paths and programs that views may use."""

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
    lists = (list, tuple, set, frozenset)
    conf = Conf(
        exclude=_read(raw, "exclude", lists, tuple),
        expect=_read(raw, "expect", (dict,), dict),
        values=_read(raw, "values", (dict,), dict),
        urlconfs=_read(raw, "urlconfs", (dict,), dict),
        public=_read(raw, "public", lists, tuple) if "public" in raw else None,
        allowed={
            kind: _read(raw, f"allow_{kind}", lists, tuple)
            for kind in SETTINGS
            if f"allow_{kind}" in raw
        },
    )
    _check(conf)
    return conf


def _read(raw: dict[str, Any], key: str, kinds: tuple[type, ...], kind: Any) -> Any:
    found = raw.get(key) or kind()
    if not isinstance(found, kinds):
        raise ImproperlyConfigured(
            f"SMOKE[{key!r}] is {found!r}; expected a {kinds[0].__name__}."
        )
    return kind(found)


def _check(conf: Conf) -> None:
    several = (conf.exclude, conf.public or (), conf.expect, conf.values, conf.urlconfs)
    for name in itertools.chain(*several, *conf.allowed.values()):
        if not isinstance(name, str):
            raise ImproperlyConfigured(
                f"The setting SMOKE has {name!r}; expected a name, a path or a "
                "parameter, as a text."
            )
    for name, status in conf.expect.items():
        if not isinstance(status, int):
            raise ImproperlyConfigured(
                f"SMOKE['expect'][{name!r}] is {status!r}; expected a status like 410."
            )
