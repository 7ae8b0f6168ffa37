"""Put what an answer showed into words."""

from __future__ import annotations

import inspect as python_inspect
import re
import sys
from http import HTTPStatus
from traceback import walk_tb
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from django.conf import settings
from django.core.exceptions import FieldError
from django.db import DatabaseError
from django.shortcuts import resolve_url
from django.template import TemplateDoesNotExist, TemplateSyntaxError
from django.urls import NoReverseMatch
from django.utils.module_loading import import_string

from yourlabs.smoke.discovery import Leaf
from yourlabs.smoke.introspection import unwrap
from yourlabs.smoke.isolation.guard import Refused
from yourlabs.smoke.outcomes import Result
from yourlabs.smoke.sources import functions_of

if TYPE_CHECKING:
    from yourlabs.smoke.exchange import Answer


CODE_ERRORS = (
    ArithmeticError,
    FieldError,
    ImportError,
    NameError,
    NoReverseMatch,
    NotImplementedError,
    RecursionError,
    TemplateDoesNotExist,
    TemplateSyntaxError,
)
"""What neither a value nor a refusal can be blamed for."""

_TOKEN = re.compile(r"\b[0-9a-f-]{16,}\b")
"""What is another one in each answer, like the state of a login elsewhere."""


_SHOWN = (
    *("url", "role", "status", "ms", "queries", "missing_variables", "warnings"),
    *("request_text", "traceback", "exception"),
)
"""What a result has under the same name as the answer that it is of."""


def failure_reason(answer: Answer) -> str:
    """One line for what went wrong."""
    if answer.exception is None:
        return f"answered {answer.status}"
    name = type(answer.exception).__name__
    try:
        text = str(answer.exception)
    except Exception:  # an exception whose text raises
        text = ""
    lines = text.strip().splitlines()
    return f"{name}: {lines[0][:300]}" if lines else name


def answered(status: int) -> str:
    """A status with its name, where it has one."""
    try:
        return f"answered {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"answered {status}"


def ending(answer: Answer, base: str) -> str:
    """How a request to a host ended that reached no view, in the same words for all."""
    text = failure_reason(answer)
    if answer.exception is None and answer.location:
        target = urlsplit(urljoin(base + answer.url, answer.location))
        origin = f"{target.scheme}://{target.netloc}"
        text = f"redirected to {target.path if origin == base else origin}"
    path = answer.url.split("?")[0]
    text = _TOKEN.sub("…", text.replace(path, "…") if path.strip("/") else text)
    return f"{text} by {answer.stopped_by}" if answer.stopped_by else text


def needed(answer: Answer) -> str:
    """What an answer failed for, when that was refused; empty when it was not.

    The cause is the refusal when that is what was raised, or when no error of the code
    was: many a view goes on for a while without what it did not get.
    """
    error, refused = answer.exception, answer.refused
    raised = _refusal_of(error)
    if error is not None and not raised:
        is_own_fault = isinstance(error, CODE_ERRORS)
        refused = [] if is_own_fault else [one for one in refused if one.is_own]
    # A thread that an earlier request started may have been refused it.
    texts = dict.fromkeys(map(str, refused)) or dict.fromkeys([raised] * bool(raised))
    return "it " + " and ".join(list(texts)[:3]) if texts else ""


def _refusal_of(error: BaseException | None) -> str:
    """What was refused by an error or by a cause of it; empty when nothing was."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        if isinstance(error, Refused):
            return str(error).partition(": ")[2]
        if isinstance(error, DatabaseError) and error.args == ("not authorized",):
            # SQLite raises an error of its own for what it was told to refuse.
            return "writes beside its transaction"
        seen.append(error)
        error = error.__cause__ or error.__context__
    return ""


def has_wrong_signature(error: BaseException | None) -> bool:
    """Whether a view could not even be called with its pattern's parameters."""
    if not isinstance(error, TypeError) or error.__traceback__ is None:
        return False
    frame = error.__traceback__
    while frame.tb_next is not None:
        frame = frame.tb_next
    module = frame.tb_frame.f_globals.get("__name__", "")
    return module == "django.core.handlers.base" and "argument" in str(error)


def is_of_library(error: BaseException) -> bool:
    """Whether an installed package, and not the project, had to prevent an error."""
    own = str(settings.ROOT_URLCONF).split(".")[0]
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    found = [str(frame.f_globals.get("__name__", "")) for frame in reversed(frames)]
    names = [name.split(".")[0] for name in found]
    raising = next((name for name in names if name != "django"), "")
    path = getattr(sys.modules.get(raising), "__file__", None) or ""
    return raising != own and "-packages" in path


def shows_error_page(leaf: Leaf, answer: Answer) -> bool:
    """Whether a pattern is there to show the page of the status it answered."""
    if answer.status < 400 or leaf.callback not in answer.views:
        return False
    return str(answer.status) in leaf.pattern.strip("^$").split("/")


def describe(result: Result, answer: Answer) -> None:
    """Copy what an answer showed into a result."""
    for name in _SHOWN:
        setattr(result, name, getattr(answer, name))
    result.identical_queries, result.identical_query = answer.identical
    result.refusals = answer.refused
    head = [f"HTTP/1.1 {answer.status}"]
    head += [f"{key}: {value}" for key, value in answer.headers.items()]
    body = answer.body[: 64 * 1024].decode("utf-8", "replace")
    result.response_text = "\n".join([*head, "", body])
    error = answer.exception
    if error is not None:
        kind = type(error)
        result.exception_class = f"{kind.__module__}.{kind.__qualname__}"
        result.exception_text = failure_reason(answer)


def login_paths() -> tuple[str, ...]:
    """Where the project sends people who have to log in."""
    try:
        return (urlsplit(resolve_url(settings.LOGIN_URL)).path,)
    except Exception:  # LOGIN_URL names a pattern that is not there
        return ()


def source_of(view: Any) -> str:
    """The source of a view, or of what a dotted path names; empty when it has none."""
    try:
        found = import_string(view) if isinstance(view, str) else view
        return python_inspect.getsource(found)
    except (ImportError, OSError, TypeError):
        return ""


def reads_query(leaf: Leaf) -> bool:
    """Whether a view's source reads the query string."""
    texts = map(source_of, functions_of(unwrap(leaf.callback)))
    return any("request.GET" in text or "query_params" in text for text in texts)
