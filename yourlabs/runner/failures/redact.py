"""Mask what must not be in a mail: passwords, tokens and keys in a text."""

from __future__ import annotations

import re

MASK = "***"

_NAME = (
    r"[\w-]{0,40}(?:secret|passw(?:or)?d|passphrase|token|api[_-]?key|private[_-]?key"
    r"|access[_-]?key|credential|session[_-]?id|cookie)[\w-]{0,40}"
)
# Bounded: a text of megabytes must not take seconds.

_RULES = [
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        # postgres://user:password@host, and https://token@host.
        (r"(://[^/\s:@'\"]*:)[^/\s'\"]+@", rf"\1{MASK}@"),
        (r"(://)[^/\s:@'\"]{16,}@", rf"\1{MASK}@"),
        (r"\b(authorization['\"]?\s*[:=]\s*['\"]?)[^'\"\n,}]+", rf"\1{MASK}"),
        (r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", rf"\1 {MASK}"),
        # password=…, "api_key": "…", X-Auth-Token: …
        (rf"\b({_NAME}['\"]?\s*=\s*)(['\"]?)[^\s'\"&,;)}}]+\2", rf"\1{MASK}"),
        (rf"(['\"]{_NAME}['\"]\s*:\s*)(?:'[^'\n]*'|\"[^\"\n]*\"|\w+)", rf"\1{MASK}"),
        (rf"\b({_NAME}\s*[:=]\s*)(?:'[^'\n]*'|\"[^\"\n]*\")", rf"\1{MASK}"),
        (r"\b((?:x-[\w-]+-(?:token|key)|(?:set-)?cookie):\s*)\S+", rf"\1{MASK}"),
    )
]

_WORDS = (
    *("://", "auth", "bearer", "basic", "pass", "secret"),
    *("key", "token", "cred", "session", "cookie"),
)
"""A text without any of these has nothing to mask."""


def redact(text: str) -> str:
    """Return `text` with the passwords, tokens and keys in it as ``***``."""
    small = text.lower()
    if not any(word in small for word in _WORDS):
        return text
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text
