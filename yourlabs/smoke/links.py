"""Find the links of an answer."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import urljoin, urlsplit

MAX_LINKS = 400
"""How many links of one answer are looked at."""

_ATTRIBUTE = re.compile(
    r"""\b(?:href|action|formaction|hx-get|data-url|data-href|src)\s*=\s*"""
    r"""(?:"([^"]*)"|'([^']*)')""",
    re.IGNORECASE,
)
_JSON_TEXT = re.compile(r'"((?:https?:\\?/\\?/|/)[^"\s]*)"')
_DUNDER = re.compile(r"__\w+?__|/:\w|/\{\w|%s|%d")
_PLACEHOLDERS = ("${", "{{", "<%", "%7B%7B", "__prefix__", "[[")
"""What scripts replace before a link is one."""

_LOCATION = re.compile(r"<(?:loc|link)>([^<]+)</")


def links_in(body: bytes, content_type: str, base: str) -> list[str]:
    """List the links of an answer to its own host, paths with query strings."""
    text = body.decode("utf-8", "replace")
    if "html" in content_type:
        found = [unescape(a or b) for a, b in _ATTRIBUTE.findall(text)]
    elif "json" in content_type:
        found = [link.replace("\\/", "/") for link in _JSON_TEXT.findall(text)]
    elif "xml" in content_type:
        found = [unescape(link) for link in _LOCATION.findall(text)]
    else:
        return []
    return own_links(found, base)


def script_links_in(body: bytes, content_type: str, base: str) -> list[str]:
    """List the paths in the scripts and attributes of a page.

    Menus that scripts build hide their links there, but so do templates of links,
    so that what these lead to is a guess.
    """
    if "html" not in content_type:
        return []
    text = body.decode("utf-8", "replace").replace("&quot;", '"')
    found = [unescape(link.replace("\\/", "/")) for link in _JSON_TEXT.findall(text)]
    return own_links(found, base)


def own_links(found: list[str], base: str) -> list[str]:
    """Those of some links that lead to the host that was asked, as paths."""
    host = urlsplit(base).netloc
    kept: dict[str, None] = {}
    for link in found:
        path = _own_path(link.strip(), base, host)
        if path:
            kept.setdefault(path)
        if len(kept) >= MAX_LINKS:
            break
    return list(kept)


def _own_path(link: str, base: str, host: str) -> str | None:
    if any(mark in link for mark in _PLACEHOLDERS) or _DUNDER.search(link):
        return None
    if not link or link.startswith(("#", "javascript:", "mailto:", "data:", "tel:")):
        return None
    try:
        parts = urlsplit(urljoin(base, link))
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or parts.netloc != host:
        return None
    return parts.path + (f"?{parts.query}" if parts.query else "")
