"""Values that cannot be what they are for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core.exceptions import ImproperlyConfigured

from yourlabs.setup import Setup

MakeSetup = Callable[..., Setup]

HOSTS = [
    '"example.com"',
    "'example.com'",
    "example.com;",
    "example.com;example.org",
    "$HOST",
    "${HOST}",
    "https://example.com",
    "example.com:8000",
    "example.com:",
    "[::1]:8000",
    "example.com/",
    "user@example.com",
    '["example.com"]',
    "[example.com]",
    "*.example.com",
    "example..com",
    "example.com.",
    ".",
    "exam_ple.com",
    "bücher.example",
    "example.com\\",
    "<host>",
    "a,b c,d=e",
    "::1",
]

ORIGINS = [
    "example.com",
    '"https://example.com"',
    "https://example.com/",
    "https://example.com;https://example.org",
    "https://$HOST",
    "https://",
    "https:// ",
    "https://user@example.com",
    "https://example.com:port",
    "https://example.com:0",
    "https://example.com:65536",
    "https://example.com:99999",
    "https://exam ple.com/x",
    "https://example.com?x",
    "https://*example.com",
    "//example.com",
]

ADDRESSES = [
    "example.com",
    "me@",
    "@example.com",
    '"me@example.com"',
    "me@example.com;you@example.com",
    "me@example.com you@example.com",
    "$ADMIN@example.com",
    "Me <me@example.com",
    "me@example.com>",
    "me@exam ple.com",
    "mailto:me@example.com",
    "Me (me@example.com)",
]

SWITCHES = ['"1"', "'true'", "$DEBUG", "1;", "tru", "2", "-1", "1 # yes", "enabled"]

OPTIONS = [
    "postgres://u:p@h/db?connect_timeout=5s",
    "postgres://u:p@h/db?conn_max_age=10m",
    "postgres://u:p@h/db?conn_max_age=1h",
    "postgres://u:p@h/db?keepalives_idle=30sec",
    "postgres://u:p@h/db?atomic_requests=maybe",
    "mysql://u:p@h/db?read_timeout=1min",
    "sqlite:///x?timeout=20s",
    "sqlite:///x?journal_mode=WAL;",
    "postgres://u:p@h:5432tcp/db",
    "postgres://u:p@$HOST/db",
    "postgres://u:p@'h'/db",
    "postgres://u:p@h;x/db",
    "postgres://u:${PASSWORD}@h/db",
    '"postgres://u:p@h/db"',
    "postgres://u:p@h/db?port=5432a",
]

CACHES = [
    "redis://h/1?timeout=5m",
    "redis://h/1?version=v2",
    "redis://h/1?socket_timeout=5s",
    "redis://h/1?max_connections=10x",
    "redis://h?db=first",
    "redis://h/first",
    "redis:///run/redis.sock",
    "locmem://?max_entries=1k",
    "locmem://?max_entris=10",
    "memcached://h?connect_timeout=1s",
    "db://",
    "db://my-table",
    "memcached://u:p@h",
    "'redis://h'",
]

MAILS = [
    "smtp://h?timeout=10s",
    "smtp://h?tls=starttls",
    "smtp://$HOST",
    "smtp://h,g",
    '"smtp://h"',
    "smtp://h:25;",
    "smtp://u:p@h:465",
]

BAD = [
    *(("ALLOWED_HOSTS", value) for value in HOSTS),
    *(("CSRF_TRUSTED_ORIGINS", value) for value in ORIGINS),
    *(("ADMINS", value) for value in ADDRESSES),
    *(("DEBUG", value) for value in SWITCHES),
    *(("DATABASE_URL", value) for value in OPTIONS),
    *(("CACHE_URL", value) for value in CACHES),
    *(("EMAIL_URL", value) for value in MAILS),
    ("LOG_LEVEL", '"INFO"'),
    ("LOG_LEVEL", "20"),
    ("LOG_FORMAT", "jsonl"),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=[f"{n}={v}" for n, v in BAD])
def test_values_that_cannot_be_meant(
    make_setup: MakeSetup, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """A value that cannot be what it is for is an error that names the variable."""
    monkeypatch.setenv(name, value)

    with pytest.raises(ImproperlyConfigured) as error:
        make_setup().full()

    assert str(error.value).startswith(f"{name}: ")
    assert len(str(error.value).splitlines()) == 1


GOOD = [
    ("ALLOWED_HOSTS", "example.com"),
    (
        "ALLOWED_HOSTS",
        " Example.com , .example.org\n10.0.0.1 [2001:db8::1] localhost *",
    ),
    ("ALLOWED_HOSTS", "xn--bcher-kva.example,a-b.example"),
    ("CSRF_TRUSTED_ORIGINS", "https://*.example.com https://[::1]:65535,http://a_b:80"),
    ("CSRF_TRUSTED_ORIGINS", "capacitor://localhost"),
    (
        "ADMINS",
        'me@example.com, "Doe, Jane" <jane.doe+x@example.com>, Bé <b@é.example>',
    ),
    ("ADMINS", "root@localhost"),
    ("SECRET_KEY", "$q*eo+c&2!)u9#x\"'"),
    ("DATABASE_URL", "postgres://u:p$a{b}@my_db-1.internal/db?application_name=5s"),
    ("DATABASE_URL", "postgres://u:p@h/db?options=-c%20statement_timeout=5s"),
    ("EMAIL_URL", "smtp+tls://apikey:SG.x@smtp.example.com"),
]


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_values_that_can(
    make_setup: MakeSetup, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """An odd value that may well be meant is taken."""
    monkeypatch.setenv(name, value)

    make_setup().full()


def test_quotes_in_dotenv(make_setup: MakeSetup, tmp_path: object) -> None:
    """Quotes around the whole of a value are the file's, as for every other tool."""
    setup = make_setup()
    path = setup.root / ".env"
    path.write_text(
        'ALLOWED_HOSTS=\'example.com\'\nDEBUG="1"\nADMINS="a@x.org, b@x.org"'
    )

    again = make_setup()
    again.full()

    assert again.settings["ALLOWED_HOSTS"] == ["example.com"]
    assert again.settings["DEBUG"] is True
    assert len(again.settings["ADMINS"]) == 2


@pytest.mark.parametrize("hsts", ["31536000", "1y", 1.5, True, -1])
def test_seconds(make_setup: MakeSetup, hsts: object) -> None:
    """Seconds of HSTS are a whole number."""
    with pytest.raises(ValueError, match="whole seconds"):
        make_setup().security(hsts=hsts)  # type: ignore[arg-type]
