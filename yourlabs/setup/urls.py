"""URLs of services, parsed so that a password is never cut or misread."""

from __future__ import annotations

import re
from typing import NamedTuple

from yourlabs.setup.environment import FALSE, TRUE, Invalid

ENCODE = (
    "expected a URL with percent-encoded user and password: write # as %23, ? as %3F, "
    "/ as %2F, @ as %40, % as %25, + as %2B and : as %3A"
)
"""Said of every URL that an unencoded character may have broken."""


class Url(NamedTuple):
    """The decoded parts of a URL."""

    scheme: str
    user: str | None
    password: str | None
    host: str
    port: int | None
    path: str
    """With its leading slash; empty when there is none."""
    raw_path: str
    """The path before it was decoded, where a slash is a slash."""
    options: dict[str, str]

    def __repr__(self) -> str:
        """Show no part: one of them is a password."""
        return f"<Url of {self.scheme}>"


def parse_url(text: str) -> Url:
    """Take a URL apart and decode its parts.

    The rules are stricter than those of RFC 3986: where another parser would guess
    (a fragment, a second ``@``, a ``+`` in a password), this one refuses.

    Raises:
        Invalid: When it is no URL, or a character should have been encoded. The
            message holds nothing of the URL.
    """
    text = text.strip()
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:?", text):
        text = f"{text.rstrip(':')}://"
    scheme, separator, rest = text.partition("://")
    if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        raise Invalid("expected a URL like scheme://user:password@host:port/name")
    if re.search(r"[\x00-\x20\x7f#]|%(?![0-9A-Fa-f]{2})", rest):
        raise Invalid(ENCODE)
    match = re.fullmatch(r"([^/?]*)(/[^?]*)?(?:\?(.*))?", rest)
    assert match is not None
    authority, path, query = match[1], match[2] or "", match[3] or ""
    if authority and "@" in path + query:
        raise Invalid(ENCODE)
    user, password, location = _credentials(authority)
    host, port = _host_and_port(location)
    return Url(
        scheme=scheme.lower(),
        user=user,
        password=password,
        host=host,
        port=port,
        path=_decode(path),
        raw_path=path,
        options=_options(query),
    )


def _credentials(authority: str) -> tuple[str | None, str | None, str]:
    userinfo, at, location = authority.rpartition("@")
    if not at:
        return None, None, location
    user, colon, password = userinfo.partition(":")
    if "@" in userinfo or ":" in password or "+" in password:
        raise Invalid(ENCODE)
    return _decode(user), _decode(password) if colon else None, location


def _host_and_port(location: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(?::(\d{1,5}))?", location)
    if match is None:
        raise Invalid(f"the host or the port is not understood; {ENCODE}")
    port = int(match[2]) if match[2] else None
    if port is not None and not 0 < port < 65536:
        raise Invalid("expected a port from 1 to 65535")
    return _decode(match[1].strip("[]")), port


def _options(query: str) -> dict[str, str]:
    options = {}
    for item in filter(None, query.split("&")):
        name, equals, value = item.partition("=")
        if not name or not equals:
            raise Invalid(f"expected options like ?name=value&other=value; {ENCODE}")
        options[_decode(name)] = _decode(value)
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


def typed(text: str) -> bool | int | float | str:
    """Return an option as the type it looks like: drivers check theirs."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if re.fullmatch(r"0|-?[1-9]\d{0,15}", text):
        return int(text)
    if re.fullmatch(r"\d{1,15}\.\d{1,15}", text):
        return float(text)
    return text


def switch(text: str, name: str) -> bool:
    """Return an option that is on or off.

    Raises:
        Invalid: When it is neither. The message names the option.
    """
    if text.lower() in TRUE | FALSE:
        return text.lower() in TRUE
    raise Invalid(f"expected the option {name} to be true or false")
