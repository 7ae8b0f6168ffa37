"""The values of settings that need nothing but a few arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from yourlabs.setup.environment import Invalid
from yourlabs.setup.services import EMAIL_TIMEOUT
from yourlabs.setup.versions import django_version

SERVE_COMMANDS = frozenset({"runserver", "runserver_plus"})
"""Commands of development: ``DEBUG`` is on unless something says otherwise."""

COMMANDS_WITHOUT_HOSTS = frozenset(
    {
        "collectstatic",
        "compilemessages",
        "createcachetable",
        "createsuperuser",
        "findstatic",
        "help",
        "makemessages",
        "makemigrations",
        "migrate",
        "setup",
        "showmigrations",
        "startapp",
        "version",
    }
)
"""Commands that build, migrate or show: they answer no request, check no host."""

HSTS_SECONDS = 60

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


def storages(debug: bool, whitenoise: bool) -> dict[str, Any]:
    """``STORAGES``."""
    if debug:
        static = "django.contrib.staticfiles.storage.StaticFilesStorage"
    elif whitenoise:
        static = "whitenoise.storage.CompressedManifestStaticFilesStorage"
    else:
        static = "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
    return {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": static},
    }


def templates(folder: Path) -> list[dict[str, Any]]:
    """``TEMPLATES``."""
    return [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "DIRS": [folder],
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ]


def https(is_on: bool, hsts: int | None) -> dict[str, Any]:
    """The settings that keep a site to HTTPS, or let it use HTTP."""
    seconds = (HSTS_SECONDS if hsts is None else hsts) if is_on else 0
    return {
        "SECURE_SSL_REDIRECT": is_on,
        "SESSION_COOKIE_SECURE": is_on,
        "CSRF_COOKIE_SECURE": is_on,
        "SECURE_HSTS_SECONDS": seconds,
        "SECURE_HSTS_INCLUDE_SUBDOMAINS": seconds > 0,
        "SECURE_HSTS_PRELOAD": seconds > 0,
    }


def csp() -> dict[str, list[str]]:
    """A content security policy that the admin works with."""
    own = ["'self'"]
    return {
        "default-src": own.copy(),
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": own.copy(),
        "form-action": own.copy(),
        "frame-ancestors": ["'none'"],
    }


def password_validators() -> list[dict[str, str]]:
    """``AUTH_PASSWORD_VALIDATORS``."""
    names = ("UserAttributeSimilarity", "MinimumLength", "Common", "Numeric")
    prefix = "django.contrib.auth.password_validation."
    return [
        {"NAME": f"{prefix}{name}{'Password' if name in names[2:] else ''}Validator"}
        for name in names
    ]


def middleware(whitenoise: bool, csp: bool) -> list[str]:
    """``MIDDLEWARE``."""
    names = [
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ]
    if csp:
        names.insert(1, "django.middleware.csp.ContentSecurityPolicyMiddleware")
    if whitenoise:
        # Before everything that costs time, after what redirects to HTTPS.
        names.insert(1, "whitenoise.middleware.WhiteNoiseMiddleware")
    return names


def email(entry: dict[str, Any]) -> dict[str, Any]:
    """The settings of this version of Django for the default mailer."""
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


def admins(text: str) -> list[Any]:
    """``ADMINS``: addresses, as pairs before Django 6.0.

    Raises:
        Invalid: When an item has no address.
    """
    # Costs as much as all the rest, and few projects have the variable.
    from email.utils import parseaddr

    items = [item.strip() for item in text.split(",") if item.strip()]
    if not all("@" in parseaddr(item)[1] for item in items):
        raise Invalid("expected addresses separated by commas, like me@example.com")
    return items if django_version() >= (6, 0) else [parseaddr(item) for item in items]
