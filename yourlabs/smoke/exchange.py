"""What one request sends and shows."""

from __future__ import annotations

import contextlib
import io
import itertools
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.http import HttpResponse

from yourlabs.smoke.isolation.guard import Refusal

MAX_BODY = 2 * 1024**2
"""How many bytes of a streaming answer are read before it is closed."""

MAX_STREAM_SECONDS = 2.0
"""How long a streaming answer is read, as what it waits for may never happen."""

MAX_TRACEBACK = 64 * 1024
MAX_FILTERS = 12


class RequestTimeout(BaseException):
    """A request took longer than it may; no view can swallow this by accident."""


@dataclass
class Answer:
    """What one request showed.

    Attributes:
        refused: What the view and the threads that it started may not do.
        views: The views that were really called, in order.
        stopped_by: The middleware that did not pass the request on; empty when all did.
        written: The tables that rows were inserted into, which are gone by now.
        more: Query strings that the answer itself offers to try.
        has_ended_session: Whether the answer takes the cookie of the session away.
    """

    url: str
    role: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    location: str = ""
    content_type: str = ""
    ms: float = 0.0
    queries: int = 0
    identical: tuple[int, str] = (0, "")
    missing_variables: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    views: list[Any] = field(default_factory=list)
    stopped_by: str = ""
    exception: BaseException | None = None
    traceback: str = ""
    request_text: str = ""
    written: frozenset[str] = frozenset()
    more: list[str] = field(default_factory=list)
    is_user_made: bool = False
    has_no_user: bool = False
    has_ended_session: bool = False


def traceback_text(error: BaseException) -> str:
    """The traceback of an exception, cut at its beginning."""
    try:
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        text = "".join(lines)
    except Exception:  # a syntax error whose place is nonsense
        text = type(error).__name__
    return text[-MAX_TRACEBACK:]


def keep(answer: Answer, response: Any, body: bytes) -> None:
    """Copy a response into an answer."""
    answer.status = response.status_code
    answer.headers = {key: str(value) for key, value in response.items()}
    answer.body = body
    answer.location = str(response.get("Location", ""))
    answer.content_type = str(response.get("Content-Type", ""))
    cookie = response.cookies.get(settings.SESSION_COOKIE_NAME)
    answer.has_ended_session = cookie is not None and not cookie.value


def changelist_queries(response: Any) -> list[str]:
    """The query strings worth trying on a changelist of the admin, just shown."""
    changelist: Any = (getattr(response, "context_data", None) or {}).get("cl")
    if not hasattr(changelist, "filter_specs"):
        return []
    queries = ["?q=a", "?o=1", "?_facets=True"]
    for spec in changelist.filter_specs[:MAX_FILTERS]:
        choices = list(spec.choices(changelist))[1:]
        several = [one for one in choices if one.get("query_string")]
        queries += [str(c["query_string"]) for c in several if not c.get("selected")][
            :1
        ]
    return queries


def read_body(response: Any) -> bytes:
    """The body of a response, or the beginning of an endless one."""
    if not response.streaming:
        return bytes(response.content)
    if getattr(response, "is_async", False):
        return async_to_sync(_read_async)(response)
    kept = io.BytesIO()
    with contextlib.suppress(RequestTimeout), limited(MAX_STREAM_SECONDS):
        deadline = time.monotonic() + MAX_STREAM_SECONDS
        for chunk in itertools.islice(response.streaming_content, 10_000):
            kept.write(chunk)
            if kept.tell() > MAX_BODY or time.monotonic() > deadline:
                break
    return kept.getvalue()


async def _read_async(response: Any) -> bytes:
    import asyncio

    kept = io.BytesIO()

    async def read() -> None:
        count = 0
        async for chunk in response.streaming_content:
            kept.write(chunk)
            count += 1
            if kept.tell() > MAX_BODY or count > 10_000:
                break

    with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
        await asyncio.wait_for(read(), MAX_STREAM_SECONDS)
    return kept.getvalue()


def bare_page(*args: Any, status_code: int = 500, **kwargs: Any) -> HttpResponse:
    """Stand in for Django's debug page, which is also the one of bad requests."""
    return HttpResponse(status=status_code)


def close_response(response: Any) -> None:
    """Close a response, whatever that raises."""
    if response is not None:
        with contextlib.suppress(Exception):
            response.close()


def warning_texts(caught: list[Any]) -> list[str]:
    """Warnings as short texts, each once."""
    found: dict[str, None] = {}
    for item in caught:
        if not issubclass(item.category, (ResourceWarning, ImportWarning)):
            found.setdefault(f"{item.category.__name__}: {item.message}"[:300])
    return list(found)[:20]


def request_text_of(environ: dict[str, Any]) -> str:
    """A request as it would be sent, without its cookies."""
    query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
    lines = [f"GET {environ['PATH_INFO']}{query} HTTP/1.1"]
    for key, value in environ.items():
        if key.startswith("HTTP_") and key != "HTTP_COOKIE":
            lines.append(f"{key[5:].replace('_', '-').title()}: {value}")
    return "\n".join(lines)


@contextlib.contextmanager
def quiet_output() -> Iterator[None]:
    """Keep what a view prints out of the report."""
    # Some print bytes, or ask for the encoding.
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), "utf-8")):
        yield


@contextlib.contextmanager
def limited(seconds: float | None) -> Iterator[None]:
    """Give up a block after some seconds, in the main thread only.

    A timer of somebody else, like that of a test runner, goes on afterwards. Python
    drops what is raised in a finalizer, or by a view that catches everything: the block
    is given up again after as long, but at least after a second.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not seconds or not is_main or not hasattr(signal, "setitimer"):
        yield
        return

    is_over = False

    def give_up(number: int, frame: Any) -> None:
        if not is_over:
            raise RequestTimeout(f"The request took longer than {seconds:g} s.")

    # Stopped first: it must not ring where its handler is gone.
    remaining, interval = signal.setitimer(signal.ITIMER_REAL, 0)
    started = time.monotonic()
    previous = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds, max(seconds, 1.0))
    try:
        try:
            yield
        finally:
            is_over = True
    finally:
        # The time may have run out between the end of the block and the line above.
        is_over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        if remaining:
            # Zero would stop the timer although its time has come.
            rest = max(remaining - (time.monotonic() - started), 0.001)
            signal.setitimer(signal.ITIMER_REAL, rest, interval)
