"""Tests of projects whose hosts have URL patterns and rows of their own."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
from django.conf import settings
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.test import override_settings
from django.urls import path

from tests.smoke import inside
from yourlabs.smoke.outcomes import Outcome, Result
from yourlabs.smoke.run import SmokeRun
from yourlabs.smoke.state import Options

pytestmark = pytest.mark.usefixtures("installed", "db")
HERE = __name__
JSON = ("--format", "json")


def fine(request: Any) -> HttpResponse:
    """Say which host was asked."""
    return HttpResponse(request.get_host())


def broken(request: Any) -> HttpResponse:
    """Raise."""
    raise RuntimeError("broken")


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """URL patterns of a site and of its API, and no list of any app."""
    for name, patterns in (
        ("main_urls", [path("", fine, name="home"), path("us/", fine, name="us")]),
        ("api_urls", [path("", fine, name="api"), path("v1/", broken, name="v1")]),
    ):
        module: Any = ModuleType(name)
        module.urlpatterns = patterns
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("yourlabs.smoke.run.listed_results", lambda run: [])


def run(*middleware: str, **changed: Any) -> tuple[dict[str, Result], list[str]]:
    """What a run says of the patterns, by name, and what it notes."""
    changed = {"ROOT_URLCONF": "main_urls", "SITE_ID": 1, **changed}
    several = [f"{HERE}.{name}" for name in middleware]
    with override_settings(MIDDLEWARE=several, **changed):
        made = SmokeRun()
        return {result.name: result for result in made.run()}, made.notes


def by_host(get_response: Any) -> Any:
    """A middleware that chooses the URL patterns by the beginning of the host."""

    def middleware(request: Any) -> Any:
        if request.get_host().startswith("api."):
            request.urlconf = "api_urls"
        return get_response(request)

    return middleware


def by_setting(get_response: Any) -> Any:
    """A middleware that looks the URL patterns of a host up in a setting."""

    def middleware(request: Any) -> Any:
        known = settings.SHOP_URLCONFS
        host = request.get_host()
        request.urlconf = known.get(host) or known.get(host.split(".")[0])
        return get_response(request)

    return middleware


def by_row(get_response: Any) -> Any:
    """A middleware that knows the hosts in a table, and no other one."""

    def middleware(request: Any) -> Any:
        from django.contrib.sites.models import Site

        site = Site.objects.filter(domain=request.get_host()).first()
        if site is None:
            raise Http404("No such site.")
        request.urlconf = "api_urls" if site.name == "API" else None
        return get_response(request)

    return middleware


SHOP = {"ALLOWED_HOSTS": ["shop.example.com", "api.example.com"]}
WILD = {"ALLOWED_HOSTS": [".example.com"]}


@pytest.mark.parametrize(
    ("middleware", "changed", "hosts"),
    [
        (by_host, SHOP, ("shop.example.com", "api.example.com")),
        (
            by_setting,
            {**WILD, "SHOP_URLCONFS": {"api": "api_urls", None: "main_urls"}},
            ("example.com", "api.example.com"),
        ),
        (
            by_setting,
            {**WILD, "SHOP_URLCONFS": {"api.example.net": "api_urls"}},
            ("example.com", "api.example.net"),
        ),
        (by_row, {}, ("one.example.com", "two.example.com")),
    ],
)
def test_patterns_of_each_host_are_requested(
    middleware: Any, changed: dict[str, Any], hosts: tuple[str, str]
) -> None:
    """Where URL patterns are chosen by host, those of all hosts are judged."""
    from django.contrib.sites.models import Site

    Site.objects.all().delete()
    Site.objects.create(domain="two.example.com", name="API")
    Site.objects.create(domain="one.example.com", name="Shop")

    found, notes = run(middleware.__name__, **changed)

    assert {"home", "us", "api", "v1"} == set(found)
    assert [Outcome.OK, Outcome.OK, Outcome.OK, Outcome.FAILED] == [
        found[name].outcome for name in ("home", "us", "api", "v1")
    ]
    assert hosts[0] in found["us"].request_text
    assert (f"//{hosts[1]}/v1/", hosts[1]) == (found["v1"].pattern, found["v1"].host)
    assert [] == notes


def test_pattern_of_another_host_is_named_and_remembered_with_it() -> None:
    """The route of a pattern of another host begins with the host, wherever it is."""
    from yourlabs.smoke.models import FailUrl

    changed = {"ROOT_URLCONF": "main_urls", "SITE_ID": 1, **SHOP}
    with override_settings(MIDDLEWARE=[f"{HERE}.by_host"], **changed):
        whole = inside.command()
        again = inside.command("--only", "//api.example.com/v1/", *JSON)

    row = FailUrl.objects.get()
    assert "  //api.example.com/v1/ [v1] as anonymous 500: Runtime" in whole.stdout
    assert ("//api.example.com/v1/", 2) == (row.pattern, row.count)
    assert ["api.example.com"] == [row["host"] for row in again.report["results"]]


def test_host_of_another_server_is_told_by_the_setting() -> None:
    """Where the server in front decides, the setting says which patterns a host has."""
    urlconfs = {"api.example.com": "api_urls"}

    found, _ = run(SMOKE={"urlconfs": urlconfs}, ALLOWED_HOSTS=["shop.example.com"])

    assert Outcome.FAILED is found["v1"].outcome
    assert "//api.example.com/v1/" == found["v1"].pattern
    assert Outcome.OK is found["us"].outcome


def test_url_patterns_that_cannot_be_loaded_are_told() -> None:
    """A host of the setting whose module is not there ends the command with 2."""
    urlconfs = {"api.example.com": "not_there_urls"}
    changed = {"ROOT_URLCONF": "main_urls", "SMOKE": {"urlconfs": urlconfs}}
    with override_settings(MIDDLEWARE=[], **changed):
        done = inside.command()

    assert 2 == done.code
    assert "'not_there_urls' could not be loaded" in done.stderr


def test_patterns_that_may_be_left_out_are_told() -> None:
    """Where the hosts that a middleware knows are named nowhere, a note says so."""
    found, notes = run("by_host", ALLOWED_HOSTS=["shop.example.com"])

    assert {"home", "us"} == set(found)
    assert f"{HERE}.by_host may choose other URL patterns" in notes[0]
    assert "SMOKE['urlconfs']" in notes[0]


def canonical(get_response: Any) -> Any:
    """A middleware that sends everybody to one host, by HTTPS."""

    def middleware(request: Any) -> Any:
        if request.get_host() != "www.example.org":
            return HttpResponseRedirect(f"http://www.example.org{request.path}")
        if not request.is_secure():
            return HttpResponseRedirect(f"https://www.example.org{request.path}")
        return get_response(request)

    return middleware


@pytest.mark.parametrize(
    ("middleware", "changed", "host"),
    [
        ("canonical", {}, "www.example.org"),
        ("common", {"PREPEND_WWW": True, **SHOP}, "www.shop.example.com"),
    ],
)
def test_host_that_a_site_sends_to_is_asked(
    middleware: str, changed: dict[str, Any], host: str
) -> None:
    """Where a site sends everybody to one host or scheme, requests are made there."""
    found, _ = run(middleware, **changed)

    assert Outcome.OK is found["us"].outcome
    assert f"Host: {host}" in found["us"].request_text


def common(get_response: Any) -> Any:
    """Django's own middleware."""
    from django.middleware.common import CommonMiddleware

    return CommonMiddleware(get_response)


current = threading.local()


def tenant(get_response: Any) -> Any:
    """A middleware that says whose rows a request may see, and forgets it after."""

    def middleware(request: Any) -> Any:
        current.name = request.get_host().split(".")[0]
        try:
            return get_response(request)
        finally:
            current.name = None

    return middleware


@contextlib.contextmanager
def rows_of_tenants() -> Iterator[None]:
    """Let the manager of a model show the rows of the current tenant only."""
    from django.db import models

    kind: Any = import_module("tests.smoke.project.shop.models").Category

    def own(self: Any) -> Any:
        found = models.QuerySet(kind, using=self._db)
        name = getattr(current, "name", None)
        return found.filter(name=name) if self.model is kind else old(self)

    old = models.Manager.get_queryset
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models.Manager, "get_queryset", own)
        yield


def test_rows_are_looked_up_where_requests_look() -> None:
    """The rows that fill a pattern are those that its host may see."""
    kind: Any = import_module("tests.smoke.project.shop.models").Category

    def category(request: Any, slug: str) -> HttpResponse:
        return HttpResponse(kind.objects.get(slug=slug).name)

    module: Any = ModuleType("urls_of_a_test")
    module.urlpatterns = [path("c/<slug:slug>/", category, name="category")]
    for name in ("other", "acme"):
        kind.objects.create(name=name, slug=f"of-{name}")
    with rows_of_tenants():
        found, _ = run(
            "tenant", ROOT_URLCONF=module, ALLOWED_HOSTS=["acme.example.com"]
        )

    row = found["category"]
    assert (Outcome.OK, "/c/of-acme/", "row") == (row.outcome, row.url, row.provenance)


def test_site_with_one_host_is_asked_once() -> None:
    """Hosts with the same URL patterns are not asked one after the other."""
    hosts = [f"{name}.example.com" for name in "abc"]

    with override_settings(
        ROOT_URLCONF="main_urls", ALLOWED_HOSTS=hosts, SITE_ID=1, MIDDLEWARE=[]
    ):
        results = SmokeRun(Options()).run()

    assert ["home", "us"] == [result.name for result in results]
