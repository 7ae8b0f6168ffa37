"""Tests that what a request made, and what was undone with it, is no evidence."""

from __future__ import annotations

import uuid
from importlib import import_module
from typing import Any

import pytest
from django.contrib import auth
from django.contrib.auth.decorators import login_not_required
from django.db import connection
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.test import override_settings
from django.urls import path

from tests.smoke import inside
from yourlabs.smoke.outcomes import Outcome, Result

pytestmark = pytest.mark.usefixtures("installed", "db")


class _Shop:
    """The models of the project, which are there when it is installed."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module("tests.smoke.project.shop.models"), name)


models = _Shop()


def draft(request: Any) -> HttpResponse:
    """Make a row, and go to its page."""
    row = models.Category.objects.create(name="draft", slug=uuid.uuid4().hex)
    return HttpResponseRedirect(f"/categories/{row.slug}/")


def several(request: Any) -> HttpResponse:
    """Make rows at once, and link to them."""
    slugs = [uuid.uuid4().hex for _ in range(3)]
    models.Category.objects.bulk_create(
        models.Category(name=slug, slug=slug) for slug in slugs
    )
    links = [f'<a href="/categories/{slug}/">{slug}</a>' for slug in slugs]
    return HttpResponse("".join(links))


def by_hand(request: Any) -> HttpResponse:
    """Make a row without a model, and link to it."""
    slug, table = uuid.uuid4().hex, models.Category._meta.db_table
    with connection.cursor() as cursor:
        sql = f'INSERT INTO "{table}" (name, slug) VALUES (%s, %s)'
        cursor.execute(sql, [slug, slug])
    return HttpResponse(f'<a href="/categories/{slug}/">it</a>')


def api(request: Any) -> JsonResponse:
    """Make a row, and list it as an API does."""
    row = models.Category.objects.create(name="api", slug=uuid.uuid4().hex)
    return JsonResponse([{"slug": row.slug}], safe=False)


def strict(request: Any, slug: str) -> HttpResponse:
    """Raise where the row is not there."""
    return HttpResponse(models.Category.objects.get(slug=slug).name)


def careless(request: Any, slug: str) -> HttpResponse:
    """Stumble where the row is not there."""
    row: Any = models.Category.objects.filter(slug=slug).first()
    return HttpResponse(row.name)


def hidden(request: Any, slug: str) -> HttpResponse:
    """Look for the row in a way that nobody can read."""
    found: Any = auth.get_user_model()._meta.apps.get_model("shop", "category")
    return HttpResponse(found.objects.get(slug=slug).name)


def undefined(request: Any, slug: str) -> HttpResponse:
    """Fail whatever the row."""
    return HttpResponse(not_there)  # type: ignore[name-defined]  # noqa: F821


def judge(start: Any, view: Any) -> dict[str, Result]:
    """What a run says of a page and of those that it leads to."""
    return inside.judge(
        [
            path("categories/", login_not_required(start), name="start"),
            path("categories/<slug:slug>/", login_not_required(view), name="row"),
        ]
    )


@pytest.mark.parametrize("start", [draft, several, by_hand, api])
@pytest.mark.parametrize("view", [strict, careless, hidden])
def test_row_that_a_request_made_is_not_missed(start: Any, view: Any) -> None:
    """A link to a row that was undone with the request that made it blames no view."""
    found = judge(start, view)

    assert Outcome.OK is found["start"].outcome
    assert found["row"].outcome in (Outcome.OK, Outcome.SKIPPED), found["row"].reason


@pytest.mark.parametrize("start", [draft, several, by_hand, api])
def test_error_that_needs_no_row_is_a_failure(start: Any) -> None:
    """A view whose code is broken has failed, also where its row is gone."""
    assert Outcome.FAILED is judge(start, undefined)["row"].outcome


def test_link_to_a_row_that_never_was_is_a_failure() -> None:
    """A page that links to what is not there is broken, when it made no row itself."""

    def start(request: Any) -> HttpResponse:
        return HttpResponse('<a href="/categories/never/">never</a>')

    models.Category.objects.create(name="one", slug="one")

    assert "DoesNotExist" in judge(start, strict)["row"].reason


def test_other_rows_of_a_request_that_writes_are_evidence() -> None:
    """A row in another table, like one of a log, takes nothing from a link."""

    def start(request: Any) -> HttpResponse:
        models.Shy.things.create(name=request.path)
        return HttpResponse('<a href="/categories/never/">never</a>')

    models.Category.objects.create(name="one", slug="one")

    assert Outcome.FAILED is judge(start, strict)["row"].outcome


def test_user_who_was_made_is_not_missed() -> None:
    """A link to the page of a user that the run made is no evidence afterwards."""
    model = auth.get_user_model()

    def start(request: Any) -> HttpResponse:
        return HttpResponse(f'<a href="/people/{request.user.email}/">me</a>')

    def person(request: Any, email: str) -> HttpResponse:
        return HttpResponse(str(model.objects.get(email=email)))

    found = inside.judge(
        [
            path("people/", start, name="start"),
            path("people/<str:email>/", login_not_required(person), name="person"),
        ]
    )

    assert not model.objects.exists()
    assert Outcome.OK is found["start"].outcome
    assert found["person"].outcome in (Outcome.OK, Outcome.SKIPPED)


def test_value_of_a_made_row_proves_nothing() -> None:
    """What filled one pattern with a row that was made is not asked of another."""

    def sure(request: Any, slug: str) -> HttpResponse:
        return HttpResponse(models.Category.objects.get(slug=slug).name)

    def below(request: Any, slug: str) -> HttpResponse:
        found = [row.name for row in models.Category.objects.all() if row.slug == slug]
        return HttpResponse(found[0])

    found = inside.judge(
        [
            path("c/<slug:slug>/", login_not_required(sure), name="sure"),
            path("c/<slug:slug>/below/", login_not_required(below), name="below"),
        ]
    )

    assert "made row" == found["sure"].provenance
    assert Outcome.FAILED is not found["below"].outcome


def test_row_of_a_value_that_was_made_up_is_not_missed() -> None:
    """A view that raises as no row has a value that the run made up is not to blame."""

    def view(request: Any, one: str, other: str) -> HttpResponse:
        return HttpResponse(models.Shy.things.get(name=one + other).name)

    several = [path("p/<slug:one>/<slug:other>/", login_not_required(view), name="p")]

    assert Outcome.SKIPPED is inside.judge(several)["p"].outcome


class Log:
    """A middleware that writes each request down, and shows where."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        """Write, and link to what was written."""
        row = models.Category.objects.create(name="log", slug=uuid.uuid4().hex)
        response = self.get_response(request)
        response.content += f'<a href="/categories/{row.slug}/">log</a>'.encode()
        return response


def test_row_that_a_middleware_made_is_not_missed() -> None:
    """What a tool writes for each request is gone when its own page is requested."""

    def start(request: Any) -> HttpResponse:
        return HttpResponse("<html>")

    with override_settings(MIDDLEWARE=[f"{__name__}.Log"]):
        found = judge(start, strict)

    assert found["row"].outcome in (Outcome.OK, Outcome.SKIPPED)


def test_link_to_what_a_made_row_is_called_is_a_guess() -> None:
    """A page that cannot read the name of a made row is not to blame."""
    from tests.smoke.project.ways.models import Everything

    def thing(request: Any, pk: int) -> HttpResponse:
        row = get_object_or_404(Everything, pk=pk)
        return HttpResponse(f'<a href="/numbers/{row.slug}/">it</a>')

    def number(request: Any, text: str) -> HttpResponse:
        return HttpResponse(str(int(text)))

    found = inside.judge(
        [
            path("things/<int:pk>/", thing, name="thing"),
            path("numbers/<str:text>/", number, name="number"),
        ]
    )

    assert (Outcome.OK, "made row") == (
        found["thing"].outcome,
        found["thing"].provenance,
    )
    assert Outcome.DOUBTFUL is found["number"].outcome
