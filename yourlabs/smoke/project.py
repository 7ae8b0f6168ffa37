"""What the project as a whole tells: its apps, its host."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings

from yourlabs.smoke.rows import rows_of


def has_managed_models() -> bool:
    """Whether migrations would make any table."""
    return any(model._meta.managed for model in apps.get_models())


def unknown_app(wanted: tuple[str, ...]) -> str:
    """The first of some labels or names that no app has; empty when all are known."""
    known = {name for c in apps.get_app_configs() for name in (c.label, c.name)}
    return next((name for name in wanted if name not in known), "")


def needs_site_domain() -> bool:
    """Whether the site is chosen by the host of the request."""
    return apps.is_installed("django.contrib.sites") and not getattr(
        settings, "SITE_ID", ""
    )


def first_site_domain() -> str:
    """The domain of the oldest site; empty when there is none."""
    found = rows_of(apps.get_model("sites.Site"), 3)
    return str(getattr(found[0], "domain", "")) if found else ""


def is_of_apps(leaf: Any, facts: Any, wanted: tuple[str, ...]) -> bool:
    """Whether a leaf's view, model or namespace is of one of some installed apps."""
    model = getattr(facts.model_admin, "model", None)
    for name in wanted:
        config = next(c for c in apps.get_app_configs() if name in (c.label, c.name))
        module = leaf.view
        if model is not None:
            if model._meta.app_label == config.label:
                return True
        elif module.startswith(config.name + ".") or config.label in leaf.namespaces:
            return True
    return False


_URL_SETTINGS = ("SITE_URL", "BASE_URL", "PUBLIC_URL", "SERVER_URL", "ROOT_URL")


def choose_host() -> str:
    """The host to ask for: a site's domain, a setting's, an allowed one."""
    if needs_site_domain():
        domain = first_site_domain()
        if domain:
            return domain
    for name in _URL_SETTINGS:
        value = getattr(settings, name, None)
        host = urlsplit(value).netloc if isinstance(value, str) else ""
        if host:
            return host
    hosts = [str(host).lstrip(".") for host in settings.ALLOWED_HOSTS if host != "*"]
    return next((host for host in hosts if host and ":" not in host), "localhost")
