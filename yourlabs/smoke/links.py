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
_PLACEHOLDERS = ("${", "{{", "<%", "%7B%7B", "__prefix__", "[[")
"""What scripts replace before a link is one."""

_LOCATION = re.compile(r"<(?:loc|link)>([^<]+)</")


def links_in(body: bytes, content_type: str, base: str) -> list[str]:
    """List the links of an answer to its own host, paths with query strings.

    Args:
        body: What was answered, or the beginning of it.
        content_type: The answer's media type.
        base: The absolute URL that was requested.
    """
    text = body.decode("utf-8", "replace")
    if "html" in content_type:
        found = [unescape(a or b) for a, b in _ATTRIBUTE.findall(text)]
        # Menus that scripts build hide their links in attributes and scripts.
        found += [
            link.replace("\\/", "/")
            for link in _JSON_TEXT.findall(text.replace("&quot;", '"'))
        ]
    elif "json" in content_type:
        found = [link.replace("\\/", "/") for link in _JSON_TEXT.findall(text)]
    elif "xml" in content_type:
        found = [unescape(link) for link in _LOCATION.findall(text)]
    else:
        return []
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
    if any(mark in link for mark in _PLACEHOLDERS):
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
