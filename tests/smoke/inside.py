"""Run the smoke tests in the process of the tests, on patterns of a test's own."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path

from yourlabs.smoke.outcomes import Result
from yourlabs.smoke.run import SmokeRun
from yourlabs.smoke.state import Options


@login_not_required
def log_in(request: Any) -> HttpResponse:
    """The page where people are sent to."""
    return HttpResponse()


def judge(urlpatterns: list[Any], **options: Any) -> dict[str, Result]:
    """Request some patterns in the installed project; their results, by name.

    Args:
        urlpatterns: What the root of the project has beside a page to log in.
        options: Those of `Options`.
    """
    module: Any = ModuleType("urls_of_a_test")
    module.urlpatterns = [path("login/", log_in, name="login"), *urlpatterns]
    with override_settings(ROOT_URLCONF=module):
        found = SmokeRun(Options(**options)).run()
    return {result.name: result for result in found if not result.is_listed}
