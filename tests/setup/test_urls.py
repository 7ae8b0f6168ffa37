"""URLs of databases, caches and mail servers, good and bad."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from yourlabs.setup import Setup
from yourlabs.setup.services import cache, database, mailer
from yourlabs.setup.values import Invalid, parse_url

MakeSetup = Callable[..., Setup]

ROOT = Path("/srv/site")
POSTGRES = "django.db.backends.postgresql"
MYSQL = "django.db.backends.mysql"
SQLITE = "django.db.backends.sqlite3"

SPECIAL = "#?/@%+:"
"""What a password may hold when it is percent-encoded, and only then."""


def sqlite(name: str, pragmas: str = "", **options: Any) -> dict[str, Any]:
    pragmas = pragmas or "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL"
    default = {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": pragmas}
    return {"ENGINE": SQLITE, "NAME": name, "OPTIONS": {**default, **options}}


def server(
    engine: str,
    name: str,
    user: str = "",
    password: str = "",
    host: str = "",
    port: int | str = "",
    **more: Any,
) -> dict[str, Any]:
    return {
        "ENGINE": engine,
        "NAME": name,
        "USER": user,
        "PASSWORD": password,
        "HOST": host,
        "PORT": port,
        **more,
    }


DATABASES = [
    ("sqlite://", {"ENGINE": SQLITE, "NAME": ":memory:"}),
    ("sqlite://:memory:", {"ENGINE": SQLITE, "NAME": ":memory:"}),
    ("sqlite:///:memory:", {"ENGINE": SQLITE, "NAME": ":memory:"}),
    ("sqlite:///db.sqlite3", sqlite("/srv/site/db.sqlite3")),
    ("sqlite:///var/a%20b.db", sqlite("/srv/site/var/a b.db")),
    ("sqlite:////srv/@x/db", sqlite("/srv/@x/db")),
    ("SQLITE:////srv/a%23b", sqlite("/srv/a#b")),
    (
        "sqlite:///x?timeout=5&transaction_mode=DEFERRED",
        sqlite("/srv/site/x", timeout=5, transaction_mode="DEFERRED"),
    ),
    (
        "sqlite:///x?journal_mode=DELETE",
        sqlite("/srv/site/x", "PRAGMA journal_mode=DELETE;PRAGMA synchronous=NORMAL"),
    ),
    ("postgres://u:p@h/db", server(POSTGRES, "db", "u", "p", "h")),
    ("postgresql://u:p@h:5433/db", server(POSTGRES, "db", "u", "p", "h", 5433)),
    ("pgsql://h/db", server(POSTGRES, "db", host="h")),
    ("postgres://u@h/db", server(POSTGRES, "db", "u", "", "h")),
    ("postgres://u:@h/db", server(POSTGRES, "db", "u", "", "h")),
    ("postgres:///db", server(POSTGRES, "db")),
    (" postgres://u:p@h/db\n", server(POSTGRES, "db", "u", "p", "h")),
    (
        "postgres://u:p@%2Fvar%2Frun%2Fpostgresql/db",
        server(POSTGRES, "db", "u", "p", "/var/run/postgresql"),
    ),
    (
        "postgres://u:p@/db?host=/var/run/postgresql",
        server(POSTGRES, "db", "u", "p", "/var/run/postgresql"),
    ),
    (
        "postgresql:///db?host=%2Frun&port=5433&user=u",
        server(POSTGRES, "db", "u", "", "/run", 5433),
    ),
    ("postgres://u:p@[::1]:5432/db", server(POSTGRES, "db", "u", "p", "::1", 5432)),
    ("postgres://u:p@[fe80::1]/db", server(POSTGRES, "db", "u", "p", "fe80::1")),
    ("postgres://u+x:p@h/d%2Fb", server(POSTGRES, "d/b", "u+x", "p", "h")),
    ("postgres://a%40b:p@h/db", server(POSTGRES, "db", "a@b", "p", "h")),
    (
        "postgres://u:é!$&'()*;=~[]@h/db",
        server(POSTGRES, "db", "u", "é!$&'()*;=~[]", "h"),
    ),
    (
        "postgres://u:p@h/db?sslmode=require&connect_timeout=5",
        server(
            POSTGRES,
            "db",
            "u",
            "p",
            "h",
            OPTIONS={"sslmode": "require", "connect_timeout": 5},
        ),
    ),
    (
        "postgres://u:p@h/db?conn_max_age=60&conn_health_checks=true&pool=true",
        server(
            POSTGRES,
            "db",
            "u",
            "p",
            "h",
            CONN_MAX_AGE=60,
            CONN_HEALTH_CHECKS=True,
            OPTIONS={"pool": True},
        ),
    ),
    (
        "postgres://u:p@h/db?CONN_MAX_AGE=None&atomic_requests=1&time_zone=UTC",
        server(
            POSTGRES,
            "db",
            "u",
            "p",
            "h",
            CONN_MAX_AGE=None,
            ATOMIC_REQUESTS=True,
            TIME_ZONE="UTC",
        ),
    ),
    (
        "postgres://?service=mine",
        server(POSTGRES, "", OPTIONS={"service": "mine"}),
    ),
    ("mysql://u:p@h:3306/db", server(MYSQL, "db", "u", "p", "h", 3306)),
    ("mariadb://u:p@h/db", server(MYSQL, "db", "u", "p", "h")),
    (
        "mysql://u:p@/db?unix_socket=/run/mysqld/mysqld.sock&charset=utf8mb4",
        server(
            MYSQL,
            "db",
            "u",
            "p",
            "/run/mysqld/mysqld.sock",
            OPTIONS={"charset": "utf8mb4"},
        ),
    ),
]

BAD_DATABASES = [
    "hunter2",
    "://hunter2",
    "u:hunter2@h/db",
    "//u:hunter2@h/db",
    "hunter2://h/db",
    "postgres:u:hunter2@h/db",
    "postgres://u:hunter2@h",
    "postgres://u:hunter2@h/",
    "postgres://u:hunter2@h:/db@",
    "postgres://u:hunter2@h:port/db",
    "postgres://u:hunter2@h:0/db",
    "postgres://u:hunter2@h:65536/db",
    "postgres://u:hunter2@h:123456/db",
    "postgres://u:hunter2@h/a/b",
    "postgres://u:hunter2",
    "postgres://u:hunter2@[::1/db",
    "postgres://u:hunter2@::1/db",
    "postgres://u:hunter2@h/db?sslmode",
    "postgres://u:hunter2@h/db?=x",
    "postgres://u@h/db?password=hunter2",
    "postgres://u:hunter2@h/db?atomic_requests=hunter2",
    "postgres://u:hunter2@h/db?conn_max_age=hunter2",
    "postgres://u:hunter2@h/db?conn_max_age=-1",
    "postgres://u:hunter2 @h/db",
    "postgres://u:hunter2\n@h/db",
    "postgres://u:hunter2%FF@h/db",
    "postgres://u:hunter2@h/db#fragment",
    "sqlite://hunter2.db",
    "sqlite://u:hunter2@h/x",
    "mysql://u:hunter2@h",
    "postgres://u:12/hunter2@h/db",
    "postgres://u:12?hunter2@h/db",
    "postgres://u:/hunter2@h/db",
    "postgres://u:?hunter2@h/db",
    "postgres://u:#hunter2@h/db",
    "postgres://u:%hunter2@h/db",
    "postgres://u:hunter2%@h/db",
    "postgres://u:hunter2%2@h/db",
]

CACHES = [
    ("locmem://", {"BACKEND": "locmem.LocMemCache"}),
    ("locmem://name", {"BACKEND": "locmem.LocMemCache", "LOCATION": "name"}),
    ("locmem", {"BACKEND": "locmem.LocMemCache"}),
    ("dummy://", {"BACKEND": "dummy.DummyCache"}),
    (
        "file:///var/tmp/cache",
        {"BACKEND": "filebased.FileBasedCache", "LOCATION": "/var/tmp/cache"},
    ),
    (
        "redis://h:6379/1",
        {"BACKEND": "redis.RedisCache", "LOCATION": "redis://h:6379/1"},
    ),
    (
        "rediss://u:p%40@h/1?ssl_cert_reqs=none",
        {
            "BACKEND": "redis.RedisCache",
            "LOCATION": "rediss://u:p%40@h/1?ssl_cert_reqs=none",
        },
    ),
    (
        "redis://:p@h?timeout=60&db=2&key_prefix=x&version=3",
        {
            "BACKEND": "redis.RedisCache",
            "LOCATION": "redis://:p@h?db=2",
            "TIMEOUT": 60,
            "KEY_PREFIX": "x",
            "VERSION": 3,
        },
    ),
    (
        "redis://h/1?timeout=none",
        {"BACKEND": "redis.RedisCache", "LOCATION": "redis://h/1", "TIMEOUT": None},
    ),
    (
        "redis://:a,b;c@h/1",
        {"BACKEND": "redis.RedisCache", "LOCATION": ["redis://:a,b;c@h/1"]},
    ),
    (
        "unix://:p@/run/redis.sock?db=1",
        {"BACKEND": "redis.RedisCache", "LOCATION": "unix://:p@/run/redis.sock?db=1"},
    ),
]

BAD_CACHES = [
    "hunter2",
    "hunter2://h",
    "memcached://u:hunter2@h",
    "file://",
    "file://hunter2",
    "redis://:hunter2@h:port/1",
    "redis://:hunter2#@h/1",
    "redis://:hunter2@h/1?timeout=hunter2",
    "redis://h/1?password=hunter2",
]


def smtp(host: str, port: int, **options: Any) -> dict[str, Any]:
    return {
        "BACKEND": "smtp.EmailBackend",
        "OPTIONS": {
            "host": host,
            "port": port,
            "use_tls": False,
            "use_ssl": False,
            "timeout": 10,
            **options,
        },
    }


MAILERS = [
    ("console://", {"BACKEND": "console.EmailBackend"}),
    ("console:", {"BACKEND": "console.EmailBackend"}),
    ("locmem://", {"BACKEND": "locmem.EmailBackend"}),
    ("dummy://", {"BACKEND": "dummy.EmailBackend"}),
    (
        "file:///tmp/mails",
        {"BACKEND": "filebased.EmailBackend", "OPTIONS": {"file_path": "/tmp/mails"}},
    ),
    ("smtp://", smtp("localhost", 25)),
    ("smtp://h:2525", smtp("h", 2525)),
    ("smtp://u:p@h/", smtp("h", 25, username="u", password="p")),
    ("smtps://u:p@h", smtp("h", 465, use_ssl=True, username="u", password="p")),
    ("smtp+ssl://h", smtp("h", 465, use_ssl=True)),
    ("smtp+tls://h", smtp("h", 587, use_tls=True)),
    ("smtp://h:587?tls=true&timeout=3", smtp("h", 587, use_tls=True, timeout=3)),
    ("smtp://h?ssl=1", smtp("h", 465, use_ssl=True)),
    ("smtp://me%40x.org:p@h", smtp("h", 25, username="me@x.org", password="p")),
    ("smtps://h?ssl_certfile=/c", smtp("h", 465, use_ssl=True, ssl_certfile="/c")),
]

BAD_MAILERS = [
    "hunter2",
    "imap://u:hunter2@h",
    "smtp://u:hunter2@h/path",
    "smtp://u:hunter2@h:x",
    "smtp://u:hunter2@h?timeout=0",
    "smtp://u:hunter2@h?timeout=hunter2",
    "smtp://u:hunter2@h?timeout=None",
    "smtp://u:hunter2@h?tls=hunter2",
    "smtps://u:hunter2@h?tls=1",
    "smtp://u:hunter2@h?hunter2=1",
    "smtp://me@x.org:hunter2@h",
    "file://",
]


HOSTS = [
    ("postgres://h1,h2/n", "h1,h2", ""),
    ("postgres://h1:5432,h2/n", "h1,h2", "5432,"),
    ("postgres://h1,h2:5433/n", "h1,h2", ",5433"),
    ("postgis://[::1]:5432,[::2]:5433/n", "::1,::2", "5432,5433"),
    ("cockroach://h1:26257,h2:26258/n", "h1,h2", "26257,26258"),
    ("timescale://h1,h2,h3/n", "h1,h2,h3", ""),
    ("postgres://u:p@%2Frun%2Fdb,h2:5433/n", "/run/db,h2", ",5433"),
    ("postgres://u:p@/n?host=h1,h2&port=5432,5433", "h1,h2", "5432,5433"),
    ("postgres://u:p@/n?host=h1,h2&port=5433", "h1,h2", "5433,5433"),
    ("postgres://u:p@/n?host=h1:5432&host=h2:5433", "h1,h2", "5432,5433"),
    ("postgres:///n?host=/cloudsql/p:r:i", "/cloudsql/p:r:i", ""),
]


@pytest.mark.parametrize(("url", "hosts", "ports"), HOSTS, ids=[u for u, *_ in HOSTS])
def test_several_hosts(
    monkeypatch: pytest.MonkeyPatch, url: str, hosts: str, ports: str
) -> None:
    """Several hosts of a URL are the two lists that libpq wants."""
    monkeypatch.setattr("yourlabs.setup.values.find_spec", lambda name: object())

    entry = database(url, ROOT)

    assert (entry["HOST"], entry["PORT"]) == (hosts, ports)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://h1,h2/n",
        "oracle://h1:1521,h2:1521/n",
        "mysql:///n?host=h1,h2",
        "postgres://h1,/n",
        "postgres://h1,,h2/n",
        "postgres://h1:5432,h2:x/n",
        "postgres://u:p@h1,u:p@h2/n",
        "postgres:///n?host=h1,h2,h3&port=1,2",
        "postgres:///n?host=h1&port=x",
        "postgres://h/n?sslmode=require&sslmode=disable",
    ],
)
def test_hosts_that_cannot_be_meant(url: str) -> None:
    """Hosts that a service cannot have, or that cannot be counted, are refused."""
    with pytest.raises(Invalid):
        database(url, ROOT)


REDIS = [
    ("redis://h1,h2:6380/1", ["redis://h1/1", "redis://h2:6380/1"]),
    ("redis://h1/1,redis://h2/1", ["redis://h1/1", "redis://h2/1"]),
    ("rediss://:p@h1/1;rediss://:q@h2", ["rediss://:p@h1/1", "rediss://:q@h2"]),
    ("redis://[::1],[::2]:1/1", ["redis://[::1]/1", "redis://[::2]:1/1"]),
]


@pytest.mark.parametrize(("url", "expected"), REDIS, ids=[url for url, _ in REDIS])
def test_several_hosts_of_redis(url: str, expected: list[str]) -> None:
    """Several hosts, or several URLs, are the one that is written and its replicas."""
    assert cache(url)["LOCATION"] == expected


@pytest.mark.parametrize(("url", "expected"), DATABASES, ids=[u for u, _ in DATABASES])
def test_databases(url: str, expected: dict[str, Any]) -> None:
    """A URL of a database gives its entry in DATABASES."""
    assert database(url, ROOT) == expected


@pytest.mark.parametrize(("url", "expected"), CACHES, ids=[url for url, _ in CACHES])
def test_caches(url: str, expected: dict[str, Any]) -> None:
    """A URL of a cache gives its entry in CACHES."""
    backend = f"django.core.cache.backends.{expected['BACKEND']}"
    assert cache(url) == {**expected, "BACKEND": backend}


@pytest.mark.parametrize(("url", "expected"), MAILERS, ids=[url for url, _ in MAILERS])
def test_mailers(url: str, expected: dict[str, Any]) -> None:
    """A URL of a mail server gives its entry in MAILERS, with a timeout."""
    backend = f"django.core.mail.backends.{expected['BACKEND']}"
    assert mailer(url) == {**expected, "BACKEND": backend}


@pytest.mark.parametrize(
    ("name", "url"),
    [
        *(("DATABASE_URL", url) for url in BAD_DATABASES),
        *(("CACHE_URL", url) for url in BAD_CACHES),
        *(("EMAIL_URL", url) for url in BAD_MAILERS),
    ],
)
def test_bad_urls(
    monkeypatch: pytest.MonkeyPatch, make_setup: MakeSetup, name: str, url: str
) -> None:
    """A URL that is wrong is an error of one line that names the variable only."""
    monkeypatch.setenv(name, url)

    with pytest.raises(ImproperlyConfigured) as error:
        make_setup(DEBUG=True).full()

    assert str(error.value).startswith(f"{name}: ")
    assert len(str(error.value).splitlines()) == 1
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("character", SPECIAL)
@pytest.mark.parametrize("place", ["{}hunter2", "hun{}ter2", "hunter2{}", "1{}2"])
@pytest.mark.parametrize(
    ("read", "url"),
    [
        (lambda url: database(url, ROOT), "postgres://u:{}@h/db"),
        (lambda url: database(url, ROOT), "mysql://u:{}@h:3306/db"),
        (cache, "redis://:{}@h:6379/1"),
        (mailer, "smtps://u:{}@h:465"),
        (mailer, "smtp://u:{}@h"),
    ],
    ids=["postgres", "mysql", "redis", "smtps", "smtp"],
)
def test_unencoded_characters(
    read: Callable[[str], Any], url: str, place: str, character: str
) -> None:
    """A character that should be encoded is an error that says so, wherever it is."""
    password = place.format(character)

    with pytest.raises(Invalid, match="percent-encoded") as error:
        read(url.format(password))

    assert password not in str(error.value)
    assert "hunter2" not in str(error.value)


@given(st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_any_password_round_trips(password: str) -> None:
    """Whatever a password holds, percent-encoded it comes out as it was."""
    encoded = quote(password, safe="")

    assert parse_url(f"postgres://u:{encoded}@h:1/db").password == password
    assert database(f"mysql://u:{encoded}@h/db", ROOT)["PASSWORD"] == password
    assert mailer(f"smtp://u:{encoded}@h")["OPTIONS"]["password"] == password


@given(st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_redis_reads_the_password(password: str) -> None:
    """The client of Redis reads the password that was encoded, in one server."""
    redis = pytest.importorskip("redis")
    location = cache(f"redis://:{quote(password, safe='')}@h:6379/2")["LOCATION"]

    pool = redis.ConnectionPool.from_url(location)

    assert pool.connection_kwargs["password"] == password
    assert pool.connection_kwargs["db"] == 2


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    """Any text is either a URL or an error of ours."""
    for read in (lambda url: database(url, ROOT), cache, mailer):
        with contextlib.suppress(Invalid):
            read(text)


@given(st.text(alphabet="#?/@%+:ab1", max_size=12))
def test_no_password_is_cut(password: str) -> None:
    """A password that is accepted unencoded is the whole password."""
    try:
        entry = database(f"postgres://u:{password}@h/db", ROOT)
    except Invalid:
        return

    assert entry["HOST"] == "h"
    assert quote(entry["PASSWORD"], safe="") == password or "%" in password


def test_url_shows_none_of_its_parts() -> None:
    """The parts of a URL are not in its representation."""
    assert "hunter2" not in repr(parse_url("postgres://hunter2:hunter2@hunter2"))


def test_default_services(make_setup: MakeSetup, tmp_path: Path) -> None:
    """Without URLs: SQLite in var, a cache in memory."""
    setup = make_setup()

    setup.database()
    setup.cache()

    name = str(tmp_path / "var/db.sqlite3")
    assert setup.settings["DATABASES"]["default"] == sqlite(name)
    assert setup.settings["CACHES"]["default"] == {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache"
    }
