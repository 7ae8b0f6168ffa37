"""Tests of the values that parameters of URLs are given."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction

from tests.smoke import inside
from yourlabs.smoke.outcomes import Outcome, Result

YEAR = datetime.date.today().year
MONTH = datetime.date.today().month
EXPLAINED = {
    "function": "/function/one-0/",
    "several": "/several/hats/",
    "asynchronous": "/asynchronous/P-1/",
    "converted": "/converted/P-1/",
    "keywords": "/keywords/P-1/",
    "closure": "/closure/P-1/",
    "partial": "/partial/hats/",
    "object": "/object/hats/",
    "method": "/method/hats/",
    "variables": "/variables/P-1/",
    "own-get": "/own-get/P-1/",
    "own-property": "/own-property/P-1/",
    "own-queryset": "/own-queryset/P-1/",
    "own-form": "/own-form/1/",
    "descriptor": "/descriptor/hats/",
    "initkwargs": "/initkwargs/hats/",
    "late": "/late/hats/",
    "hiding": "/hiding/P-1/",
    "magic": "/magic/abracadabra/one-0/",
    "week": "/week/2026/05/",
    "day": "/day/one-0/2026/feb/03/",
    "year": f"/year/shoes/{YEAR}/",
    "numbered": f"/numbered/shoes/{YEAR}/{MONTH}/",
}
"""What only the class or the source of a view says."""

COMMON = {
    "sourceless": ("/bare/one-0/", "guess"),
    "format": ("/export.json", "choice"),
    "language": ("/in/en/", "choice"),
    "label": ("/models/auth/permission/", "guess"),
    "files": ("/files/__init__.py", "choice"),
    "app": ("/apps/auth/", "choice"),
    "speaking": ("/speaking/en/", "choice"),
    "stubborn": ("/stubborn/a/", "made up"),
    "made-up": ("/made-up/00000000-0000-4000-8000-000000000000/", "made up"),
    "spelt": (f"/spelt/shoes/{YEAR}/{MONTH}/", "guess"),
    "named": ("/named/shop/shy/1/", "guess"),
}
"""What only names say, with where the values are from."""


@pytest.fixture(scope="module")
def ways(installed: None, django_db_blocker: Any) -> Iterator[dict[str, Result]]:
    """The results of one run over views that say in many ways what they take."""
    from tests.smoke.project.populate import populate
    from tests.smoke.project.ways.urls import urlpatterns

    with django_db_blocker.unblock(), transaction.atomic():
        populate()
        yield inside.judge(urlpatterns)
        transaction.set_rollback(True)


@pytest.mark.parametrize("name", EXPLAINED)
def test_views_say_what_they_take(ways: dict[str, Result], name: str) -> None:
    """A value is found that the class or the source of a view asks for."""
    found = ways[name]

    assert (EXPLAINED[name], "row", Outcome.OK) == (
        found.url,
        found.provenance,
        found.outcome,
    ), found.reason


@pytest.mark.parametrize("name", COMMON)
def test_names_say_what_they_take(ways: dict[str, Result], name: str) -> None:
    """A value is found for a name that says what it means."""
    found = ways[name]

    assert (*COMMON[name], Outcome.OK) == (
        found.url,
        found.provenance,
        found.outcome,
    ), found.reason


def test_files_that_are_not_there_are_not_guessed(ways: dict[str, Result]) -> None:
    """A folder that is not there has no file to ask for."""
    found = ways["void"]

    assert (Outcome.SKIPPED, "value for `path` unknown") == (
        found.outcome,
        found.reason,
    )


def test_pattern_of_any_text_is_not_accused(ways: dict[str, Result]) -> None:
    """A pattern that takes any text is skipped where its view finds nothing."""
    found = ways["wild"]

    assert (Outcome.SKIPPED, "value for `the rest of the path` unknown") == (
        found.outcome,
        found.reason,
    )


@pytest.mark.usefixtures("installed", "db")
class TestOfOneTable:
    """With no rows but those a test makes."""

    def test_rows_without_a_page_are_not_asked_for_one(self) -> None:
        """A row that has a page only with its own manager is no value for a key."""
        from django.contrib.contenttypes.views import shortcut
        from django.urls import path

        from tests.smoke.project.ways.models import Marked

        Marked.objects.create()
        route = "r/<int:content_type_id>/<int:object_id>/"
        found = inside.judge([path(route, shortcut, name="shortcut")])["shortcut"]

        assert Outcome.FAILED != found.outcome

    def test_autocomplete_is_asked_for_any_relation(self) -> None:
        """The admin's autocomplete view answers where no field of it is used."""
        from django.contrib.admin import AdminSite, ModelAdmin
        from django.urls import path

        from tests.smoke.project.shop.models import Category

        site = AdminSite("plain")
        searched = type("Searched", (ModelAdmin,), {"search_fields": ["name"]})
        site.register(Category, searched)
        found = inside.judge([path("plain/", site.urls)])["plain:autocomplete"]

        assert Outcome.OK == found.outcome
        assert "model_name=article&field_name=category" in found.url
