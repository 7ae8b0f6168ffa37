"""Tests of the users that requests are made as."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_required, user_passes_test
from django.contrib.auth.hashers import get_hasher
from django.core.signals import setting_changed
from django.db.models.signals import post_save
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path

from tests.smoke import inside
from yourlabs.smoke import roles
from yourlabs.smoke.outcomes import Outcome, Result

BACKEND = "django.contrib.auth.backends.ModelBackend"


class ForNobody:
    """Knows nobody."""

    def get_user(self, user_id: Any) -> None:
        """Nobody."""


def answer(request: Any) -> HttpResponse:
    """Say who asks."""
    return HttpResponse(str(request.user))


def judge() -> dict[str, Result]:
    """What a run says of pages for members and for superusers."""
    chiefs = user_passes_test(lambda user: user.is_superuser)
    several = {"members": login_required(answer), "chiefs": chiefs(answer)}
    return inside.judge(
        [path(f"{name}/", view, name=name) for name, view in several.items()]
    )


def test_project_without_users_is_asked_anonymously() -> None:
    """Where no app brings users, everybody is anonymous."""
    with override_settings(INSTALLED_APPS=[]):
        found = roles.find_roles()

    assert ["anonymous"] == [role.name for role in found]


@pytest.mark.usefixtures("installed", "db")
class TestOfTheProject:
    """With the project installed, and no rows but those a test makes."""

    def test_user_model_that_is_not_installed_means_anonymous(self) -> None:
        """A user model of an app that is not there leaves nobody but anonymous."""
        with override_settings(AUTH_USER_MODEL="nowhere.Person"):
            found = roles.find_roles()

        assert ["anonymous"] == [role.name for role in found]

    @pytest.mark.parametrize(
        ("model", "names"),
        [
            ("people.Person", ["anonymous", "user", "staff", "superuser"]),
            ("ways.Operator", ["anonymous", "user", "superuser"]),
            ("ways.Elsewhere", ["anonymous", "user", "superuser"]),
        ],
    )
    def test_roles_without_rows_are_made(self, model: str, names: list[str]) -> None:
        """Each role that the user model can have is one, also without a row."""
        with override_settings(AUTH_USER_MODEL=model):
            found = roles.find_roles()

        assert names == [role.name for role in found]
        assert all(role.is_made for role in found[1:])

    @pytest.mark.parametrize(
        ("role", "flags"),
        [
            ("user", (True, False, False)),
            ("staff", (True, True, False)),
            ("superuser", (True, True, True)),
        ],
    )
    def test_user_is_made_as_the_role_says(
        self, role: str, flags: tuple[bool, ...]
    ) -> None:
        """A user that is made has the flags of its role, and no others."""
        made = roles.make_user(role)

        assert role == roles.role_of(made)
        assert flags == (made.is_active, made.is_staff, made.is_superuser)

    @pytest.mark.parametrize("role", ["user", "superuser"])
    def test_user_is_made_without_the_help_of_a_manager(self, role: str) -> None:
        """A manager that makes no users is done without; a flag by any name is set."""
        with override_settings(AUTH_USER_MODEL="ways.Operator"):
            made = roles.make_user(role)

        assert role == roles.role_of(made)
        assert (role == "superuser") == made.is_admin

    def test_user_that_cannot_be_made_is_none(self) -> None:
        """A user model that refuses every way makes nobody."""
        with override_settings(AUTH_USER_MODEL="ways.Sealed"):
            assert roles.make_user("user") is None

    def test_flag_that_raises_is_no_flag(self) -> None:
        """A property of the project that raises makes nobody staff."""
        from tests.smoke.project.ways.models import Sealed

        assert "user" == roles.role_of(Sealed(code="a"))

    def test_nobody_makes_users_where_there_are_none(self) -> None:
        """Without a user model nobody is made."""
        with override_settings(AUTH_USER_MODEL="nowhere.Person"):
            assert roles.make_user("user") is None

    def test_made_users_reach_their_pages_and_are_undone(self) -> None:
        """Pages are reached as users that were made, who are not there afterwards."""
        from tests.smoke.project.people.models import Person

        found = judge()

        assert ["user", "superuser"] == [
            found[name].role for name in ("members", "chiefs")
        ]
        assert {Outcome.OK} == {result.outcome for result in found.values()}
        assert not Person.objects.exists()

    @pytest.mark.parametrize(
        "engine",
        [
            "django.contrib.sessions.backends.cache",
            "django.contrib.sessions.backends.cached_db",
            "django.contrib.sessions.backends.signed_cookies",
        ],
    )
    def test_sessions_are_kept_anywhere(self, engine: str) -> None:
        """Users are logged in with each engine of sessions."""
        with override_settings(SESSION_ENGINE=engine):
            assert "user" == judge()["members"].role

    def test_sessions_that_cannot_be_kept_are_told(self) -> None:
        """Where no session can be kept, the run outlives it and says so."""
        with override_settings(
            SESSION_ENGINE="django.contrib.sessions.backends.file",
            SESSION_FILE_PATH="/not/there",
        ):
            found = judge()["members"]

        assert Outcome.FAILED is found.outcome
        assert "SESSION_FILE_PATH" in found.reason

    @pytest.mark.parametrize(
        ("backends", "role"),
        [
            (["not.there.Backend", BACKEND], "user"),
            ([f"{__name__}.ForNobody", BACKEND], "user"),
            (["django.contrib.auth.backends.BaseBackend", BACKEND], "user"),
            ([f"{__name__}.ForNobody"], ""),
            (["not.there.Backend"], ""),
        ],
    )
    def test_backend_that_knows_the_user_is_used(
        self, backends: list[str], role: str
    ) -> None:
        """Of several authentication backends the first that knows a user counts."""
        from django.contrib.auth import get_user_model

        get_user_model().objects.create_user("a@example.com", "secret")

        with override_settings(AUTHENTICATION_BACKENDS=backends):
            found = judge()["members"]

        assert role == (found.role if found.outcome is Outcome.OK else "")

    def test_administrator_is_a_superuser(self) -> None:
        """A project's own switch makes a superuser, beside Django's own."""
        from tests.smoke.project.ways.models import Administrator

        assert "superuser" == roles.role_of(Administrator(is_administrator=True))
        assert "user" == roles.role_of(Administrator())

    def test_superuser_that_nothing_tells_apart_is_not_made(self) -> None:
        """Where no field makes a superuser, the strongest user that is there is it."""
        from tests.smoke.project.ways.models import Plain

        Plain.objects.create(code="one")
        with override_settings(AUTH_USER_MODEL="ways.Plain"):
            found = roles.find_roles()

        assert ["anonymous", "user"] == [role.name for role in found]


@pytest.mark.usefixtures("installed", "db")
def test_nobody_hears_of_users_who_are_made() -> None:
    """Where there are no people, the made ones send no signals to the project."""
    heard: list[Any] = []

    def hear(instance: Any, **kwargs: Any) -> None:
        heard.append(instance)

    post_save.connect(hear, sender=get_user_model())
    found = judge()

    assert [] == heard
    assert Outcome.OK is found["chiefs"].outcome


@pytest.mark.usefixtures("installed", "db")
def test_quick_passwords_are_those_of_made_users_only() -> None:
    """Views have the hashers of the project, and receivers hear of both ways."""
    seen: set[str] = set()
    heard: list[bool] = []

    def view(request: Any) -> HttpResponse:
        seen.add(get_hasher().algorithm)
        return HttpResponse()

    def hear(setting: str, enter: bool, **kwargs: Any) -> None:
        if setting == "PASSWORD_HASHERS":
            heard.append(enter)

    slow = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    with override_settings(PASSWORD_HASHERS=slow):
        setting_changed.connect(hear)
        inside.judge([path("members/", login_required(view), name="members")])
        setting_changed.disconnect(hear)
        seen.add(get_hasher().algorithm)

    assert {"pbkdf2_sha256"} == seen
    assert heard
    assert [True, False] * (len(heard) // 2) == heard
