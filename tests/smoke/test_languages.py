"""Tests of the languages that the patterns of a site are requested in."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from django.conf import global_settings
from django.conf.urls.i18n import i18n_patterns
from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path

from tests.smoke.project import settings
from yourlabs.smoke.outcomes import Outcome, Result
from yourlabs.smoke.run import SmokeRun

pytestmark = pytest.mark.usefixtures("installed", "db")


@login_not_required
def page(request: Any, lang: str = "") -> HttpResponse:
    """Say the language."""
    return HttpResponse(
        request.LANGUAGE_CODE if hasattr(request, "LANGUAGE_CODE") else ""
    )


def run(prefixes_default: bool = True, **changed: Any) -> list[Result]:
    """Request one page below ``i18n_patterns`` and one beside them."""
    module: Any = ModuleType("urls_of_a_test")
    with override_settings(**changed):
        module.urlpatterns = [
            path("ping/", page, name="ping"),
            *i18n_patterns(
                path("about/", page, name="about"),
                prefix_default_language=prefixes_default,
            ),
        ]
        with override_settings(ROOT_URLCONF=module):
            return [result for result in SmokeRun().run() if not result.is_listed]


NO_WORDS = [("de", "Deutsch"), ("xx-klingon", "Klingon")]
SOME = [("en", "English"), ("fr", "Français")]
WITHOUT = [name for name in settings.MIDDLEWARE if "Locale" not in name]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (
            {"LANGUAGE_CODE": "en-us", "LANGUAGES": SOME},
            {"en": "/en/about/", "fr": "/fr/about/"},
        ),
        (
            {"LANGUAGE_CODE": "de-at", "LANGUAGES": [("de", "Deutsch"), *SOME]},
            {"de": "/de/about/", "en": "/en/about/", "fr": "/fr/about/"},
        ),
        (
            {"LANGUAGE_CODE": "pt-br", "LANGUAGES": [("fr", "F"), ("pt-br", "B")]},
            {"pt-br": "/pt-br/about/", "fr": "/fr/about/"},
        ),
        (
            {"LANGUAGE_CODE": "en-us", "LANGUAGES": global_settings.LANGUAGES},
            {"en": "/en/about/"},
        ),
        (
            {"LANGUAGE_CODE": "de", "LANGUAGES": NO_WORDS},
            {"de": "/de/about/"},
        ),
        (
            {"LANGUAGE_CODE": "fr", "LANGUAGES": SOME, "MIDDLEWARE": WITHOUT},
            {"fr": "/fr/about/"},
        ),
        (
            {"LANGUAGE_CODE": "en-us", "LANGUAGES": SOME, "MIDDLEWARE": WITHOUT},
            {"en-us": "/en-us/about/"},
        ),
        (
            {
                "LANGUAGE_CODE": "en-us",
                "LANGUAGES": SOME,
                "prefixes_default": False,
            },
            {"en-us": "/about/", "en": "/en/about/", "fr": "/fr/about/"},
        ),
    ],
)
def test_patterns_are_requested_in_the_languages_of_the_site(
    changed: dict[str, Any], expected: dict[str, str]
) -> None:
    """A page has a healthy result in each language that the site answers in."""
    found = run(**changed)

    assert {Outcome.OK} == {result.outcome for result in found}
    assert expected == {r.language: r.url for r in found if r.name == "about"}
    assert [None] == [r.language for r in found if r.name == "ping"]
