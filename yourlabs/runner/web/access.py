"""Who may see and steer chains: nobody, until somebody is known to be allowed."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.apps import apps
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import NoReverseMatch, reverse
from django.utils.crypto import constant_time_compare

from yourlabs.runner import conf

View = Callable[..., HttpResponseBase]

ADMIN = "django.contrib.admin"

NOT_OFFERED = (
    "This page is not offered: it needs django.contrib.auth, django.contrib.sessions "
    "and their middleware, or a function of your own in RUNNER['PAGE']['VIEW']."
)


def may_view(request: HttpRequest) -> bool:
    """Say whether the request may see chains: staff, or as ``VIEW`` says."""
    rule = conf.page()["VIEW"]
    return bool(_is(request, "is_staff") if rule is None else rule(request))


def may_control(request: HttpRequest) -> bool:
    """Say whether it may steer them: superusers, or as ``CONTROL`` says."""
    rule = conf.page()["CONTROL"]
    return bool(_is(request, "is_superuser") if rule is None else rule(request))


def has_token(request: HttpRequest) -> bool:
    """Say whether the request has the bearer token; False where none is set."""
    token = conf.page()["TOKEN"]
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    is_bearer = kind.lower() == "bearer"
    return bool(token) and is_bearer and constant_time_compare(given.strip(), token)


def _is(request: HttpRequest, what: str) -> bool:
    user = getattr(request, "user", None)
    return bool(user is not None and user.is_active and getattr(user, what))


def viewers_only(view: View) -> View:
    """Let `view` be seen by who may; ask everybody else to log in, if nobody is."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if may_view(request):
            return view(request, *args, **kwargs)
        user = getattr(request, "user", None)
        if user is None:
            return HttpResponse(NOT_OFFERED, status=404, content_type="text/plain")
        if user.is_authenticated:
            raise PermissionDenied
        # Only now: it needs the app, which is there where a request has a user.
        from django.contrib.auth.views import redirect_to_login

        return redirect_to_login(request.get_full_path(), _login_url())

    return guarded


def _login_url() -> str | None:
    # None: what LOGIN_URL says.
    try:
        return reverse("admin:login") if apps.is_installed(ADMIN) else None
    except NoReverseMatch:
        return None
