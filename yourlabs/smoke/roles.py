"""The users that requests are made as: rows when there are any, else made."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib import auth
from django.db import models, router, transaction
from django.test.utils import override_settings

from yourlabs.smoke import making, rows
from yourlabs.smoke.isolation.signals import unheard

ROLES = ("anonymous", "user", "staff", "superuser")
"""The names of the roles, the weakest first."""

MAX_USERS = 200
_QUICK = "django.contrib.auth.hashers.MD5PasswordHasher"
_TOP_WORDS = ("superuser", "administrator", "is_admin", "admin")
"""Parts of the names of the switches that make a superuser, the surest first."""


@dataclass
class Role:
    """Somebody who asks for pages.

    Attributes:
        user: The row; None for anonymous, and for a user that is made when needed.
        session: What the site's own login left in the session; None without it.
        extra: What the site's own login writes into a session, beside what Django's
            does.
    """

    name: str
    user: Any = None
    is_made: bool = False
    session: dict[str, Any] | None = None
    backend: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def present(self) -> Any:
        """The user to ask as, made now if there is no row. None: anonymous."""
        if self.user is not None or not self.is_made:
            return self.user
        return make_user(self.name)


def _user_model() -> Any:
    if not apps.is_installed("django.contrib.auth") and not apps.get_models():
        return None
    try:
        model = auth.get_user_model()
    except Exception:  # AUTH_USER_MODEL names an app that is not installed
        return None
    return model


def _flag(user: Any, name: str) -> bool:
    try:
        return bool(getattr(user, name, False))
    except Exception:  # a property of the project
        return False


def top_flags(model: Any) -> list[str]:
    """The fields that make a user a superuser; some projects have one beside Django's.

    Fields that only have ``admin`` in their name count when there are no others.
    """
    switches = [
        str(item.name)
        for item in model._meta.concrete_fields
        if isinstance(item, models.BooleanField)
    ]
    *sure, unsure = _TOP_WORDS
    found = [name for word in sure for name in switches if word in name]
    return list(dict.fromkeys(found)) or [name for name in switches if unsure in name]


def find_roles() -> list[Role]:
    """One role each that the project's users can have, the weakest first."""
    model = _user_model()
    found = [Role("anonymous")]
    if model is None:
        return found
    users = _active_users(model)
    for name in ROLES[1:]:
        user = next((u for u in users if role_of(u) == name), None)
        if user is not None:
            found.append(Role(name, user))
        elif _can_be_made(name, model) or (name == "superuser" and not users):
            found.append(Role(name, is_made=True))
    for role in found[1:]:
        role.backend = _backend_for(role.user)
    return found


def _active_users(model: Any) -> list[Any]:
    try:
        with transaction.atomic(using=router.db_for_read(model)):
            users = list(rows.manager_of(model).order_by("pk")[:MAX_USERS])
            for top in top_flags(model):
                users += list(rows.manager_of(model).filter(**{top: True})[:5])
    except Exception:  # no table, or a manager that is not a manager
        return []
    return [user for user in users if _flag(user, "is_active")]


def role_of(user: Any) -> str:
    """The name of the role that a user's row has."""
    if any(_flag(user, name) for name in ("is_superuser", *top_flags(type(user)))):
        return "superuser"
    return "staff" if _flag(user, "is_staff") else "user"


def _can_be_made(name: str, model: Any) -> bool:
    """Whether a made user of a role would be told apart from one of a weaker role."""
    if name == "staff":
        return rows.field_of(model, "is_staff") is not None
    return name != "superuser" or bool(top_flags(model))


def _backend_for(user: Any) -> str:
    usable = []
    for path in settings.AUTHENTICATION_BACKENDS:
        try:
            backend = auth.load_backend(path)
            if not hasattr(backend, "get_user"):
                continue
            if user is None or backend.get_user(user.pk) is not None:
                return str(path)
            usable.append(str(path))
        except Exception:  # a backend that cannot be used here
            continue
    return usable[0] if usable else ""


def cheap_passwords() -> override_settings:
    """Hash passwords of our own quickly for a while; those of people are left alone."""
    return override_settings(PASSWORD_HASHERS=[_QUICK, *settings.PASSWORD_HASHERS])


@unheard()
def make_user(role: str) -> Any:
    """Make a user for a role, by the model's own manager when that works.

    Returns:
        The user, or None when the model refuses every way.
    """
    model = _user_model()
    if model is None:
        return None
    for attempt in (_by_manager, lambda model, role: making.make_plainly(model)):
        try:
            with (
                cheap_passwords(),
                transaction.atomic(using=router.db_for_write(model)),
            ):
                user = attempt(model, role)
                _set_flags(user, role, model)
                return user
        except Exception:  # signatures and signals differ from project to project
            continue
    return None


def _by_manager(model: Any, role: str) -> Any:
    names = [model.USERNAME_FIELD, *model.REQUIRED_FIELDS]
    values = {}
    for name in dict.fromkeys(names):
        item = model._meta.get_field(name)
        is_email = "email" in name
        value = making.value_for(item, 0, item.unique)
        values[name] = f"smoke-{role}@example.com" if is_email else value
    manager = model._default_manager
    if role == "superuser" and hasattr(manager, "create_superuser"):
        return manager.create_superuser(**values, password="smoke")
    return manager.create_user(**values, password="smoke")


def _set_flags(user: Any, role: str, model: Any) -> None:
    wanted = {"is_active": True, "is_staff": role in ("staff", "superuser")}
    wanted.update(dict.fromkeys(top_flags(model), role == "superuser"))
    names = [name for name in wanted if rows.field_of(model, name) is not None]
    if any(getattr(user, name) != wanted[name] for name in names):
        for name in names:
            setattr(user, name, wanted[name])
        user.save()


@contextlib.contextmanager
def logged_in(role: Role, user: Any) -> Iterator[dict[str, str]]:
    """Cookies of a session of a user; call it where it is rolled back.

    No login signal is sent and ``last_login`` is not touched.
    """
    if user is None or not settings.SESSION_ENGINE:
        yield {}
        return
    try:
        store = import_module(settings.SESSION_ENGINE).SessionStore()
        store.update(role.session or session_data(user, role.backend))
        store.update(role.extra)
        store.save()
    except Exception:  # a session engine that cannot be used here
        yield {}
        return
    try:
        yield {settings.SESSION_COOKIE_NAME: store.session_key}
    finally:
        if not settings.SESSION_ENGINE.endswith((".db", ".signed_cookies")):
            with contextlib.suppress(Exception):
                store.delete()


def session_data(user: Any, backend: str) -> dict[str, Any]:
    """What a login writes into the session."""
    data = {
        auth.SESSION_KEY: user._meta.pk.value_to_string(user),
        auth.BACKEND_SESSION_KEY: backend,
        auth.HASH_SESSION_KEY: "",
    }
    if hasattr(user, "get_session_auth_hash"):
        data[auth.HASH_SESSION_KEY] = user.get_session_auth_hash()
    return data
