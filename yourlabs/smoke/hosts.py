"""Find the hosts of a project, and which URL patterns each of them has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.db import models

from yourlabs.smoke import shapes
from yourlabs.smoke.client import Client
from yourlabs.smoke.describing import source_of
from yourlabs.smoke.rows import rows_of

MAX_HOSTS = 20
"""How many hosts are asked which URL patterns they have."""

_URL_SETTINGS = ("SITE_URL", "BASE_URL", "PUBLIC_URL", "SERVER_URL", "ROOT_URL")
_HOST = re.compile(r"(?:[a-z0-9-]+\.)+[a-z0-9-]+(?::\d+)?|localhost(?::\d+)?", re.I)
_FIELDS = ("domain", "domain_name", "hostname", "host")
"""What the fields are called in which sites and tenants have their host."""


@dataclass(frozen=True)
class Site:
    """A host, and the URL patterns that requests to it are resolved with."""

    host: str
    urlconf: Any = None
    """A module of URL patterns; None is ``ROOT_URLCONF``."""

    is_secure: bool = False
    is_main: bool = True
    """Whether its patterns need no host in front to be told from others."""

    def route(self, pattern: str) -> str:
        """What a pattern of the host is called."""
        return pattern if self.is_main else f"//{self.host}/{pattern}"


def find_sites(
    client: Client, urlconfs: dict[str, str], notes: list[str]
) -> list[Site]:
    """One site for each module of URL patterns, that of ``ROOT_URLCONF`` first.

    Args:
        client: Asks each host, whose middleware decides.
        urlconfs: ``SMOKE["urlconfs"]``: the module of a host, where the server in
            front of the project decides.
        notes: Gets a text where patterns may have been left out.
    """
    found: dict[Any, Site] = {}
    for host in _tried(client, urlconfs):
        urlconf = client.resolved_with
        if urlconf == settings.ROOT_URLCONF:
            urlconf = None
        found.setdefault(urlconf, Site(host, urlconf, client.is_secure))
    if not found:
        return [Site(choose_host(), None, client.is_secure)]
    sites = sorted(found.values(), key=lambda site: site.urlconf is not None)
    if len(sites) == 1 and (names := _deciding_middleware()):
        notes.append(
            f"{names[0]} may choose other URL patterns for other hosts, but only those "
            f"of {sites[0].host} were requested. Name the others in SMOKE['urlconfs']."
        )
    first, *others = sites
    return [first, *(Site(s.host, s.urlconf, s.is_secure, False) for s in others)]


def _tried(client: Client, urlconfs: dict[str, str]) -> Iterator[str]:
    """The hosts that answer with URL patterns; the client is set to each in turn."""
    waiting = list(dict.fromkeys([*urlconfs, *_named()]))
    seen: set[tuple[str, bool]] = set()
    while waiting and len(seen) < MAX_HOSTS:
        client.visit(waiting.pop(0), urlconfs)
        while (client.host, client.is_secure) not in seen:
            seen.add((client.host, client.is_secure))
            location = client.probe()
            if client.has_resolved:
                yield client.host
            elif location:
                # A site that answers to another host or scheme says so itself.
                target = urlsplit(location)
                client.visit(
                    target.netloc, urlconfs, is_secure=target.scheme == "https"
                )


def choose_host() -> str:
    """The host to ask for: a site's domain, a setting's, an allowed one."""
    is_by_host = not getattr(settings, "SITE_ID", "")
    if is_by_host and apps.is_installed("django.contrib.sites"):
        found = rows_of(apps.get_model("sites.Site"), 3)
        domain = str(getattr(found[0], "domain", "")) if found else ""
        if domain:
            return domain
    for name in _URL_SETTINGS:
        value = getattr(settings, name, None)
        host = urlsplit(value).netloc if isinstance(value, str) else ""
        if host:
            return host
    hosts = [str(host).lstrip(".") for host in settings.ALLOWED_HOSTS if host != "*"]
    return next((host for host in hosts if host and ":" not in host), "localhost")


def _named() -> Iterator[str]:
    """The hosts that the project names, the likeliest first."""
    yield choose_host()
    yield from filter(_HOST.fullmatch, (h.lstrip(".") for h in settings.ALLOWED_HOSTS))
    yield from _in_tables()
    bases = [h.lstrip(".") for h in settings.ALLOWED_HOSTS if h.startswith(".")]
    bases += filter(None, [str(getattr(settings, "PARENT_HOST", "") or "")])
    for name in _in_settings():
        if _HOST.fullmatch(name):
            yield name
        for base in bases:
            yield f"{name}.{base}" if name else base


def _in_tables() -> Iterator[str]:
    """The hosts of sites and tenants that are rows."""
    for model in apps.get_models():
        for item in model._meta.concrete_fields:
            if item.name in _FIELDS and isinstance(item, models.CharField):
                for row in rows_of(model):
                    value = str(getattr(row, item.attname, "") or "")
                    if _HOST.fullmatch(value):
                        yield value


def _in_settings() -> Iterator[str]:
    """The hosts, or their first parts, that settings have URL patterns for."""
    for name in dir(settings):
        value = (
            getattr(settings, name, None) if "URLCONF" in name or "HOST" in name else 0
        )
        if isinstance(value, dict):
            yield from (str(key or "") for key, text in value.items() if text)
    hostconf = getattr(settings, "ROOT_HOSTCONF", None)
    for host in import_module(hostconf).host_patterns if hostconf else ():
        for shape in shapes.shapes_of(str(host.regex))[:1]:
            values = {slot.name: slot.sample for slot in shapes.slots(shape)}
            yield shapes.fill(shape, values)


def _deciding_middleware() -> list[str]:
    """The middleware of the project that may set the URL patterns of a request."""
    several = [name for name in settings.MIDDLEWARE if not name.startswith("django.")]
    return [name for name in several if ".urlconf" in source_of(name)]
