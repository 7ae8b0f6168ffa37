"""Tests of what is said of views that answer oddly."""

from __future__ import annotations

import asyncio
import os
import queue
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import pytest
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http import (
    FileResponse,
    Http404,
    HttpResponse,
    HttpResponseNotFound,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.test import override_settings
from django.urls import URLPattern, path, re_path
from django.urls.resolvers import RegexPattern
from django.views import View

from tests.smoke import inside
from yourlabs.smoke import exchange, reasons, state
from yourlabs.smoke.describing import login_paths
from yourlabs.smoke.outcomes import Outcome, Result

pytestmark = pytest.mark.usefixtures("rows")
NOWHERE = "no way found to write its URL"


class MuteError(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError("No text.")


def judge(view: Callable[..., Any], route: str = "page/", **options: Any) -> Result:
    """What a run says of one view."""
    return inside.judge([path(route, view, name="page")], **options)["page"]


def missing(request: Any, **kwargs: Any) -> HttpResponse:
    """Never there."""
    raise Http404


def fine(request: Any, **kwargs: Any) -> HttpResponse:
    """Always there."""
    return HttpResponse()


def mute(request: Any) -> HttpResponse:
    """Raise what cannot be printed."""
    raise MuteError


def odd_syntax(request: Any) -> HttpResponse:
    """Raise what Python's own traceback cannot be written of."""
    error = SyntaxError("odd")
    error.lineno, error.offset, error.text = 1, "x", "text"  # type: ignore[assignment]
    raise error


def number(request: Any, ref: str) -> HttpResponse:
    """Take only numbers, whatever the pattern says."""
    return HttpResponse(int(ref))


def of_query(request: Any) -> HttpResponse:
    """Be there only with a query string."""
    if "page" not in request.GET:
        raise Http404
    return HttpResponse()


class OfQuery(View):
    """Is there only with a query string."""

    def get(self, request: Any) -> HttpResponse:
        """Look at the query string."""
        if "page" not in request.GET:
            raise Http404
        return HttpResponse()


@pytest.mark.parametrize("view", [mute, odd_syntax])
def test_exception_that_cannot_be_written_is_a_failure(view: Any) -> None:
    """An exception whose text or traceback raises costs one pattern only."""
    found = judge(view)

    assert Outcome.FAILED is found.outcome
    assert found.exception_class.rsplit(".", 1)[1] in found.reason
    assert found.traceback


def test_value_that_a_view_cannot_take_is_doubted() -> None:
    """A made-up value that cannot be converted is not the view's fault."""
    found = judge(number, "page/<str:ref>/")

    assert Outcome.DOUBTFUL is found.outcome
    assert "ValueError: invalid literal for int()" in found.reason


@pytest.mark.parametrize("view", [of_query, OfQuery.as_view()])
def test_missing_query_string_is_the_reason(view: Any) -> None:
    """A page that looks at its query string before it answers 404 needs one."""
    assert "needs a query string" == judge(view).reason


def test_page_of_an_error_may_answer_with_it() -> None:
    """A pattern that is called like a status is there to show it."""
    assert Outcome.OK is judge(missing, "404/").outcome


@pytest.mark.parametrize(
    ("expected", "outcome", "reason"),
    [
        (404, Outcome.OK, ""),
        (200, Outcome.FAILED, "answered 404, expected 200"),
    ],
)
def test_expected_status_decides(expected: int, outcome: Outcome, reason: str) -> None:
    """What the setting expects is right, and everything else is wrong."""
    with override_settings(SMOKE={"expect": {"page": expected}}):
        found = judge(missing)

    assert (outcome, reason) == (found.outcome, found.reason)


@pytest.mark.parametrize(
    ("location", "outcome"),
    [
        ("/sso/sign-in/", Outcome.SKIPPED),
        ("https://sso.example.com/login", Outcome.SKIPPED),
        ("https://example.org/", Outcome.OK),
        ("/entry/", Outcome.SKIPPED),
        ("/classes/", Outcome.SKIPPED),
        ("/other/", Outcome.OK),
        ("/other/?next=/page/", Outcome.SKIPPED),
    ],
)
def test_redirect_to_a_page_to_log_in_is_a_refusal(
    location: str, outcome: Outcome
) -> None:
    """A redirect to log in is no answer, however that page is called."""
    from django.contrib.auth.views import LoginView

    def view(request: Any) -> HttpResponse:
        return HttpResponseRedirect(location)

    found = inside.judge(
        [
            path("page/", view, name="page"),
            path("entry/", login_not_required(fine), name="signin"),
            path("classes/", LoginView.as_view(template_name="home.html")),
            path("other/", fine),
        ]
    )["page"]

    assert outcome is found.outcome
    assert found.reason == ("" if outcome is Outcome.OK else "forbidden for all roles")


def test_made_user_is_no_proof_where_there_are_people() -> None:
    """A page that fails only for a user who was made is healthy for a real one."""
    from django.contrib.auth import get_user_model

    get_user_model().objects.filter(is_superuser=False).delete()

    def view(request: Any) -> HttpResponse:
        return HttpResponse(1 / request.user.is_superuser)

    found = judge(view)

    assert (Outcome.OK, "superuser") == (found.outcome, found.role)


def test_pattern_that_takes_too_long_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pattern without a verdict in its time says so."""
    for module in (state, reasons):
        monkeypatch.setattr(module, "PATTERN_SECONDS", 0.0)

    assert "given up after 0 s of requests" == judge(missing).reason


class Closed:
    """A middleware that answers for a view."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        """Answer without the view."""
        if request.path == "/page/":
            return HttpResponse("closed")
        return self.get_response(request)


class Counted(Closed):
    """A middleware that redirects until the URL says how often."""

    def __call__(self, request: Any) -> Any:
        """Redirect to the same page."""
        if "seen" not in request.GET:
            return HttpResponseRedirect(f"{request.path}?seen=1")
        return self.get_response(request)


CLOSED = f"{__name__}.Closed"


@pytest.mark.parametrize(
    ("middleware", "url", "reason"),
    [
        (Closed, "/page/", f"shadowed by a middleware: answered 200 by {CLOSED}"),
        (Counted, "/page/?seen=1", ""),
    ],
)
def test_middleware_is_no_view(middleware: type, url: str, reason: str) -> None:
    """A middleware's answer says nothing of a view; its redirect is followed."""
    with override_settings(MIDDLEWARE=[f"{__name__}.{middleware.__name__}"]):
        found = judge(fine)

    assert (url, reason) == (found.url, found.reason)
    assert found.outcome is (Outcome.SKIPPED if reason else Outcome.OK)


class Odd(RegexPattern):
    """A pattern that does not say what it matches."""

    @property
    def regex(self) -> Any:
        """Raise."""
        raise RuntimeError("Guess.")

    def match(self, path: str) -> Any:
        """Raise as well."""
        raise RuntimeError("Guess.")


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (re_path(r"^rest/", missing, name="page"), "the rest of the path"),
        (re_path(r"^(?!a)[a-z]$", fine, name="page"), NOWHERE),
        (URLPattern(Odd("odd"), fine, name="page"), NOWHERE),
    ],
)
def test_pattern_that_cannot_be_written_says_so(pattern: Any, reason: str) -> None:
    """A pattern without a URL is skipped with one reason, and breaks nothing."""
    found = inside.judge([pattern])

    assert Outcome.SKIPPED is found["page"].outcome
    assert reason in found["page"].reason
    assert {"login", "page"} == set(found)


def endless(request: Any) -> StreamingHttpResponse:
    """Stream large pieces for ever."""

    def pieces() -> Any:
        while True:
            yield b"x" * 1024**2

    return StreamingHttpResponse(pieces())


async def endless_too(request: Any) -> StreamingHttpResponse:
    """Stream large pieces for ever, without blocking."""

    async def pieces() -> Any:
        while True:
            yield b"x" * 1024**2

    return StreamingHttpResponse(pieces())


async def stuck(request: Any) -> StreamingHttpResponse:
    """Stream once, then wait for ever."""

    async def pieces() -> Any:
        yield b"once"
        await asyncio.Event().wait()

    return StreamingHttpResponse(pieces())


def sse(*waits: Any) -> Any:
    """A view that streams what it waits for, and has nothing to say so far."""

    def view(request: Any) -> StreamingHttpResponse:
        def events() -> Any:
            for wait in waits:
                yield f"data: {wait()}\n\n"

        return StreamingHttpResponse(events(), content_type="text/event-stream")

    return view


def from_pipe() -> bytes:
    """Read what nobody writes."""
    reader, writer = os.pipe()
    try:
        return os.read(reader, 1)
    finally:
        os.close(reader)
        os.close(writer)


def from_socket() -> bytes:
    """Receive what nobody sends."""
    one, other = socket.socketpair()
    with one, other:
        return one.recv(1)


def ticks(request: Any) -> StreamingHttpResponse:
    """Stream a little now and then."""
    return StreamingHttpResponse(b"x" if not time.sleep(0.01) else b"" for _ in count())


async def silent(request: Any) -> StreamingHttpResponse:
    """Wait for a message that nobody sends, without blocking."""

    async def pieces() -> Any:
        yield await asyncio.Queue[bytes]().get()

    return StreamingHttpResponse(pieces())


def large(request: Any) -> FileResponse:
    """Send a file of gigabytes."""
    file = tempfile.TemporaryFile()  # noqa: SIM115
    file.truncate(5 * 1024**3)
    return FileResponse(file)


STREAMS = {
    "endless": endless,
    "endless async": endless_too,
    "stuck async": stuck,
    "silent async": silent,
    "event": sse(lambda: threading.Event().wait(3600)),
    "sleep": sse(str, lambda: time.sleep(3600)),
    "pipe": sse(from_pipe),
    "socket": sse(str, from_socket),
    "condition": sse(lambda: queue.Queue[str]().get(timeout=3600)),
    "ticks": ticks,
    "large": large,
}


@pytest.mark.parametrize("view", STREAMS.values(), ids=STREAMS)
def test_stream_that_has_begun_has_answered(
    view: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream is read for a while and closed, and takes no longer than to begin."""
    monkeypatch.setattr(exchange, "MAX_STREAM_SECONDS", 0.3)

    found = judge(view)

    assert Outcome.OK is found.outcome
    assert found.ms is not None
    assert found.ms < 300


# The time may run out in the callback of a weak reference, where Python drops it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_request_without_an_end_is_given_up() -> None:
    """A request is given up after its time, and has failed."""

    def view(request: Any) -> HttpResponse:
        threading.Event().wait(60)
        return HttpResponse()

    found = judge(view, timeout=0.05)

    assert Outcome.FAILED is found.outcome
    assert "RequestTimeout: The request took longer than 0.05 s." == found.reason


def test_page_to_log_in_that_is_not_there_is_none() -> None:
    """A setting that names no pattern sends people nowhere."""
    with override_settings(LOGIN_URL="not-there"):
        assert () == login_paths()


@pytest.mark.parametrize("error", [BadRequest, SuspiciousOperation])
def test_bad_request_is_no_failure_in_debug_mode(error: type[Exception]) -> None:
    """What Django answers with 400 is not taken for an error of the view."""

    def strict(request: Any) -> HttpResponse:
        raise error("Not like this.")

    with override_settings(DEBUG=True):
        found = judge(strict)

    assert (400, "needs a query string") == (found.status, found.reason)


def test_page_of_bad_requests_is_healthy_in_debug_mode() -> None:
    """A pattern that is there to show the page of a bad request does so."""

    def page(request: Any) -> HttpResponse:
        raise SuspiciousOperation

    with override_settings(DEBUG=True):
        found = judge(page, "400")

    assert Outcome.OK is found.outcome


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (402, "Payment Required"),
        (406, "Not Acceptable"),
        (409, "Conflict"),
        (410, "Gone"),
        (411, "Length Required"),
        (415, "Unsupported Media Type"),
        (421, "Misdirected Request"),
        (422, "Unprocessable"),
        (423, "Locked"),
        (425, "Too Early"),
        (426, "Upgrade Required"),
        (428, "Precondition Required"),
        (431, "Request Header Fields Too Large"),
        (451, "Unavailable For Legal Reasons"),
        (499, ""),
    ],
)
@pytest.mark.parametrize("route", ["page/", "page/<slug:word>/"])
def test_refusal_with_a_reason_is_no_failure(
    status: int, name: str, route: str
) -> None:
    """A status that says why a healthy view refuses is the reason to be skipped."""

    def view(request: Any, **kwargs: Any) -> HttpResponse:
        return HttpResponse(status=status)

    found = judge(view, route)

    assert Outcome.SKIPPED is found.outcome
    if status != 410 or route == "page/":
        assert found.reason.startswith(f"answered {status} {name}".strip())


def root(request: Any) -> HttpResponse:
    """Nothing to see, but below."""
    if request.path.endswith("v1/"):
        raise Http404("Read the manual.")
    raise Http404


def bare_root(request: Any) -> HttpResponse:
    """Nothing to see, but below."""
    return HttpResponseNotFound("Look below.")


class Root(View):
    """Nothing to see, but below."""

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        """Answer that."""
        return HttpResponse("no", status=404)


def sometimes(request: Any) -> HttpResponse:
    """Not there today."""
    if request.path:
        raise Http404
    return HttpResponse()


@pytest.mark.parametrize("view", [root, bare_root, Root.as_view(), partial(root)])
def test_root_that_is_never_there_is_no_failure(view: Any) -> None:
    """A view below which others lie, and that answers 404 only, is so by design."""
    found = inside.judge(
        [
            path("api/v1/", login_not_required(view), name="root"),
            path("api/v1/things/", fine, name="things"),
        ]
    )

    reason = "answered 404 Not Found, as the root of other patterns"
    assert (Outcome.SKIPPED, reason) == (found["root"].outcome, found["root"].reason)
    assert Outcome.OK is found["things"].outcome


@pytest.mark.parametrize(
    ("view", "below"), [(sometimes, "page/things/"), (root, "other/")]
)
def test_other_page_that_is_not_there_has_failed(view: Any, below: str) -> None:
    """A view that answers 404 today, or to which nothing else belongs, has failed."""
    found = inside.judge(
        [path("page/", view, name="page"), path(below, fine, name="below")]
    )

    assert "answered 404 to every role" == found["page"].reason
