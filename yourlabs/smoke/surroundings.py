"""Replace for a while what would leave the process."""

from __future__ import annotations

import contextlib
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.core import mail
from django.core.cache import caches
from django.db.backends.signals import connection_created
from django.template import engines
from django.template.loaders import app_directories, cached, filesystem


@contextlib.contextmanager
def read_only_elsewhere() -> Iterator[None]:
    """Let connections that other threads open only read."""
    own = threading.get_ident()

    def restrict(sender: Any, connection: Any, **kwargs: Any) -> None:
        if threading.get_ident() == own:
            return
        statement = {
            "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            "mysql": "SET SESSION TRANSACTION READ ONLY",
            "sqlite": "PRAGMA query_only = ON",
        }.get(connection.vendor)
        if statement:
            with connection.cursor() as cursor:
                cursor.execute(statement)

    connection_created.connect(restrict, weak=False)
    try:
        yield
    finally:
        connection_created.disconnect(restrict)


@contextlib.contextmanager
def quiet_settings() -> Iterator[None]:
    """Replace for a while what would leave the process: mail, tasks, caches."""
    changed = _replacements()
    missing = object()
    with _without_warnings():
        saved = {name: getattr(settings, name, missing) for name in changed}
    mailbox: Any = mail
    outbox = getattr(mailbox, "outbox", missing)
    mailbox.outbox = []
    with _without_warnings():
        for name, value in changed.items():
            setattr(settings, name, value)
    prefixes = _prefix_caches()
    restore_celery = _silence_celery()
    try:
        yield
    finally:
        restore_celery()
        for cache, prefix in prefixes:
            cache.key_prefix = prefix
        with _without_warnings():
            for name, value in saved.items():
                if value is missing:
                    delattr(settings, name)
                else:
                    setattr(settings, name, value)
        if outbox is missing:
            del mailbox.outbox
        else:
            mailbox.outbox = outbox


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Newer versions of Django warn when a mail setting is only looked at."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _replacements() -> dict[str, Any]:
    backend = "django.core.mail.backends.locmem.EmailBackend"
    changed: dict[str, Any] = {
        "ALLOWED_HOSTS": [*settings.ALLOWED_HOSTS, "*"],
    }
    if hasattr(settings, "MAILERS"):
        changed["MAILERS"] = {alias: {"BACKEND": backend} for alias in settings.MAILERS}
    else:
        changed["EMAIL_BACKEND"] = backend
    return changed


@contextlib.contextmanager
def templates_kept() -> Iterator[None]:
    """Read each template of a file once, as a project does without ``DEBUG``."""
    plain = {filesystem.Loader, app_directories.Loader}
    changed: list[tuple[Any, Any]] = []
    with contextlib.suppress(Exception):  # a template engine that is not installed
        for backend in engines.all():
            engine: Any = getattr(backend, "engine", None)
            loaders = getattr(engine, "template_loaders", None)
            if loaders and {type(loader) for loader in loaders} <= plain:
                changed.append((engine, loaders))
                engine.template_loaders = [cached.Loader(engine, engine.loaders)]
    try:
        yield
    finally:
        for engine, loaders in changed:
            engine.template_loaders = loaders


def _prefix_caches() -> list[tuple[Any, str]]:
    prefixes = []
    for alias in settings.CACHES:
        try:
            cache = caches[alias]
        except Exception:  # a cache whose library is missing
            continue
        prefix = getattr(cache, "key_prefix", None)
        if isinstance(prefix, str):
            prefixes.append((cache, prefix))
            cache.key_prefix = f"smoke-{uuid.uuid4().hex[:8]}-{prefix}"
    return prefixes


def _silence_celery() -> Callable[[], None]:
    import sys

    # Celery imports its parts when they are used, which may be in a view.
    if "celery" not in sys.modules:
        return lambda: None
    from celery import Celery  # type: ignore[import-untyped,unused-ignore]
    from celery.app.task import Task  # type: ignore[import-untyped,unused-ignore]
    from celery.result import EagerResult  # type: ignore[import-untyped,unused-ignore]

    def do_nothing(self: Any, *args: Any, **kwargs: Any) -> Any:
        return EagerResult(str(uuid.uuid4()), None, "SUCCESS")

    saved = [(Celery, "send_task", Celery.send_task)]
    saved += [(Task, "apply_async", Task.apply_async)]
    for owner, name, _ in saved:
        setattr(owner, name, do_nothing)

    def restore() -> None:
        for owner, name, original in saved:
            setattr(owner, name, original)

    return restore
