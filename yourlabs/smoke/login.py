"""Log in through the site's own form, with the credentials of a person."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin

from django.conf import settings
from django.contrib import auth
from django.test import Client as FormClient

from yourlabs.smoke.describing import login_paths
from yourlabs.smoke.forms import login_form
from yourlabs.smoke.isolation.queries import QueryRecorder
from yourlabs.smoke.roles import Role, role_of

if TYPE_CHECKING:
    from yourlabs.smoke.asking import Asking


def log_in(run: Asking) -> None:
    """Replace the role of the user that the site's form lets in.

    The login is undone; what it left in the session is kept and used again for
    each request.
    """
    assert run.options.credentials is not None
    username, password = run.options.credentials
    for path in login_pages(run):
        with run.sandbox.rolled_back(QueryRecorder()):
            found = attempt(run, path, username, password)
        # Read anew: a login may write a new hash of the password, which is undone.
        user = _row_of(found[0]) if found is not None else None
        if found is not None and user is not None:
            session = found[1]
            if hasattr(user, "get_session_auth_hash"):
                session[auth.HASH_SESSION_KEY] = user.get_session_auth_hash()
            name = role_of(user)
            role = Role(name, user, session=session)
            run.roles = [r if r.name != name else role for r in run.roles]
            return
    run.notes.append(
        "SMOKE_TEST_USERNAME and SMOKE_TEST_PASSWORD are set, but no login form of "
        "the site took them."
    )


def _row_of(user: Any) -> Any:
    """The row of a user as it is now; None for one that the login itself made."""
    return type(user)._base_manager.filter(pk=user.pk).first()


def login_pages(run: Asking) -> list[str]:
    """The paths of the pages that the project's people may log in on."""
    pages = list(login_paths())
    for state in run.by_identity.values():
        name = state.leaf.name.split(":")[-1].lower()
        if name in ("login", "signin", "account_login", "auth_login"):
            for shape in state.leaf.shapes[:1]:
                if len(shape) == 1 and isinstance(shape[0], str):
                    pages.append(shape[0])
    return list(dict.fromkeys(pages))


def attempt(
    run: Asking, path: str, username: str, password: str
) -> tuple[Any, dict[str, Any]] | None:
    """Log in on a page: who that is and their session; None when it did not work."""
    client = FormClient(
        raise_request_exception=False,
        SERVER_NAME=run.client.host.split(":")[0],
        HTTP_HOST=run.client.host,
    )
    try:
        page = client.get(path, secure=run.client.is_secure)
        form = login_form(page.content.decode("utf-8", "replace"))
        client.post(
            urljoin(path, form.action),
            urlencode(form.filled_in(username, password)),
            content_type="application/x-www-form-urlencoded",
            secure=run.client.is_secure,
        )
        cookie = client.cookies.get(settings.SESSION_COOKIE_NAME)
        if cookie is None:
            return None
        store = import_module(settings.SESSION_ENGINE).SessionStore(cookie.value)
        session = dict(store.load())
        key = auth.get_user_model()._meta.pk.to_python(session[auth.SESSION_KEY])
        return auth.get_user_model()._base_manager.get(pk=key), session
    except Exception:  # the site's own form may fail in any way
        return None
