"""Tests of making rows for tables that are empty."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path

from tests.smoke import inside
from yourlabs.smoke import making
from yourlabs.smoke.outcomes import Outcome

pytestmark = pytest.mark.usefixtures("rows")


def page_of(name: str) -> Any:
    """A pattern of a page that needs a row of a model."""
    from django.apps import apps

    model = apps.get_model("ways", name)

    def view(request: Any, pk: int) -> HttpResponse:
        get_object_or_404(model, pk=pk)
        return HttpResponse()

    return path(f"{name.lower()}/<int:pk>/", view, name=name)


def test_each_field_gets_a_value_that_is_valid() -> None:
    """Two rows of a model with all kinds of fields are valid."""
    from tests.smoke.project.ways.models import Everything

    several: list[Any] = [making.make(Everything) for _ in range(2)]

    for row in several:
        row.refresh_from_db()
        row.full_clean(exclude=["path", "data", "note", "above"])
    assert [None, None] == [row.note for row in several]
    assert [True, True] == [row.is_public for row in several]
    assert [False, False] == [row.is_deleted for row in several]


def test_row_is_made_for_an_empty_table() -> None:
    """A page of an empty table is shown with a row that is made, and undone."""
    from tests.smoke.project.ways.models import Everything

    found = inside.judge([page_of("Everything")])["Everything"]

    assert (Outcome.OK, "made row") == (found.outcome, found.provenance)
    assert not Everything.objects.exists()


def test_row_that_cannot_be_made_is_the_reason() -> None:
    """A page whose row needs another one without end is skipped for lack of it."""
    found = inside.judge([page_of("Endless")])["Endless"]

    assert (Outcome.SKIPPED, "no row of ways.Endless") == (found.outcome, found.reason)


@pytest.mark.parametrize("name", ["Below", "Durable"])
def test_rows_of_unusual_tables_are_made(name: str) -> None:
    """Rows that extend those of another table, or open a durable transaction, too."""
    from django.apps import apps

    found = inside.judge([page_of(name)])[name]
    several = [making.make(apps.get_model("ways", name)) for _ in range(2)]

    assert (Outcome.OK, "made row") == (found.outcome, found.provenance)
    assert 2 == len({row.pk for row in several})


def test_made_row_belongs_to_what_the_rest_of_its_url_names() -> None:
    """A row is made below the row that other pages of the prefix work with."""
    from tests.smoke.project.shop.models import Coupon

    def shelf(request: Any, shelf_slug: str) -> HttpResponse:
        return HttpResponse(status=200 if shelf_slug == "hats" else 404)

    def coupon(request: Any, shelf_slug: str, pk: int) -> HttpResponse:
        get_object_or_404(Coupon, pk=pk, category__slug=shelf_slug)
        return HttpResponse(status=200 if shelf_slug == "hats" else 404)

    found = inside.judge(
        [
            path("shelves/<slug:shelf_slug>/", shelf, name="category"),
            path("shelves/<slug:shelf_slug>/coupons/<int:pk>/", coupon, name="coupon"),
        ]
    )["coupon"]

    assert (Outcome.OK, "made row") == (found.outcome, found.provenance)
    assert found.url.startswith("/shelves/hats/coupons/")


def test_row_is_made_though_every_guess_was_refused() -> None:
    """A page that is forbidden but for the rows of its table gets one of these."""
    from tests.smoke.project.shop.models import Coupon

    def coupon(request: Any, shelf_slug: str, coupon_pk: int) -> HttpResponse:
        if not Coupon.objects.filter(pk=coupon_pk).exists():
            raise PermissionDenied
        return HttpResponse()

    pattern = path("shelves/<str:shelf_slug>/<int:coupon_pk>/", coupon, name="coupon")
    found = inside.judge([pattern])["coupon"]

    assert (Outcome.OK, "made row") == (found.outcome, found.provenance)


def test_made_row_without_its_file_is_no_failure() -> None:
    """A page that reads the file of a made row is skipped: there is no such file."""
    from tests.smoke.project.ways.models import Everything

    def view(request: Any, pk: int) -> HttpResponse:
        return HttpResponse(get_object_or_404(Everything, pk=pk).file.open())

    pattern = path("everything/<int:pk>/", view, name="file")
    found = inside.judge([pattern])["file"]

    assert (Outcome.SKIPPED, "no row of ways.Everything") == (
        found.outcome,
        found.reason,
    )
