"""Tests of sites that limit how often they may be asked."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.contrib.auth.decorators import login_not_required
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.urls import path

from tests.smoke import inside
from yourlabs.smoke import asking
from yourlabs.smoke.outcomes import Outcome, Result

pytestmark = pytest.mark.usefixtures("rows")


def judge(view: Any) -> set[tuple[Outcome, str]]:
    """What a run says of many pages of one view, which anybody may see."""
    several = [path(f"{n}/", login_not_required(view), name=f"{n}") for n in range(9)]
    found: dict[str, Result] = inside.judge(several)
    return {(found[name].outcome, found[name].reason) for name in map(str, range(9))}


def by_framework() -> Any:
    """A limit of REST framework."""
    from rest_framework.response import Response
    from rest_framework.throttling import AnonRateThrottle, UserRateThrottle
    from rest_framework.views import APIView

    class Guests(AnonRateThrottle):
        THROTTLE_RATES = {"anon": "2/day"}

    class People(UserRateThrottle):
        THROTTLE_RATES = {"user": "2/day"}

    class Page(APIView):
        authentication_classes = ()
        permission_classes = ()
        throttle_classes = (Guests, People)

        def get(self, request: Any) -> Response:
            return Response([])

    return Page.as_view()


def in_the_cache() -> Any:
    """A limit that counts in the cache, and then forbids the page."""

    def view(request: Any) -> HttpResponse:
        cache.add("asked", 0)
        if cache.incr("asked") > 2:
            raise PermissionDenied("You are too fast.")
        return HttpResponse()

    return view


def in_the_database() -> Any:
    """A limit that counts rows."""

    def view(request: Any) -> HttpResponse:
        from tests.smoke.project.shop.models import Category

        number = Category.objects.count()
        Category.objects.create(name="asked", slug=f"asked-{number}")
        return HttpResponse(status=429 if number > 5 else 200)

    return view


def in_the_session() -> Any:
    """A limit that counts in the session."""

    def view(request: Any) -> HttpResponse:
        request.session["asked"] = request.session.get("asked", 0) + 1
        return HttpResponse(status=429 if request.session["asked"] > 2 else 200)

    return view


@pytest.mark.parametrize(
    "limit", [by_framework, in_the_cache, in_the_database, in_the_session]
)
def test_requests_of_a_run_are_strangers(limit: Any) -> None:
    """What one request leaves counts for no other, so that no limit is reached."""
    assert {(Outcome.OK, "")} == judge(limit())


def in_the_process(wait: str) -> Any:
    """A limit that no run can undo: one request a moment."""
    last: list[float] = []

    def view(request: Any) -> HttpResponse:
        now = time.monotonic()
        if last and now - last[-1] < 0.2:
            return HttpResponse(status=429, headers={"Retry-After": wait})
        last.append(now)
        return HttpResponse()

    return view


def test_limit_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the next request is let in soon, it is made then."""
    waits: list[float] = []
    sleep = time.sleep
    monkeypatch.setattr(
        asking.time, "sleep", lambda seconds: (waits.append(seconds), sleep(0.21))
    )

    assert {(Outcome.OK, "")} == judge(in_the_process("1"))
    assert {1.0} == set(waits)


@pytest.mark.parametrize("wait", ["6", "3600", "Wed, 21 Oct 2065 07:28:00 GMT"])
def test_limit_that_lasts_is_the_reason(
    wait: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the next request is let in late, the pattern is skipped, and says so."""
    waits: list[float] = []
    monkeypatch.setattr(asking.time, "sleep", waits.append)

    def view(request: Any) -> HttpResponse:
        return HttpResponse(status=429, headers={"Retry-After": wait})

    assert {(Outcome.SKIPPED, "answered 429 Too Many Requests")} == judge(view)
    assert [] == waits


def test_run_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """All waits of a run together are limited too."""
    waits: list[float] = []
    monkeypatch.setattr(asking.time, "sleep", waits.append)

    def view(request: Any) -> HttpResponse:
        return HttpResponse(status=429, headers={"Retry-After": "4"})

    judge(view)

    assert 7 == len(waits)
