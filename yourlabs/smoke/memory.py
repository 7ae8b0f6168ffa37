"""Remember failures, forget what is healthy again, log each failure once."""

from __future__ import annotations

import contextlib
import copy
import logging
import sys
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import connections, router, transaction
from django.db.models import F
from django.utils import timezone

from yourlabs.smoke.causes import causes_of
from yourlabs.smoke.outcomes import Outcome, Result

MAX_TEXT = 64 * 1024
"""Bytes of a request, a response or a traceback that are kept."""

logger = logging.getLogger("smoke")


def log_failures(results: list[Result], *, is_short: bool = False) -> None:
    """Log one ERROR a cause of failures, with the exception when there was one.

    Terminals are spared tracebacks when it is short, as a report follows there.
    """
    failed = [result for result in results if result.outcome is Outcome.FAILED]
    with _short_on_terminals(is_short):
        for cause in causes_of(failed):
            result, *others = cause.results
            error = result.exception
            logger.error(
                "%s %s as %s failed: %s%s",
                result.method,
                result.url or result.pattern,
                result.role or "nobody",
                result.reason,
                f" (and {len(others)} more patterns)" if others else "",
                exc_info=(type(error), error, error.__traceback__) if error else None,
                extra={"action": "url_failed", "pattern": result.pattern},
            )


class _WithoutTraceback(logging.Formatter):
    """Formats a record as another formatter does, but leaves its traceback out."""

    def __init__(self, own: logging.Formatter) -> None:
        super().__init__()
        self.own = own

    def format(self, record: logging.LogRecord) -> str:
        short = copy.copy(record)
        short.exc_info = short.exc_text = None
        return self.own.format(short)


@contextlib.contextmanager
def _short_on_terminals(is_short: bool) -> Iterator[None]:
    """Keep tracebacks from handlers that write to standard output or standard error.

    Where the project has no handler at all, Python's own of last resort is silent.
    """
    found: list[logging.Handler] = []
    current: logging.Logger | None = logger
    while is_short and current is not None:
        found += current.handlers
        current = current.parent if current.propagate else None
    with contextlib.ExitStack() as stack:
        if is_short and not found:
            silent = logging.NullHandler()
            logger.addHandler(silent)
            stack.callback(logger.removeHandler, silent)
        for handler in found:
            if getattr(handler, "stream", None) in (sys.stdout, sys.stderr):
                stack.callback(handler.setFormatter, handler.formatter)
                own = handler.formatter or logging.Formatter()
                handler.setFormatter(_WithoutTraceback(own))
        yield


def remember(results: list[Result], *, is_whole: bool = False) -> str:
    """Write failures down and delete those that are healthy again.

    Results that were skipped or are doubtful change nothing. Patterns that a run over
    the whole project did not find are not there any more.

    Returns:
        An empty text, or why nothing could be remembered.
    """
    if not apps.is_installed("yourlabs.smoke"):
        return "yourlabs.smoke is not in INSTALLED_APPS: failures are not remembered."
    from yourlabs.smoke.models import FailUrl

    try:
        with transaction.atomic(using=router.db_for_write(FailUrl)):
            # Several listed URLs may be of one pattern: one failure is enough.
            failed = {
                _key(result): result
                for result in results
                if result.outcome is Outcome.FAILED
            }
            for result in results:
                if result.outcome is Outcome.OK and _key(result) not in failed:
                    _forget(FailUrl, result)
            for result in failed.values():
                _write(FailUrl, result)
            if is_whole:
                _forget_unknown(FailUrl, results)
    except Exception as error:  # no table, no database, a router of the project
        text = f"Failures are not remembered ({type(error).__name__}: {error})."
        is_there = _has_table(FailUrl)
        return text if is_there else f"{text} Run `manage.py migrate yourlabs_smoke`."
    return ""


def _has_table(model: Any) -> bool:
    connection = connections[router.db_for_write(model)]
    try:
        return model._meta.db_table in connection.introspection.table_names()
    except Exception:  # whatever kept the failures from being remembered
        return True


def _forget(model: Any, result: Result) -> None:
    rows = model._base_manager.filter(
        pattern=result.pattern[:500], method=result.method
    )
    if result.is_listed:
        rows = rows.filter(role=result.role)
    else:
        rows = rows.exclude(role="listed")
    rows.delete()


def _forget_unknown(model: Any, results: list[Result]) -> None:
    known = {(result.pattern[:500], result.is_listed) for result in results}
    for row in model._base_manager.only("pattern", "role"):
        if (row.pattern, row.role == "listed") not in known:
            row.delete()


def _key(result: Result) -> tuple[str, str, str]:
    return result.pattern[:500], result.role[:30], result.method


def _write(model: Any, result: Result) -> None:
    now = timezone.now()
    statuses = result.statuses.items()
    healed = [role for role, code in statuses if code < 400 and role != result.role]
    model._base_manager.filter(
        pattern=result.pattern[:500], method=result.method, role__in=healed
    ).delete()
    values = {
        "name": result.name[:255],
        "url": result.url,
        "status": result.status,
        "reason": _cut(result.reason),
        "exception_class": result.exception_class[:255],
        "exception_text": _cut(result.exception_text),
        "traceback": _cut(result.traceback),
        "request": _cut(result.request_text),
        "response": _cut(result.response_text),
        "tags": " ".join(result.tags),
        "last_seen": now,
    }
    key = dict(zip(("pattern", "role", "method"), _key(result), strict=True))
    model._base_manager.update_or_create(
        **key,
        defaults={**values, "count": F("count") + 1},
        create_defaults={**values, "first_seen": now},
    )


def _cut(text: str) -> str:
    """At most `MAX_TEXT` bytes, without the NUL that PostgreSQL refuses."""
    raw = text.replace("\x00", "").encode("utf-8", "replace")[:MAX_TEXT]
    return raw.decode("utf-8", "ignore")
