"""URLs as dj-database-url and django-environ read them, and where this differs."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dj_database_url
import environ
import pytest

from tests.doc_blocks import DOCS
from yourlabs.setup import services, values

ROOT = Path("/srv/site")

SCHEMES = [
    "postgres",
    "postgresql",
    "pgsql",
    "postgis",
    "mysql",
    "mysql2",
    "mysqlgis",
    "mysql-connector",
    "oracle",
    "oraclegis",
    "mssql",
    "mssqlms",
    "cockroach",
    "redshift",
    "timescale",
    "timescalegis",
]
PLACES = [
    "u:p@h/n",
    "u:p%23a%2Fb%40c%3F%25%2B%3A@h:5433/n",
    "u:%C3%A9%20%26%3D@h/n",
    "u%40x:p@[2001:db8::1]:5433/n",
    "@%2Fvar%2Frun%2Fdb/n",
    "u:p@10.0.0.1/n?connect_timeout=5&x=y",
    "u:p@h/n?conn_max_age=60&conn_health_checks=true",
]
ODD = [
    "postgres://u:a#b@h/n",
    "postgres://u:a?b@h/n",
    "postgres://u:a/b@h/n",
    "postgres://u:a@b@h/n",
    "postgres://u:a+b@h/n",
    "postgres://u:a:b@h/n",
    "postgres://u:a%b@h/n",
    "postgres://u:p@h",
    "postgres://u:p@h/",
    "postgres://u:p@h:99999/n",
    "postgres://u:p@h/n?x",
    "postgres://u:p@h/n?sslmode=require",
    "postgres://u:p@h/n?sslmode=verify-full&sslrootcert=/etc/ca.pem",
    "postgres://u:p@/n?host=/run/postgresql",
    "postgres:///n",
    "postgres://?service=mine",
    "postgres://h1,h2/n",
    "postgres://h1:5432,h2:5433/n?target_session_attrs=read-write",
    "postgres://h/n?currentSchema=s",
    "postgres://h/n?pool=true",
    "POSTGRES://h/n",
    " postgres://h/n",
    "mysql://u:p@/n?unix_socket=/run/mysqld.sock",
    "mysql://u:p@h/n?ssl-ca=/etc/ca.pem",
    "mysql://u:p@h/n?charset=utf8mb4",
    "sqlite://",
    "sqlite://:memory:",
    "sqlite:///x.db",
    "sqlite:////srv/x.db",
    "sqlite:///a%20b.db",
    "sqlite:///x.db?timeout=5",
    "spatialite:///x.db",
]
DATABASES = [*(f"{scheme}://{place}" for scheme in SCHEMES for place in PLACES), *ODD]
CACHES = [
    "redis://h:6379/1",
    "rediss://:p@h:6379",
    "redis://u:p%23@h/2?timeout=60",
    "redis://h1:6379,h2:6379/1",
    "pymemcache://h:11211",
    "pymemcache://h1:11211,h2:11211",
    "pymemcache:///run/memcached.sock",
    "pylibmc://h:11211",
    "locmem://",
]
MAILS = [
    "smtp://u:p@h:2525",
    "smtp+tls://u%40x.org:p%23@h:587",
    "smtp+ssl://u:p@h:465",
    "smtps://u:p@h:465",
    "smtp://h:25",
]

REASONS: dict[str, str] = {
    "refused": r"#|/b@|a\?b|a@b|a\+b|a:b|%b|@h/?$|99999|\?x$",
    "port of Oracle": r"^oracle",
    "driver of SQL Server": r"^mssql:",
    "schemes": r"^(cockroach|timescale|oraclegis|mssqlms)",
    "options of Django": r"conn_max_age|pool=",
    "socket": r"%2Fvar|host=|unix_socket=",
    "several hosts": r"h1:5432",
    "SQLite": r"^(sqlite|spatialite):///",
    "certificate of MySQL": r"ssl-ca",
    "schema": r"currentSchema",
    "caches": r"timeout=60|locmem",
    "TLS of mails": r"^smtps",
}
"""A pattern of the URLs that others read otherwise, by the words of the docs for it."""


def plain(entry: dict[str, Any]) -> dict[str, Any]:
    """What an entry says, whatever the types and the defaults in it."""
    entry = {"OPTIONS": {}, "CONN_MAX_AGE": 0, **entry}
    options = {name: str(value) for name, value in entry.pop("OPTIONS").items()}
    return {name: str(v) for name, v in entry.items() if v} | {"OPTIONS": options}


def read(function: Callable[[str], Any], url: str) -> Any:
    """What a library makes of a URL; None when it refuses."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return plain(dict(function(url)))
    except (ValueError, KeyError, TypeError, environ.ImproperlyConfigured):
        return None


def is_explained(url: str) -> bool:
    return any(re.search(pattern, url) for pattern in REASONS.values())


EXPECTED: dict[str, Any] = json.loads(
    Path(__file__).with_name("comparison.json").read_text()
)
"""What each URL of the table means here, null when it is refused."""


@pytest.fixture(autouse=True)
def all_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every package of a database is installed, as far as anybody can tell."""
    monkeypatch.setattr(values, "find_spec", lambda name: object())


@pytest.mark.parametrize("url", DATABASES)
def test_databases(url: str) -> None:
    """A database is read as the others read it, or a documented reason holds."""
    ours = read(lambda text: services.database(text, ROOT), url)

    assert ours == EXPECTED[url]
    for other in (dj_database_url.parse, environ.Env.db_url_config):
        assert ours == read(other, url) or is_explained(url)


@pytest.mark.parametrize("url", CACHES)
def test_caches(url: str) -> None:
    """A cache is read as django-environ reads it, or a documented reason holds."""
    ours = read(services.cache, url)

    assert ours == EXPECTED[url]
    assert ours == read(environ.Env.cache_url_config, url) or is_explained(url)


@pytest.mark.parametrize("url", MAILS)
def test_mails(url: str) -> None:
    """A mail server is read as django-environ reads it, or a reason holds."""
    options = services.mailer(url)["OPTIONS"]
    assert plain(services.mailer(url)) == EXPECTED[url]
    found = environ.Env.email_url_config(url)

    names = {"host": "HOST", "username": "HOST_USER", "password": "HOST_PASSWORD"}
    for name, setting in {**names, "port": "PORT"}.items():
        assert options.get(name) == found[f"EMAIL_{setting}"]
    for name in ("use_tls", "use_ssl"):
        same = options[name] == found.get(f"EMAIL_{name.upper()}", False)
        assert same or is_explained(url)


def test_there_are_enough() -> None:
    """The table is as long as it claims to be, and most of it needs no reason."""
    urls = {*DATABASES, *CACHES, *MAILS}

    assert urls == set(EXPECTED)
    assert len(urls) >= 150
    assert sum(not is_explained(url) for url in urls) >= 50


@pytest.mark.parametrize("reason", REASONS)
def test_reasons_are_needed_and_documented(reason: str) -> None:
    """Each reason is in the docs, and is that of a URL of the table."""
    page = (DOCS / "explanation/settings.rst").read_text()
    urls = [
        url for url in (*DATABASES, *CACHES, *MAILS) if re.search(REASONS[reason], url)
    ]

    assert urls
    assert f"**{reason}**" in page
