"""What differs between releases of Django, and which one this is."""

from __future__ import annotations

import importlib.util
import re
import sys
from typing import Any

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

EMAIL_TIMEOUT = 10
"""Seconds an SMTP server is waited for when the URL says nothing."""


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
            "EMAIL_TIMEOUT": EMAIL_TIMEOUT,
            **settings,
        }
    mailers = {"default": entry}
    if "host" in options:
        # The handler that mails errors lets those of the mail server through, into
        # the request that failed, unless its mailer is silent.
        mailers["admins"] = {**entry, "OPTIONS": {**options, "fail_silently": True}}
    return {"MAILERS": mailers}


def admins(addresses: list[tuple[str, str]]) -> list[Any]:
    """Return ``ADMINS``: addresses as they are written, as pairs before Django 6.0."""
    if django_version() >= (6, 0):
        return [item for item, _ in addresses]
    return [
        (item.rpartition("<")[0].strip().strip('"'), address)
        for item, address in addresses
    ]
