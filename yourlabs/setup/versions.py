"""Mail, whose settings depend on which release of Django this is."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from typing import Any

from yourlabs.setup import services
from yourlabs.setup.context import DEFAULT, ENVIRONMENT, Context, step
from yourlabs.setup.values import as_addresses

_NAMES = "file_path host port timeout use_ssl use_tls ssl_certfile ssl_keyfile"
EMAIL_SETTINGS = {name: f"EMAIL_{name.upper()}" for name in _NAMES.split()}
EMAIL_SETTINGS |= {"password": "EMAIL_HOST_PASSWORD", "username": "EMAIL_HOST_USER"}
"""Options of a mailer, and their settings before Django 6.1."""


def django_version() -> tuple[int, int]:
    """Return the first two numbers of Django's version.

    Where nothing has imported Django yet, that would cost more than all of setup.
    """
    spec = None if "django" in sys.modules else importlib.util.find_spec("django")
    if spec and spec.origin and os.path.isfile(spec.origin):
        with open(spec.origin, "rb") as file:
            if match := re.search(rb"(?m)^VERSION = \((\d+), (\d+),", file.read()):
                return int(match[1]), int(match[2])
    import django

    return django.VERSION[:2]


@step
def email(context: Context) -> None:
    """Set how mails are sent from ``EMAIL_URL``.

    ``MAILERS`` on Django 6.1 and later, ``EMAIL_*`` before; nothing where the
    project has set any of them. Without ``EMAIL_URL``: the console with
    ``DEBUG`` on, the SMTP server of this machine with it off.
    """
    names = ("MAILERS", *EMAIL_SETTINGS.values(), "EMAIL_BACKEND")
    if not context.claim("EMAIL_URL", *names):
        return
    given = context.variable("EMAIL_URL", services.mailer)
    if "EMAIL_URL" in context.problems:
        return
    entry = given or services.mailer("console" if context.is_debug() else "smtp")
    options = entry.get("OPTIONS", {})
    found: dict[str, Any] = {"MAILERS": {"default": entry}}
    if django_version() < (6, 1):
        found = {EMAIL_SETTINGS[name]: value for name, value in options.items()}
        found = {"EMAIL_TIMEOUT": services.EMAIL_TIMEOUT, **found}
        found["EMAIL_BACKEND"] = entry["BACKEND"]
    elif "host" in options:
        # The handler that mails errors lets those of the mail server through, into
        # the request that failed, unless its mailer is silent.
        silent = {**entry, "OPTIONS": {**options, "fail_silently": True}}
        found["MAILERS"]["admins"] = silent
    context.unset(*names)
    for name, value in found.items():
        context.set(name, value, ENVIRONMENT if given else DEFAULT)
    context.again("logging")


@step
def admin(context: Context) -> None:
    """Set ``ADMINS`` from the variable ``ADMINS``: addresses, with commas."""

    def read(text: str) -> list[Any]:
        addresses = as_addresses(text)
        if django_version() >= (6, 0):
            return addresses
        # Pairs before Django 6.0. Not at the top: it takes long to import.
        from email.utils import parseaddr

        return [*map(parseaddr, addresses)]

    context.set_from("ADMINS", read)
