"""Tests of logging in through forms of many shapes."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from django.contrib import auth
from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path

from yourlabs.smoke.run import SmokeRun
from yourlabs.smoke.state import Options

pytestmark = pytest.mark.usefixtures("rows")
PLAIN = """
<form method="post"><input type="hidden" name="next" value="/">
<input name="username"><input type="password" name="password">
<input type="checkbox" name="remember" value="1"><input type="submit"></form>
"""
OTHER = """
<form method="post"><input type='email' name='address'>
<input name="invitation" value="none"><input type="password" name="secret"></form>
"""


def site(page: str, names: tuple[str, str], expected: dict[str, str]) -> Any:
    """A view that shows a form and logs in who fills it in as expected."""

    def view(request: Any) -> HttpResponse:
        sent = request.POST.dict()
        if sent and sent.items() >= expected.items():
            username, password = (sent.get(name, "") for name in names)
            user = auth.authenticate(request, username=username, password=password)
            if user is not None:
                auth.login(request, user)
        return HttpResponse(page)

    return view


def broken(request: Any) -> HttpResponse:
    """Raise."""
    raise RuntimeError("No form today.")


def forgetful(request: Any) -> HttpResponse:
    """Leave a session that says nothing of a user."""
    request.session["seen"] = True
    return HttpResponse(PLAIN)


def run(view: Any) -> SmokeRun:
    """A run over a project whose page to log in is a view."""
    module: Any = ModuleType("urls_of_a_test")
    module.urlpatterns = [path("login/", login_not_required(view), name="login")]
    made = SmokeRun(Options(credentials=("chief@example.com", "secret")))
    with override_settings(ROOT_URLCONF=module):
        made.run()
    return made


@pytest.mark.parametrize(
    ("page", "names", "expected"),
    [
        (PLAIN, ("username", "password"), {"next": "/"}),
        (OTHER, ("address", "secret"), {"invitation": "none"}),
        ("by a script", ("username", "password"), {}),
    ],
)
def test_form_is_filled_in(
    page: str, names: tuple[str, str], expected: dict[str, str]
) -> None:
    """The fields of a form are found by their kinds, and the rest is sent along."""
    made = run(site(page, names, expected))

    assert [] == made.notes
    assert ["superuser"] == [role.name for role in made.roles if role.session]


@pytest.mark.parametrize("view", [broken, forgetful])
def test_form_that_lets_nobody_in_is_told(view: Any) -> None:
    """Where nobody is logged in the run goes on without, and says so."""
    made = run(view)

    assert "no login form of the site took them" in made.notes[0]
    assert not any(role.session for role in made.roles)
