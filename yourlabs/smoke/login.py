"""Fill in the site's own forms: to log in, or to say once more who one is."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

from django.conf import settings
from django.contrib import auth
from django.test import Client as TestClient

from yourlabs.smoke.describing import login_paths
from yourlabs.smoke.isolation.queries import QueryRecorder
from yourlabs.smoke.isolation.signals import unheard
from yourlabs.smoke.roles import Role, cheap_passwords, role_of

if TYPE_CHECKING:
    from yourlabs.smoke.asking import Asking
    from yourlabs.smoke.client import Client

PASSWORD = "smoke"
USER_AGENT = "yourlabs-smoke"
MAX_PAGES = 3
"""How many pages may ask once more who one is, one before the other."""

_UNSENT = ("checkbox", "radio", "file", "button", "image", "submit", "reset")
"""The kinds of fields that are not sent unless somebody chooses them."""

_PLAIN = {auth.SESSION_KEY, auth.BACKEND_SESSION_KEY, auth.HASH_SESSION_KEY}


@dataclass
class Form:
    """A form of a page."""

    action: str = ""
    """Where it is sent; empty for the page that it is on."""

    fields: list[tuple[str, str, str]] = field(default_factory=list)
    """The kind, name and value of each field that is sent, in order."""

    @property
    def passwords(self) -> int:
        """How many passwords it asks for: one to log in, two to choose a new one."""
        return sum(kind == "password" for kind, _, _ in self.fields)

    def filled_in(self, username: str, password: str) -> str:
        """What is sent when somebody logs in."""
        data: dict[str, str] = {}
        for kind, name, value in self.fields:
            if kind == "password":
                data[name] = password
            elif kind in ("text", "email") and username not in data.values():
                data[name] = username
            else:
                data[name] = value
        return urlencode({"username": username, "password": password, **data})


class _Forms(HTMLParser):
    """Collects the forms of a page, and the fields outside of all forms as one more."""

    def __init__(self) -> None:
        super().__init__()
        self.outside = self.current = Form()
        self.forms: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        kind = values.get("type", "text").lower()
        if tag == "form":
            self.current = Form(values.get("action", ""))
            self.forms.append(self.current)
        elif tag == "input" and values.get("name") and kind not in _UNSENT:
            self.current.fields.append((kind, values["name"], values.get("value", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.current = self.outside


def login_form(page: str) -> Form:
    """The form of a page that asks for one password, however many stand beside it.

    Failing that, one that asks for several; failing that, the last one, as what a
    site has on all its pages, like a search, stands in their heads.
    """
    parser = _Forms()
    parser.feed(page)
    asking = [form for form in (*parser.forms, parser.outside) if form.passwords]
    asking.sort(key=lambda form: form.passwords)
    return (asking or parser.forms[-1:] or [parser.outside])[0]


class _Browser(TestClient):
    """Asks the host of a run."""

    def __init__(self, client: Client) -> None:
        super().__init__(
            raise_request_exception=False,
            SERVER_NAME=client.host.split(":")[0],
            HTTP_HOST=client.host,
            HTTP_USER_AGENT=USER_AGENT,
        )
        self.is_secure = client.is_secure

    def generic(self, *args: Any, **options: Any) -> Any:
        return super().generic(*args, **{**options, "secure": self.is_secure})


def _send(browser: _Browser, path: str, page: Any, *credentials: str) -> None:
    form = login_form(page.content.decode("utf-8", "replace"))
    kind = "application/x-www-form-urlencoded"
    target = urljoin(path, form.action)
    browser.post(target, form.filled_in(*credentials), content_type=kind)


# -- credentials, and sites that insist on their own login ----------------------


def log_in(run: Asking) -> None:
    """Replace the role of the user that the site's form lets in.

    The login is undone; what it left in the session is used for each request.
    """
    assert run.options.credentials is not None
    for path in login_pages(run):
        with run.sandbox.rolled_back(QueryRecorder()):
            found = attempt(run, path, *run.options.credentials)
        if found is None:
            continue
        # Read anew: a login may write a new hash of the password, or make the user,
        # which is undone.
        user = type(found[0])._base_manager.filter(pk=found[0].pk).first()
        if user is not None:
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


def login_pages(run: Asking) -> list[str]:
    """The paths of the pages that the project's people may log in on."""
    pages = list(login_paths())
    for state in run.all_states.values():
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
    browser = _Browser(run.client)
    try:
        _send(browser, path, browser.get(path), username, password)
        cookie = browser.cookies.get(settings.SESSION_COOKIE_NAME)
        if cookie is None:
            return None
        store = import_module(settings.SESSION_ENGINE).SessionStore(cookie.value)
        session = dict(store.load())
        key = auth.get_user_model()._meta.pk.to_python(session[auth.SESSION_KEY])
        return auth.get_user_model()._base_manager.get(pk=key), session
    except Exception:  # the site's own form may fail in any way
        return None


def renew_sessions(run: Asking) -> bool:
    """Log each role in through the site's own form, and keep what that adds.

    For sites whose middleware ends the sessions of Django's own login, because these
    lack the time of the login, say. The logins are undone, with their passwords.
    Tells whether the sessions of later requests are any different.
    """
    several = [role for role in reversed(run.roles) if role.user is not None]
    for role in several:
        role.extra = _extra_of(run, role)
        if not role.extra:
            break
    strongest = several[0].extra if several else {}
    for role in run.roles:
        if role.is_made:
            role.extra = strongest
    return bool(strongest)


def _extra_of(run: Asking, role: Role) -> dict[str, Any]:
    for path in login_pages(run):
        with cheap_passwords(), run.sandbox.rolled_back(QueryRecorder()):
            try:
                user = with_password(role.user)
            except Exception:  # a user model without passwords
                return {}
            found = attempt(run, path, user.get_username(), PASSWORD)
        if found is not None and found[0].pk == role.user.pk:
            return {key: found[1][key] for key in found[1] if key not in _PLAIN}
    return {}


# -- pages that ask once more who one is, before what matters -------------------


@unheard()
def with_password(user: Any) -> Any:
    """The user's row, read anew, with a known password; only where it is undone."""
    row = type(user)._base_manager.get(pk=user.pk)
    row.set_password(PASSWORD)
    row.save(update_fields=["password"])
    return row


def leads_back(location: str, path: str) -> bool:
    """Whether a redirect goes to a page that would return to a path."""
    target = urlsplit(location)
    texts = [text for several in parse_qs(target.query).values() for text in several]
    return target.path != path and path in [urlsplit(text).path for text in texts]


def confirm(
    client: Client, url: str, cookies: dict[str, str], user: Any
) -> dict[str, str]:
    """Send the forms of the pages that a URL redirects to and that lead back to it.

    The user, whose session's cookies these are, has the password `PASSWORD`.

    Returns:
        The cookies after that.
    """
    browser = _Browser(client)
    browser.cookies.load(cookies)
    _pass(browser, url, user, MAX_PAGES)
    kept = {name: morsel.value for name, morsel in browser.cookies.items()}
    return {**cookies, **kept}


def _pass(browser: _Browser, url: str, user: Any, pages: int) -> None:
    page = urljoin(url, browser.get(url).headers.get("Location", ""))
    if pages == 0 or not leads_back(page, urlsplit(url).path):
        return
    _pass(browser, page, user, pages - 1)
    answer: Any = browser.get(page)
    if answer.status_code == 200 and not answer.streaming:
        _send(browser, page, answer, user.get_username(), PASSWORD)
