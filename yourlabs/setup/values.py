"""How the texts of variables are read, and which of them cannot be meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Any, NamedTuple

TRUE = frozenset({"1", "true", "yes", "on", "y", "t"})
FALSE = frozenset({"0", "false", "no", "off", "n", "f"})

ENCODE = (
    "expected a URL with percent-encoded user and password: write # as %23, ? as %3F, "
    "/ as %2F, @ as %40, % as %25, + as %2B and : as %3A"
)
"""Said of every URL that an unencoded character may have broken."""


PACKAGES = {
    "django_cockroachdb": "django-cockroachdb",
    "django_redshift_backend": "django-redshift-backend",
    "mssql": "mssql-django",
    "mysql": "mysql-connector-python",
    "storages": "django-storages",
    "timescale": "django-timescaledb",
}
"""What has to be installed for the modules that are not Django's."""

ELSEWHERE = {
    "submission": "write smtp+tls:// for it",
    "ses mailgun mailjet mandrill postmark sendgrid sparkpost brevo resend": (
        "write the URL of its SMTP server, or install django-anymail"
    ),
    "valkey valkeys": "write redis:// for it, or install django-valkey",
    "sentinel redis+sentinel redis-sentinel": "install django-redis",
    "sftp ftp dropbox": "set STORAGES in the settings file, django-storages has it",
}
"""Schemes that Django alone does not know, and what to do."""


NUMBERS = "timeout|port|size|retries|interval|idle|lifetime|connections|count|expire"
"""What the names of options end with that say how long or how many."""


class Invalid(ValueError):
    """A value that cannot be used. The message never holds any of it."""


def as_bool(text: str, expected: str = "expected") -> bool:
    """Read a switch. Raises ``Invalid`` for anything but the words it knows."""
    word = text.strip().lower()
    if word in TRUE | FALSE:
        return word in TRUE
    raise Invalid(f"{expected} one of 1, true, yes, on, 0, false, no, off")


def as_list(text: str) -> list[str]:
    """Read a list, its items separated by commas or white space."""
    return [item for item in re.split(r"[,\s]+", text) if item]


def _list_of(
    pattern: str, expected: str, split: Callable[[str], list[str]] = as_list
) -> Callable[[str], list[str]]:
    """Return what reads a list, and raises ``Invalid`` where an item is none."""

    def read(text: str) -> list[str]:
        items = split(text)
        for number, item in enumerate(items, start=1):
            if not re.fullmatch(pattern, item, re.IGNORECASE | re.ASCII):
                raise Invalid(f"{expected}; item {number} of {len(items)} is none")
        return items

    return read


as_hosts = _list_of(
    r"\*|\.?[a-z0-9-]+(\.[a-z0-9-]+)*|\[[0-9a-f]*:[0-9a-f:.]+\]",
    "expected host names separated by commas, without scheme, port, path, quotes or "
    "other characters, like example.com,.example.org; letters beyond ASCII as xn--",
)
as_origins = _list_of(
    r"[a-z][a-z0-9+.-]*://((\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])"
    r"(:(?!0|[7-9]\d{4}|6[6-9]\d{3}|65[6-9]\d\d|655[4-9]\d|6553[6-9])\d{1,5})?",
    "expected origins separated by commas, with scheme and without path or quotes, "
    "like https://example.com,https://*.example.org",
)
_ADDRESS = r"[^\s@<>()\[\];:,\"'$\\]+@[^\s@<>()\[\];:,\"'$\\/]+"
_COMMA = r",(?=(?:[^\"]*\"[^\"]*\")*[^\"]*\Z)"
as_addresses = _list_of(
    rf"{_ADDRESS}|[^<>@;$]*<{_ADDRESS}>",
    "expected addresses separated by commas, like me@example.com",
    lambda text: [item.strip() for item in re.split(_COMMA, text) if item.strip()],
)


def one_of(words: Iterable[str]) -> Callable[[str], str]:
    """Return what reads one of some words, in whatever case, and nothing else."""
    known = {word.lower(): word for word in words}

    def read(text: str) -> str:
        if text.strip().lower() in known:
            return known[text.strip().lower()]
        raise Invalid(f"expected one of {', '.join(known.values())}")

    return read


class Url(NamedTuple):
    """The decoded parts of a URL; the raw path too, where a slash is a slash."""

    scheme: str
    user: str
    password: str
    hosts: list[tuple[str, int | None]]
    path: str
    raw_path: str
    options: dict[str, str]

    def __repr__(self) -> str:
        """Show no part: one of them is a password."""
        return f"<Url of {self.scheme}>"

    def one_host(self) -> tuple[str, int | None]:
        """Return host and port. Raises ``Invalid`` when there are several."""
        if len(self.hosts) > 1:
            raise Invalid("expected one host: this service has not more")
        return self.hosts[0]


def parse_url(text: str) -> Url:
    """Take a URL apart; raise ``Invalid`` where others guess (a ``#``, an ``@``)."""
    text = text.strip()
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = text.removesuffix(":"), ""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        raise Invalid(
            "expected a URL like scheme://user:password@host:port/name, without quotes"
        )
    if re.search(r"\$\{\w+\}", rest):
        raise Invalid("expected a value in the place of ${...}: nothing put it there")
    match = re.fullmatch(
        r"(?:([^/?:@]*)(?::([^/?:@+]*))?@)?([^/?@]*)(/[^?]*)?(?:\?(.*))?", rest
    )
    if match is None or re.search(r"[\x00-\x20\x7f#]|%(?![0-9A-Fa-f]{2})", rest):
        raise Invalid(ENCODE)
    user, password, location, path, query = (part or "" for part in match.groups())
    if (match[1] is not None or location) and "@" in path + query:
        raise Invalid(ENCODE)
    hosts = [host_and_port(item) for item in location.split(",")]
    user, password = _decode(user), _decode(password)
    if len(hosts) > 1 and ("", None) in hosts:
        raise Invalid("expected a host before and after each comma")
    options = _options(query)
    return Url(scheme.lower(), user, password, hosts, _decode(path), path, options)


def host_and_port(location: str) -> tuple[str, int | None]:
    """Take the place of a server apart. Raises ``Invalid``."""
    address = r"\[[0-9A-Fa-f:.]+(?:%25[\w.-]+)?\]|[^:\[\]]*"
    match = re.fullmatch(rf"({address})(?::(\d{{1,5}}))?", location)
    host = _decode(match[1].strip("[]")) if match else ""
    # A socket, an address, or a name; of SQL Server with a \ for the instance.
    if match is None or not re.fullmatch(r"/.*|[\w.:%\\-]*", host):
        raise Invalid(f"the host or the port is not understood; {ENCODE}")
    port = int(match[2]) if match[2] else None
    if port is not None and not 0 < port < 65536:
        raise Invalid("expected a port from 1 to 65535")
    return host, port


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for item in filter(None, query.split("&")):
        name, equals, value = item.partition("=")
        if not name or not equals:
            raise Invalid(f"expected options like ?name=value&other=value; {ENCODE}")
        name, value = _decode(name), _decode(value)
        if name in options and name != "host":
            raise Invalid("expected each option once")
        options[name] = f"{options[name]},{value}" if name in options else value
    if any(name.lower() in ("password", "passwd", "pwd") for name in options):
        raise Invalid("expected the password before the host, as user:password@host")
    return options


def _decode(text: str) -> str:
    if "%" not in text:
        return text
    # Not at the top: a settings module without such a text is read faster.
    from urllib.parse import unquote

    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise Invalid("expected percent-encoded characters to be UTF-8") from None


def typed(text: str, name: str) -> bool | int | float | str:
    """Return an option as what it looks like. Raises ``Invalid`` for no number."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if re.fullmatch(r"0|-?[1-9]\d{0,15}", text):
        return int(text)
    if re.fullmatch(r"\d{1,15}\.\d{1,15}", text):
        return float(text)
    if re.search(rf"(?i)({NUMBERS})$", name):
        raise Invalid(f"expected the option {name} to be a number, without a unit")
    return text


def number(text: str, name: str) -> int:
    """Return an option that is a whole number. Raises ``Invalid``, which names it."""
    if text.isascii() and text.isdigit() and len(text) < 16:
        return int(text)
    raise Invalid(f"expected the option {name} to be a whole number of at least 0")


def known(url: Url, schemes: dict[str, Any], setting: str) -> Any:
    """Return what a scheme means. Raises ``Invalid`` when it is not among them."""
    for names, value in {**schemes, **ELSEWHERE}.items():
        if url.scheme in names.split():
            if names in schemes:
                return value
            raise Invalid(f"{url.scheme}:// is not known: {value}")
    # Not the scheme that was found: it may be the beginning of a password.
    names = ", ".join(" ".join(schemes).split())
    expected = f"expected a URL that begins with one of {names}"
    raise Invalid(f"{expected}; for anything else set {setting} in the settings file")


def need(engine: str) -> None:
    """Raise ``Invalid`` when the package of a module is not installed."""
    module = engine.partition(".")[0]
    if module in PACKAGES and find_spec(module) is None:
        raise Invalid(f"install the package {PACKAGES[module]}: it is not there")
