"""Tests of the ways to a view that takes more than a row of its model."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpResponse, JsonResponse
from django.urls import path

from tests.smoke import inside

pytestmark = pytest.mark.usefixtures("rows")


@login_not_required
def exporters(request: Any) -> HttpResponse:
    """A list of things that no table holds."""
    return JsonResponse({"count": 1, "results": [{"identifier": "pdf", "n": 1}]})


@login_not_required
def exporter(request: Any, pk: str) -> HttpResponse:
    """One of them."""
    if pk != "pdf":
        raise Http404
    return HttpResponse("pdf")


def test_lists_of_an_api_tell_the_values_below_them() -> None:
    """What a JSON list says of its objects is tried for the patterns below it."""
    found = inside.judge(
        [
            path("exporters/", exporters, name="list"),
            path("exporters/<pk>/", exporter, name="detail"),
            path("exporters/<pk>/again/", exporter, name="again"),
        ]
    )

    assert "/exporters/pdf/" == found["detail"].url
    assert "/exporters/pdf/again/" == found["again"].url
