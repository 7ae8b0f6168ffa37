"""The Django app of setup: a command, and what is told of finished settings."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Warning, register  # noqa: A004

from yourlabs.setup.context import Context, context_of, notice
from yourlabs.setup.environment import called_command
from yourlabs.setup.security import MISSING_HOSTS, demand_hosts, misses_hosts

PLATFORMS = (
    "AWS_LAMBDA_FUNCTION_NAME DYNO FLY_APP_NAME GAE_ENV K_SERVICE KOYEB_APP_NAME "
    "PORT RAILWAY_ENVIRONMENT RENDER VERCEL WEBSITE_HOSTNAME"
)
"""Variables of platforms where TLS always ends at a proxy."""


class SetupConfig(AppConfig):
    """Give a project ``manage.py setup``, and look at its settings as a whole."""

    name = "yourlabs.setup"
    label = "yourlabs_setup"
    verbose_name = "Setup"

    def ready(self) -> None:
        """Demand hosts of a site that serves; say what the file has overruled.

        Raises:
            ImproperlyConfigured: When requests are served and there are no hosts.
        """
        register(check_hosts)
        register(check_proxy, deploy=True)
        context, module = _finished()
        if context is None:
            return
        for remark in context.remarks(module):
            notice(remark)
        demand_hosts(context, module)
        if context.problems:
            context.finish()


def check_hosts(**kwargs: Any) -> list[CheckMessage]:
    """Say in ``check``, and demand in ``check --deploy``, that there are hosts."""
    context, module = _finished()
    if context is None or not misses_hosts(context, module):
        return []
    text = f"ALLOWED_HOSTS is {MISSING_HOSTS}."
    if "--deploy" in sys.argv:
        return [Error(text, id="yourlabs_setup.E001")]
    return [Info(text, id="yourlabs_setup.I001")] if called_command() == "check" else []


def check_proxy(**kwargs: Any) -> list[CheckMessage]:
    """Find what redirects to HTTPS for ever, where that is seen in the settings."""
    header = settings.SECURE_PROXY_SSL_HEADER
    if not settings.SECURE_SSL_REDIRECT:
        return []
    hint = "Call security(proxy=True) where the proxy sets X-Forwarded-Proto."
    if header and not re.fullmatch(r"HTTP_[A-Z0-9_]+", str(header[0])):
        text = "SECURE_PROXY_SSL_HEADER names no header: it is HTTP_ and capitals."
        return [Warning(text, hint=hint, id="yourlabs_setup.W002")]
    is_proxied = settings.USE_X_FORWARDED_HOST or settings.USE_X_FORWARDED_PORT
    if header or not (is_proxied or os.environ.keys() & set(PLATFORMS.split())):
        return []
    text = (
        "There is a proxy, and nothing says which requests reached it by HTTPS: all "
        "of them are redirected to HTTPS, for ever."
    )
    return [Warning(text, hint=hint, id="yourlabs_setup.W001")]


def _finished() -> tuple[Context | None, dict[str, Any]]:
    """The settings as Django has them, and what has set them up, if anything."""
    module = sys.modules.get(str(settings.SETTINGS_MODULE))
    found = vars(module) if module else {}
    return context_of(found), found
