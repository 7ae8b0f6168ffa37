"""Pass the pages on which a site asks once more who one is, before what matters."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

from django.test import Client as Browser

from yourlabs.smoke.forms import login_form
from yourlabs.smoke.isolation.signals import unheard

PASSWORD = "smoke"
MAX_PAGES = 3
"""How many pages may ask, one before the other."""


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
    url: str, cookies: dict[str, str], user: Any, **extra: Any
) -> dict[str, str]:
    """Send the forms of the pages that a URL redirects to and that lead back to it.

    Args:
        url: A path, with its query string.
        cookies: Those of the user's session.
        user: Who asks, with the password `PASSWORD`.
        extra: WSGI variables of each request.

    Returns:
        The cookies after that.
    """
    browser = Browser(raise_request_exception=False, **extra)
    browser.cookies.load(cookies)
    _pass(browser, url, user, MAX_PAGES)
    kept = {name: morsel.value for name, morsel in browser.cookies.items()}
    return {**cookies, **kept}


def _pass(browser: Browser, url: str, user: Any, pages: int) -> None:
    location = browser.get(url).headers.get("Location", "")
    page = urljoin(url, location)
    if pages == 0 or not leads_back(page, urlsplit(url).path):
        return
    _pass(browser, page, user, pages - 1)
    answer: Any = browser.get(page)
    if answer.status_code == 200 and not answer.streaming:
        text = answer.content.decode("utf-8", "replace")
        form = login_form(text)
        data = urlencode(form.filled_in(user.get_username(), PASSWORD))
        kind = "application/x-www-form-urlencoded"
        browser.post(urljoin(page, form.action), data, content_type=kind)
