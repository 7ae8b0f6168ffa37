"""Tests of logging in through forms of many shapes."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from django.conf import settings
from django.contrib import auth
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.hashers import make_password
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


SEARCH = '<form action="/search/"><input name="q" value=""><button>Go</button></form>'
NEWSLETTER = '<form method="post" action="/news/"><input type="email" name="to"></form>'
JOIN = """
<form method="post" action="/join/"><input name="username"><input type="password"
name="password1"><input type="password" name="password2"></form>
"""
BARE = '<input name="username"><input type=password name=password>'


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
        (SEARCH + PLAIN, ("username", "password"), {"next": "/"}),
        (PLAIN + SEARCH, ("username", "password"), {"next": "/"}),
        (NEWSLETTER + OTHER, ("address", "secret"), {"invitation": "none"}),
        (JOIN + OTHER, ("address", "secret"), {"invitation": "none"}),
        (SEARCH + BARE, ("username", "password"), {}),
    ],
)
def test_form_is_filled_in(
    page: str, names: tuple[str, str], expected: dict[str, str]
) -> None:
    """The fields of a form are found by their kinds, and the rest is sent along."""
    made = run(site(page, names, expected))

    assert [] == made.notes
    assert ["superuser"] == [role.name for role in made.roles if role.session]


@pytest.mark.parametrize(
    "form", [PLAIN, SEARCH + PLAIN, SEARCH + NEWSLETTER + PLAIN + JOIN]
)
def test_form_sends_its_own_fields_where_it_says(form: str) -> None:
    """A form is sent to its action, and with no field of another form."""
    sent = []

    @login_not_required
    def take(request: Any) -> HttpResponse:
        sent.append(request.POST.dict())
        return HttpResponse()

    @login_not_required
    def show(request: Any) -> HttpResponse:
        return HttpResponse(form.replace("<form method", '<form action="/in/" method'))

    module: Any = ModuleType("urls_of_a_test")
    module.urlpatterns = [path("login/", show, name="login"), path("in/", take)]
    with override_settings(ROOT_URLCONF=module):
        SmokeRun(Options(credentials=("me", "secret"))).run()

    expected = {"next": "/", "username": "me", "password": "secret"}
    assert expected in sent


HASHERS = "django.contrib.auth.hashers."


@pytest.mark.parametrize(
    "preferred",
    ["PBKDF2PasswordHasher", "PBKDF2SHA1PasswordHasher", "ScryptPasswordHasher"],
)
def test_login_that_hashes_the_password_anew_is_used(preferred: str) -> None:
    """A login lasts although the new hash that it wrote is undone with it."""
    module: Any = ModuleType("urls_of_a_test")
    entrance = site(PLAIN, ("username", "password"), {})
    module.urlpatterns = [
        path("login/", login_not_required(entrance), name="login"),
        path("in/", lambda request: HttpResponse(str(request.user)), name="in"),
    ]
    several = [HASHERS + preferred, HASHERS + "MD5PasswordHasher"]
    chief = auth.get_user_model().objects.get(email="chief@example.com")
    assert chief.password.startswith("md5$")

    with override_settings(ROOT_URLCONF=module, PASSWORD_HASHERS=several):
        made = SmokeRun(Options(credentials=("chief@example.com", "secret")))
        found = {result.name: result for result in made.run()}

    assert [] == made.notes
    assert 200 == found["in"].statuses["superuser"]
    chief.refresh_from_db()
    assert chief.password.startswith("md5$")


def test_login_of_somebody_who_is_made_by_it_is_not_used() -> None:
    """A user whom the login itself makes is gone with it, and nobody asks as them."""

    def entrance(request: Any) -> HttpResponse:
        model = auth.get_user_model()
        if request.method == "POST":
            user = model.objects.create_user("new@example.com", "secret")
            backend = "django.contrib.auth.backends.ModelBackend"
            auth.login(request, user, backend)
        return HttpResponse(PLAIN)

    made = run(entrance)

    assert "no login form of the site took them" in made.notes[0]


def test_hashers_of_the_project_stay() -> None:
    """A view sees the project's own way to hash passwords, during a run as after it."""
    seen = []

    @login_not_required
    def look(request: Any) -> HttpResponse:
        hashed = make_password("secret")
        seen.append((settings.PASSWORD_HASHERS, hashed.split("$")[0]))
        return HttpResponse()

    own = [HASHERS + "PBKDF2PasswordHasher"]
    module: Any = ModuleType("urls_of_a_test")
    module.urlpatterns = [path("look/", look, name="look")]
    auth.get_user_model().objects.all().delete()
    with override_settings(ROOT_URLCONF=module, PASSWORD_HASHERS=own):
        SmokeRun().run()
        after = make_password("secret")

    assert (own, "pbkdf2_sha256") == seen[0]
    assert after.startswith("pbkdf2_sha256$")


@pytest.mark.parametrize("view", [broken, forgetful])
def test_form_that_lets_nobody_in_is_told(view: Any) -> None:
    """Where nobody is logged in the run goes on without, and says so."""
    made = run(view)

    assert "no login form of the site took them" in made.notes[0]
    assert not any(role.session for role in made.roles)
