"""Which release of Django this is, and mail, whose settings depend on that."""

from __future__ import annotations

import importlib.util
import re
import sys
from typing import Any

from yourlabs.setup import services
from yourlabs.setup.context import DEFAULT, ENVIRONMENT, Context, step
from yourlabs.setup.values import as_addresses

EMAIL_SETTINGS = {
    "file_path": "EMAIL_FILE_PATH",
    "host": "EMAIL_HOST",
    "password": "EMAIL_HOST_PASSWORD",
    "username": "EMAIL_HOST_USER",
    "port": "EMAIL_PORT",
    "ssl_certfile": "EMAIL_SSL_CERTFILE",
    "ssl_keyfile": "EMAIL_SSL_KEYFILE",
    "timeout": "EMAIL_TIMEOUT",
    "use_ssl": "EMAIL_USE_SSL",
    "use_tls": "EMAIL_USE_TLS",
}
"""Options of a mailer, and their settings before Django 6.1."""


def django_version() -> tuple[int, int]:
    """Return the first two numbers of Django's version.

    A settings module may be read before Django is imported, and importing Django only
    to ask for its version costs as much as all the rest of this library's work there.
    """
    if "django" not in sys.modules:
        spec = importlib.util.find_spec("django")
        if spec is not None and spec.origin is not None:
            try:
                with open(spec.origin, encoding="utf-8") as file:
                    match = re.search(r"^VERSION = \((\d+), (\d+),", file.read(), re.M)
            except (OSError, UnicodeDecodeError):
                # Of a package in an archive, or without sources, there is no text.
                match = None
            if match is not None:
                return int(match[1]), int(match[2])
    import django

    return django.VERSION[:2]


def mail_settings(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of this release for the default mailer."""
    options = entry.get("OPTIONS", {})
    if django_version() < (6, 1):
        settings = {EMAIL_SETTINGS[name]: value for name, value in options.items()}
        return {
            "EMAIL_BACKEND": entry["BACKEND"],
            "EMAIL_TIMEOUT": services.EMAIL_TIMEOUT,
            **settings,
        }
    mailers = {"default": entry}
    if "host" in options:
        # The handler that mails errors lets those of the mail server through, into
        # the request that failed, unless its mailer is silent.
        mailers["admins"] = {**entry, "OPTIONS": {**options, "fail_silently": True}}
    return {"MAILERS": mailers}


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
    entry, source = context.variable("EMAIL_URL", services.mailer)
    if "EMAIL_URL" in context.problems:
        return
    origin, secrets = DEFAULT, {}
    if entry is None or source is None:
        entry = services.mailer("console" if context.is_debug() else "smtp")
    else:
        password = entry.get("OPTIONS", {}).get("password")
        origin = ENVIRONMENT
        secrets = services.password_source(password, source.source)
    context.unset(*names)
    for name, value in mail_settings(entry).items():
        context.set(name, value, origin, secrets)
    context.again("logging")


@step
def admin(context: Context) -> None:
    """Set ``ADMINS`` from the variable ``ADMINS``: addresses, with commas."""
    context.set_from("ADMINS", lambda text: admins(as_addresses(text)))


def admins(addresses: list[tuple[str, str]]) -> list[Any]:
    """Return ``ADMINS``: addresses as they are written, as pairs before Django 6.0."""
    if django_version() >= (6, 0):
        return [item for item, _ in addresses]
    return [
        (item.rpartition("<")[0].strip().strip('"'), address)
        for item, address in addresses
    ]
