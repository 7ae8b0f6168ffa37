"""Tests of what a run says when it tested nothing, and of failures with one cause."""

from __future__ import annotations

import logging
import socket
import uuid
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from django.contrib.auth.decorators import login_not_required, login_required
from django.core.exceptions import ImproperlyConfigured
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.test import override_settings
from django.urls import path

from tests.smoke import inside
from tests.smoke.helpers import Finished

pytestmark = pytest.mark.usefixtures("rows")
JSON = ("--format", "json")
Middleware = Callable[[Callable[[HttpRequest], HttpResponse]], Any]


@pytest.fixture(autouse=True)
def _without_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what the apps of the installed project list."""
    monkeypatch.setattr("yourlabs.smoke.run.listed_results", lambda run: [])


def answering(answer: Callable[[HttpRequest], HttpResponse]) -> Middleware:
    """A middleware that answers in the place of all views but one."""

    def middleware(get_response: Callable[[HttpRequest], HttpResponse]) -> Any:
        def call(request: HttpRequest) -> HttpResponse:
            is_passed = request.path in ("/soon/", "/login/")
            return get_response(request) if is_passed else answer(request)

        return call

    return middleware


def _raise(error: Exception) -> Any:
    raise error


forbidden = answering(lambda request: HttpResponse("no", status=403))
unauthorized = answering(lambda request: HttpResponse("who?", status=401))
paused = answering(lambda request: HttpResponse("later", status=503))
upgrading = answering(lambda request: HttpResponse("later", status=502))
no_tenant = answering(lambda request: _raise(Http404("No tenant.")))
bad_host = answering(lambda request: HttpResponse("whose?", status=400))
elsewhere = answering(lambda request: HttpResponseRedirect("/soon/"))
other_host = answering(
    lambda request: HttpResponseRedirect(f"https://new.example.net{request.path}")
)
raising = answering(lambda request: _raise(ImproperlyConfigured("No API key.")))
reaching_out = answering(
    lambda request: HttpResponse(socket.create_connection(("192.0.2.1", 80)).recv(1))
)
empty = answering(lambda request: HttpResponse("<html>"))
prefixed = answering(lambda request: HttpResponseRedirect(f"/en{request.path}"))
signing_on = answering(
    lambda request: HttpResponseRedirect(f"/sso/{uuid.uuid4().hex}/")
)
nameless = answering(
    lambda request: _raise(ImproperlyConfigured(f"No site for {request.path}."))
)


class Doors:
    """A middleware that refuses everybody when the view is known already."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        """Pass the request on."""
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *args: Any) -> Any:
        """Refuse."""
        return HttpResponse("no", status=403)


@login_not_required
def fine(request: Any) -> HttpResponse:
    """Always there."""
    return HttpResponse("fine")


def run(
    urlpatterns: list[Any], *arguments: str, middleware: str = "", **changed: Any
) -> Finished:
    """Run the command on some patterns, behind a middleware of this module."""
    module: Any = ModuleType("urls_of_a_test")
    module.urlpatterns = urlpatterns
    if middleware:
        changed["MIDDLEWARE"] = [f"{__name__}.{middleware}"]
    with override_settings(ROOT_URLCONF=module, **changed):
        return inside.command(*arguments)


PAGES = [path(f"page/{n}/", fine, name=f"page{n}") for n in range(5)]


@pytest.mark.parametrize(
    ("middleware", "told"),
    [
        ("forbidden", "answered 403"),
        ("unauthorized", "answered 401"),
        ("paused", "maintenance"),
        ("upgrading", "maintenance"),
        ("no_tenant", "No site or tenant"),
        ("bad_host", "No site or tenant"),
        ("elsewhere", "redirected to /soon/"),
        ("other_host", "redirected to https://new.example.net"),
        ("raising", "ImproperlyConfigured: No API key."),
        ("reaching_out", "Allow it as the end of the report says."),
        ("empty", "answered 200"),
        ("prefixed", "redirected to /en…"),
        ("signing_on", "redirected to /sso/…/"),
        ("nameless", "ImproperlyConfigured: No site for …."),
    ],
)
def test_site_that_lets_no_request_in_is_not_green(middleware: str, told: str) -> None:
    """Where one middleware answers for all views, the report opens with it; 2."""
    soon = path("soon/", fine, name="soon")

    done = run([*PAGES, soon], middleware=middleware)
    report = run([*PAGES, soon], *JSON, middleware=middleware).report

    first = done.stdout.splitlines()[0]
    assert 2 == done.code
    assert first.startswith("Nothing was tested: 5 of 6 patterns ended before their")
    assert told in first
    assert f"by {__name__}.{middleware}" in first
    assert first in done.stderr
    assert first == report["summary"]["notes"][0]


def test_refusal_of_a_known_view_is_not_green() -> None:
    """A middleware that looks at the view and refuses it keeps everybody out too."""
    done = run(PAGES, middleware="Doors")

    assert 2 == done.code
    assert "5 of 5 patterns ended before their view was called" in done.stdout


def test_login_that_works_for_nobody_is_not_green() -> None:
    """Where everybody is sent to log in, although they are, nothing was tested."""
    several = [
        path(f"page/{n}/", login_required(fine, login_url="/in/")) for n in range(3)
    ]

    done = run([*several, path("in/", fine)], MIDDLEWARE=[f"{__name__}.empty"])
    again = run([*several, path("in/", fine)], middleware="anonymous_again")

    assert 2 == done.code
    assert 2 == again.code
    assert "3 of 4 patterns ended before their view was called" in again.stdout
    assert "nobody could log in" in again.stdout


def anonymous_again(get_response: Any) -> Any:
    """A middleware after which nobody is logged in."""

    def call(request: Any) -> Any:
        from django.contrib.auth.models import AnonymousUser

        request.user = AnonymousUser()
        return get_response(request)

    return call


def test_run_that_ended_too_early_is_not_green() -> None:
    """Patterns that the time was too short for were not tested."""
    done = run(PAGES, "--max-seconds", "0.000001")

    assert 2 == done.code
    assert "Give it more time with --max-seconds" in done.stdout.splitlines()[0]


@pytest.mark.parametrize("arguments", [(), ("admin",), ("--listed",)])
def test_run_over_nothing_is_not_green(arguments: tuple[str, ...]) -> None:
    """Where there is no pattern to request, the command ends with 2."""
    done = run(PAGES if arguments else [], *arguments)

    assert (2, "0 patterns") == (done.code, done.stdout.splitlines()[-1][:10])
    assert "Nothing was tested: there is no URL pattern to request." in done.stderr


def test_run_that_skipped_everything_is_not_green() -> None:
    """Where all is skipped, for whatever reasons, nothing was tested."""
    with override_settings(SMOKE={"exclude": ["page*"]}):
        done = run(PAGES)

    assert 2 == done.code
    assert "every pattern was skipped: excluded (5)." in done.stdout.splitlines()[0]


def test_site_that_lets_most_requests_in_is_green() -> None:
    """Where a middleware answers for the smaller part only, the rest was tested."""
    soon = [path("soon/", fine, name="soon"), path("login/", fine, name="login")]

    done = run([*soon, PAGES[0]], middleware="forbidden")

    assert 0 == done.code
    assert "forbidden for all roles: answered 403 by " in done.stdout


# -- one cause, one entry ------------------------------------------------------


def helper() -> None:
    """Fail in a place that several views share."""
    raise RuntimeError("No connection to the search.")


def searching(number: int) -> Any:
    """A view that shares its failure with others, but the number in its text."""

    @login_not_required
    def view(request: Any) -> HttpResponse:
        return HttpResponse(helper())

    return view


def manifest(number: int) -> Any:
    """A view whose page needs a static file that nobody collected."""

    @login_not_required
    def view(request: Any) -> HttpResponse:
        raise ValueError(f"Missing staticfiles manifest entry for '{number}.css'")

    return view


def bundle(number: int) -> Any:
    """A view whose page needs assets that nobody built."""

    @login_not_required
    def view(request: Any) -> HttpResponse:
        raise OSError(f"Error reading webpack-stats.json for {'ab'[number % 2]}")

    return view


def table(number: int) -> Any:
    """A view that reads a table that is not there."""

    @login_not_required
    def view(request: Any) -> HttpResponse:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM not_there_{number}")
        return HttpResponse()

    return view


def template(number: int) -> Any:
    """A view whose template is broken in what all pages share."""

    @login_not_required
    def view(request: Any) -> HttpResponse:
        from django.template import engines

        page = engines["django"].from_string("{% url 'not-there' %}")
        return HttpResponse(page.render({"number": number}, request))

    return view


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (searching, ""),
        (template, ""),
        (manifest, "manage.py collectstatic"),
        (bundle, "Build the assets"),
        (table, "manage.py migrate"),
    ],
)
def test_failures_of_one_cause_are_one_entry(
    make: Callable[[int], Any], hint: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What makes several pages fail is told once, with what to do about it."""
    several = [path(f"{n}/", make(n), name=f"page{n}") for n in range(15)]

    done = run(several)
    (cause,) = run(several, *JSON).report["summary"]["causes"]

    lines = done.stdout.split("slowest")[0].strip().splitlines()
    assert 1 == done.code
    assert "failed (15)" == lines[0]
    assert lines[2].startswith("    and 14 more: page1, page2, page3, ")
    assert lines[2].endswith("page10 and 4 more")
    assert (3 if not hint else 4) == len(lines)
    assert hint in lines[-1]
    assert hint in cause["hint"]
    assert [f"page{n}" for n in range(15)] == cause["patterns"]
    logged = [record for record in caplog.records if record.name == "smoke"]
    assert ["(and 14 more patterns)"] * 2 == [
        record.getMessage()[-22:] for record in logged
    ]


def test_failures_of_several_causes_are_several_entries() -> None:
    """Other errors, other places and other texts are other causes."""

    def view(request: Any, name: str) -> HttpResponse:
        raise KeyError(name)

    several = [
        path("login/", fine, name="login"),
        path("one/", view, {"name": "one"}, name="one"),
        path("two/", view, {"name": "two"}, name="two"),
        path("three/", searching(3), name="three"),
        path("four/", table(4), name="four"),
        path("five/", lambda request: HttpResponse(status=500), name="five"),
        path("six/", lambda request: HttpResponse(status=500), name="six"),
        path("seven/", lambda request: render(request, "no.html"), name="seven"),
    ]

    found = run(several, *JSON).report["summary"]["causes"]

    names = ["one", "two", "three", "four", "five", "six", "seven"]
    assert [[name] for name in names] == [cause["patterns"] for cause in found]


@pytest.fixture
def handler() -> Iterator[logging.StreamHandler[Any]]:
    """A handler of the project's own, on the terminal."""
    import sys

    made = logging.StreamHandler(sys.stderr)
    logging.getLogger("smoke").addHandler(made)
    yield made
    logging.getLogger("smoke").removeHandler(made)


@pytest.mark.parametrize(("verbosity", "has_traceback"), [("1", False), ("2", True)])
def test_terminal_has_tracebacks_only_when_asked(
    handler: logging.Handler,
    verbosity: str,
    has_traceback: bool,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The report is not preceded by tracebacks, which other handlers do get."""
    handler.stream = __import__("sys").stderr  # type: ignore[attr-defined]

    run([path("broken/", searching(1), name="broken")], "--verbosity", verbosity)

    written = capsys.readouterr().err
    assert 1 == written.count("RuntimeError: No connection") - has_traceback
    assert has_traceback is ("Traceback" in written)
    assert any(record.exc_info for record in caplog.records)
    assert handler.formatter is None
