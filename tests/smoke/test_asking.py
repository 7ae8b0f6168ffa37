"""Tests of who is asked, in which order, and how often."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path

from tests.smoke import inside
from yourlabs.smoke.outcomes import Outcome

pytestmark = pytest.mark.usefixtures("rows")


def test_role_that_was_denied_is_asked_again_where_another_may() -> None:
    """A made user denied twice comes last, and is still told as who may."""
    from django.contrib.auth import get_user_model

    from tests.smoke.project.shop.models import Shy

    get_user_model().objects.filter(is_superuser=False).delete()
    asked: list[tuple[int, bool]] = []
    last = [Shy.things.create(name=name).pk for name in "abc"][-1]

    @login_required
    def view(request: Any, shy_id: int) -> HttpResponse:
        asked.append((shy_id, request.user.is_superuser))
        if shy_id != last:
            raise PermissionDenied
        return HttpResponse()

    found = inside.judge([path("shy/<int:shy_id>/", view, name="page")])["page"]

    assert (Outcome.OK, "user") == (found.outcome, found.role)
    assert asked.index((last, True)) < asked.index((last, False))


def test_excluded_url_is_not_requested() -> None:
    """A path that is excluded is left alone, also below a pattern that is not."""
    asked: list[int] = []

    def view(request: Any, shy_id: int) -> HttpResponse:
        asked.append(shy_id)
        return HttpResponse()

    with override_settings(SMOKE={"exclude": ["/shy/1/"]}):
        found = inside.judge([path("shy/<int:shy_id>/", view, name="page")])["page"]

    assert "excluded" == found.reason
    assert [] == asked


def test_lists_of_the_admin_are_filtered_as_who_sees_most() -> None:
    """The filters of a list that staff may see are tried as a superuser sees them."""
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Permission

    staff = get_user_model().objects.get(email="staff@example.com")
    staff.user_permissions.add(Permission.objects.get(codename="view_badfilter"))

    with override_settings(SITE_ID=1):
        found = inside.judge(
            [path("admin/", admin.site.urls)],
            only=frozenset({"admin:defects_badfilter_changelist"}),
        )["admin:defects_badfilter_changelist"]

    assert (Outcome.FAILED, "superuser") == (found.outcome, found.role)
    assert "?" in found.url
