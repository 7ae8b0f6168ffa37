"""Take over what a site's own login writes into sessions, where it insists on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import auth

from yourlabs.smoke.confirming import PASSWORD, with_password
from yourlabs.smoke.isolation.queries import QueryRecorder
from yourlabs.smoke.login import attempt, login_pages
from yourlabs.smoke.roles import cheap_passwords

if TYPE_CHECKING:
    from yourlabs.smoke.asking import Asking
    from yourlabs.smoke.roles import Role

_PLAIN = {auth.SESSION_KEY, auth.BACKEND_SESSION_KEY, auth.HASH_SESSION_KEY}


def renew_sessions(run: Asking) -> bool:
    """Log each role in through the site's own form, and keep what that adds.

    For sites whose middleware ends the sessions of Django's own login, because these
    lack the time of the login, say. The logins are undone, with their passwords.

    Returns:
        Whether the sessions of later requests are any different.
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
