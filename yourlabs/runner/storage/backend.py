"""Where the chains of this process are kept: ``RUNNER["BACKEND"]``."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from yourlabs.runner import conf
from yourlabs.runner.storage.base import Backend

_backends: dict[str, Backend] = {}


def backend() -> Backend:
    """
    Return where the chains of this process are kept: one object for each path.

    Raises:
        ImproperlyConfigured: ``RUNNER["BACKEND"]`` leads to nothing.
    """
    path = conf.get("BACKEND")
    if path not in _backends:
        _backends[path] = _made(path)
    return _backends[path]


def _made(path: str) -> Backend:
    cause: Exception | None = None
    for dotted in (f"{path}.Backend", path):
        try:
            made: Backend = import_string(dotted)()
        except (ImportError, TypeError, AttributeError) as exc:
            cause = exc
        else:
            return made
    msg = (
        f"RUNNER['BACKEND'] is {path!r}: expected the dotted path of a class, or of a "
        f"module with a class Backend, like {conf.DEFAULTS['BACKEND']!r}."
    )
    raise ImproperlyConfigured(msg) from cause
