"""Tests of sites that end the sessions of Django's own login."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import auth
from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponse, HttpResponseRedirect
from django.test import override_settings
from django.urls import path

from tests.smoke import inside
from tests.smoke.project import settings
from yourlabs.smoke.outcomes import Outcome

pytestmark = pytest.mark.usefixtures("rows")
STRICT = [*settings.MIDDLEWARE, "tests.smoke.project.ways.middleware.EndSessions"]
FORM = '<form><input name="username"><input type="password" name="password"></form>'


@login_not_required
def sign_in(request: Any) -> HttpResponse:
    """Log in, and note when."""
    user = auth.authenticate(
        username=request.POST.get("username"), password=request.POST.get("password")
    )
    if user is None:
        return HttpResponse(FORM)
    auth.login(request, user)
    request.session["since"] = 1
    return HttpResponseRedirect("/members/")


def members(request: Any) -> HttpResponse:
    """Say who asks."""
    return HttpResponse(str(request.user))


def chiefs(request: Any) -> HttpResponse:
    """Let superusers in."""
    return HttpResponse(status=200 if request.user.is_superuser else 403)


@override_settings(MIDDLEWARE=STRICT)
def test_own_login_is_used_where_the_site_insists_on_it() -> None:
    """Where middleware ends other sessions, all roles have those of the site's form."""
    from django.contrib.sessions.models import Session

    user = auth.get_user_model().objects.get(email="chief@example.com")
    found = inside.judge(
        [
            path("members/", members, name="members"),
            path("chiefs/", chiefs, name="chiefs"),
            path("signin/", sign_in, name="signin"),
        ]
    )
    again = auth.get_user_model().objects.get(pk=user.pk)

    assert (Outcome.OK, "user") == (found["members"].outcome, found["members"].role)
    assert (Outcome.OK, "superuser") == (found["chiefs"].outcome, found["chiefs"].role)
    assert (user.password, user.last_login) == (again.password, again.last_login)
    assert not Session.objects.exists()


@override_settings(MIDDLEWARE=STRICT)
def test_site_without_a_login_that_works_keeps_everybody_out() -> None:
    """Where no form of the site lets in either, its pages are forbidden."""
    found = inside.judge([path("members/", members, name="members")])["members"]

    assert (Outcome.SKIPPED, "forbidden for all roles") == (found.outcome, found.reason)
