"""What Django calls the services that URLs name: databases, caches, mailers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from yourlabs.setup.environment import Invalid
from yourlabs.setup.urls import Url, parse_url, switch, typed

EMAIL_TIMEOUT = 10
"""Seconds an SMTP server is waited for when the URL says nothing."""

ENGINES = {
    "sqlite": "sqlite3",
    "sqlite3": "sqlite3",
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "pgsql": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
}
DATABASE_SWITCHES = frozenset(
    {
        "ATOMIC_REQUESTS",
        "AUTOCOMMIT",
        "CONN_HEALTH_CHECKS",
        "DISABLE_SERVER_SIDE_CURSORS",
    }
)
PLACES = {
    "host": "HOST",
    "unix_socket": "HOST",
    "port": "PORT",
    "user": "USER",
    "dbname": "NAME",
}
REDIS_SCHEMES = frozenset({"redis", "rediss", "unix"})
CACHE_OPTIONS = {"timeout": "TIMEOUT", "key_prefix": "KEY_PREFIX", "version": "VERSION"}
MAIL_BACKENDS = {
    "smtp": "smtp",
    "smtps": "smtp",
    "smtp+tls": "smtp",
    "smtp+ssl": "smtp",
    "console": "console",
    "locmem": "locmem",
    "dummy": "dummy",
    "file": "filebased",
}


def database(text: str, root: Path) -> dict[str, Any]:
    """Return the ``DATABASES`` entry of a URL.

    Args:
        text: The URL.
        root: The folder a relative SQLite path starts from.

    Raises:
        Invalid: When it is no URL of a database that is known.
    """
    if text.strip().lower() in ("sqlite://:memory:", "sqlite3://:memory:"):
        text = "sqlite://"
    url = parse_url(text)
    engine = ENGINES.get(url.scheme)
    if engine is None:
        raise Invalid(_unknown(ENGINES, "DATABASES"))
    if engine == "sqlite3":
        entry: dict[str, Any] = {"NAME": _sqlite_name(url, root)}
    else:
        entry = {
            "NAME": url.path[1:],
            "USER": url.user or "",
            "PASSWORD": url.password or "",
            "HOST": url.host,
            "PORT": url.port or "",
        }
    entry = {"ENGINE": f"django.db.backends.{engine}", **entry}
    _add_database_options(entry, url)
    if not entry["NAME"] and "service" not in entry.get("OPTIONS", {}):
        raise Invalid("expected the name of a database after the host, as /name")
    if engine != "sqlite3" and "/" in url.raw_path[1:]:
        raise Invalid("expected one name of a database, a / in it as %2F")
    return entry


def _sqlite_name(url: Url, root: Path) -> str:
    if url.host or url.user is not None or url.port:
        raise Invalid(
            "expected sqlite:///relative/path, sqlite:////absolute/path or sqlite://"
            " for a database in memory"
        )
    name = url.path[1:]
    if name in ("", ":memory:"):
        return ":memory:"
    return os.path.join(root, name)


def _add_database_options(entry: dict[str, Any], url: Url) -> None:
    options: dict[str, Any] = {}
    for name, value in url.options.items():
        upper = name.upper()
        if upper in DATABASE_SWITCHES:
            entry[upper] = switch(value, name)
        elif upper == "CONN_MAX_AGE":
            entry[upper] = None if value.lower() == "none" else _number(value, name)
        elif upper == "TIME_ZONE":
            entry[upper] = value
        elif name in PLACES and "HOST" in entry:
            entry[PLACES[name]] = typed(value) if name == "port" else value
        else:
            options[name] = typed(value)
    if options:
        entry["OPTIONS"] = options


def cache(text: str) -> dict[str, Any]:
    """Return the ``CACHES`` entry of a URL.

    Raises:
        Invalid: When it is no URL of a cache that is known.
    """
    url = parse_url(text)
    entry: dict[str, Any] = {}
    if url.scheme in REDIS_SCHEMES:
        entry["BACKEND"] = "django.core.cache.backends.redis.RedisCache"
        entry["LOCATION"] = _redis_location(text.strip(), url)
    elif url.scheme == "locmem":
        entry["BACKEND"] = "django.core.cache.backends.locmem.LocMemCache"
        entry["LOCATION"] = (url.host + url.path).strip("/")
    elif url.scheme == "file" and url.path.strip("/") and not url.host:
        entry["BACKEND"] = "django.core.cache.backends.filebased.FileBasedCache"
        entry["LOCATION"] = url.path
    elif url.scheme == "dummy":
        entry["BACKEND"] = "django.core.cache.backends.dummy.DummyCache"
    else:
        raise Invalid(
            _unknown(("redis", "rediss", "unix", "locmem", "file", "dummy"), "CACHES")
        )
    for name, setting in CACHE_OPTIONS.items():
        if name in url.options:
            value = url.options[name]
            if name == "timeout" and value.lower() == "none":
                entry[setting] = None
            else:
                entry[setting] = value if name == "key_prefix" else _number(value, name)
    return {name: value for name, value in entry.items() if value != ""}


def _redis_location(text: str, url: Url) -> str | list[str]:
    base, _, query = text.partition("?")
    kept = [i for i in query.split("&") if i.partition("=")[0] not in CACHE_OPTIONS]
    location = "?".join([base, "&".join(kept)]) if any(kept) else base
    # Django splits a string at these, in the middle of a password if need be.
    return [location] if _is_split(location) else location


def _is_split(location: str) -> bool:
    """Whether Django would take a location of Redis for several of them."""
    return "," in location or ";" in location


def mailer(text: str) -> dict[str, Any]:
    """Return the ``MAILERS`` entry of a URL.

    Raises:
        Invalid: When it is no URL of a mailer that is known.
    """
    url = parse_url(text)
    backend = MAIL_BACKENDS.get(url.scheme)
    if backend is None:
        raise Invalid(_unknown(MAIL_BACKENDS, "MAILERS or EMAIL_BACKEND"))
    entry: dict[str, Any] = {
        "BACKEND": f"django.core.mail.backends.{backend}.EmailBackend"
    }
    if backend == "filebased":
        if not url.path.strip("/"):
            raise Invalid("expected the folder of the mails, as file:///path")
        entry["OPTIONS"] = {"file_path": url.path}
    elif backend == "smtp":
        entry["OPTIONS"] = _smtp_options(url)
    return entry


def _smtp_options(url: Url) -> dict[str, Any]:
    if url.path.strip("/"):
        raise Invalid("expected nothing after the host and the port of the server")
    given = dict(url.options)
    use_ssl = url.scheme in ("smtps", "smtp+ssl")
    use_tls = url.scheme == "smtp+tls"
    use_ssl = switch(given.pop("ssl", str(use_ssl)), "ssl")
    use_tls = switch(given.pop("tls", str(use_tls)), "tls")
    if use_ssl and use_tls:
        raise Invalid("expected either ssl or tls, they exclude each other")
    options: dict[str, Any] = {
        "host": url.host or "localhost",
        "port": url.port or (465 if use_ssl else 587 if use_tls else 25),
        "use_tls": use_tls,
        "use_ssl": use_ssl,
        "timeout": _number(given.pop("timeout", str(EMAIL_TIMEOUT)), "timeout"),
    }
    if not options["timeout"]:
        raise Invalid("expected the option timeout to be more than 0 seconds")
    if url.user or url.password:
        options |= {"username": url.user or "", "password": url.password or ""}
    for name in ("ssl_certfile", "ssl_keyfile"):
        if name in given:
            options[name] = given.pop(name)
    if given:
        raise Invalid("the options are timeout, tls, ssl, ssl_certfile, ssl_keyfile")
    return options


def _number(text: str, name: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 16:
        return int(text)
    raise Invalid(f"expected the option {name} to be a whole number of at least 0")


def _unknown(schemes: Any, setting: str) -> str:
    # Not the scheme that was found: it may be the beginning of a password.
    return (
        f"expected a URL that begins with one of {', '.join(schemes)}; "
        f"for anything else set {setting} in the settings file"
    )


def password_source(password: Any, source: str) -> dict[str, str]:
    """Return an expression for the password of a URL that ``source`` gives."""
    if not password:
        return {}
    raw = f"{source}.partition('@')[0].rpartition(':')[2]"
    return {password: f"unquote({raw})"}


def location_source(entry: dict[str, Any], source: str) -> dict[str, str]:
    """Return an expression for the location of a cache that ``source`` gives."""
    location = entry.get("LOCATION", "")
    text = location[0] if isinstance(location, list) else location
    base, question, query = text.partition("?")
    if "@" not in base:
        return {}
    kept = repr(question + query)
    return {text: f"{source}.partition('?')[0]" + (f" + {kept}" if query else "")}
