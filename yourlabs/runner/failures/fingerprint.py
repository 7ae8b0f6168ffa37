"""
The key that equal failures share.

Two failures are equal when the same kind of exception, with the same causes, came
the same way through the application's source, with the same message but for the values
in it. Editing the failing line changes the key, editing the file above it does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

VERSION = "2"
"""Prefix of every fingerprint: it changes with the rules that make the key."""

MAX_LINE = 500
"""How many characters take part of each name, line of source and line of a message."""

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_DAY = r"(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\b\.?"
_ZONE = (
    r"(?:\s?(?:z|utc|gmt|[cemp][sd]t|cet|cest|bst|ist|jst)(?!\w)"
    r"|\s?[+-]\d\d:?\d\d(?!\d))"
)
_CLOCK = rf"\d{{1,2}}:\d\d(?::\d\d(?:[.,]\d+)?)?(?:\s?[ap]\.?m\b\.?)?{_ZONE}?"
_NUMBER = r"\d+(?:[.,_]\d+)*(?:e[+-]?\d+)?"
_UNIT = (
    r"(?:ns|us|µs|ms|msecs?|milliseconds?|microseconds?|nanoseconds?"
    r"|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|weeks?|months?|years?)"
)

# The order is the point: what is special comes before what is general, so that a
# uuid is not taken for hexadecimal digits and an address not for numbers.
_VALUES = re.compile(
    "|".join(
        rf"(?P<{name}>{pattern})"
        for name, pattern in {
            "email": r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+",
            "url": r"\b[a-z][a-z0-9+.-]{1,20}://[^\s'\"<>]*[^\s'\"<>.,;:!?)\]}]",
            "uuid": r"(?<![0-9a-f])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b",
            "quoted_path": r"(?P<quote>['\"])(?:~?/|\.{1,2}/|[a-z]:[\\/])"
            r"(?:(?!(?P=quote)).)*(?P=quote)",
            "path": r"(?<![\w/<.])(?:(?:~|\.{1,2})?/|[a-z]:[\\/])"
            r"(?![\s/])[^\s'\"<>:,;()\[\]]+(?::\d+)*"
            r"|(?<![\w/.])(?:[\w.-]{1,64}/)+[\w-]{1,64}\.[a-z]\w{0,4}\b",
            "date": r"datetime\.\w+\((?:[^()]|\([^()]*\))*\)"
            r"|(?<!\d)\d{4}(?P<iso>[-/.])\d\d?(?P=iso)\d\d?"
            rf"(?:[t\s]{_CLOCK})?(?!\d)"
            r"|(?<!\d)\d{1,2}(?P<local>[-/.])\d\d?(?P=local)\d{2,4}(?![\d.])"
            rf"(?:,?\s{_CLOCK})?"
            rf"|\b(?:{_DAY},?\s)?(?:\d{{1,2}}[-\s]{_MONTH}(?:[-\s]\d{{4}})?"
            rf"|{_MONTH}\s+\d{{1,2}}\b(?:,?\s\d{{4}}\b)?)(?:,?\s{_CLOCK})?"
            r"(?:\s\d{4})?\b"
            rf"|(?<![\w:.]){_CLOCK}(?![\w:])",
            "ip": r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2})?(?::\d{1,5})?"
            r"(?![\w.]\w)"
            r"|\[?(?<![\w:])(?:(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}"
            r"|(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6})?::"
            r"(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6})?)"
            r"(?:%\w+)?(?:/\d{1,3})?(?![\w:])(?:\](?::\d+)?)?",
            "duration": rf"(?<![\w.])[-+]?{_NUMBER}\s?{_UNIT}\b",
            "size": rf"(?<![\w.])[-+]?{_NUMBER}\s?(?:[kmgt]i?b|bytes?|b)\b",
            "escape": r"\\x[0-9a-f]{2}|\\u[0-9a-f]{4}",
            "hex": r"0x[0-9a-f]+|(?<![^\W_])(?=[a-f]*\d)[0-9a-f]{7,}(?![^\W_])"
            r"|(?<![^\W_])[0-9a-f]{32,}(?![^\W_])",
            "token": r"(?<![^\W_])(?=[a-z]*\d+[a-z]+\d)[a-z0-9]{12,}(?![^\W_])",
            "number": rf"(?<![\w.])[-+]?{_NUMBER}|{_NUMBER}",
        }.items()
    ),
    re.IGNORECASE,
)

_SHOWN = {
    "quoted_path": "<path>",
    "escape": "<number>",
    "hex": "<number>",
    "token": "<number>",
    "uuid": "<number>",
    "date": "<time>",
    "duration": "<time>",
}
"""All that identifies is shown alike: eight hexadecimal digits can be all decimal."""

_AGAIN = re.compile(r"(<[a-z]+>)(?:(?:[\s,;|]|and)*\1)+")
_PLURAL = re.compile(r"(<number> [a-z-]{2,}?)s\b", re.IGNORECASE)


class Frame(NamedTuple):
    """One call on the way to an exception."""

    module: str
    """Dotted name of the module."""
    function: str
    source: str
    """Text of the line that was executed; empty when there is none."""
    is_application: bool
    """False for the standard library, installed packages and the runner itself."""
    text: str = ""
    """As Python prints it; takes no part."""


class Raised(NamedTuple):
    """One exception of a chain of causes, or of a group."""

    type: str
    """Dotted path of the class."""
    message: str
    frames: tuple[Frame, ...]
    """The outermost call first."""


def normalise(message: str) -> str:
    """
    Return the first line of `message` with a name in angle brackets for each value.

    A list of values becomes one name.
    """
    # Cut first: lstrip() of megabytes would be slow.
    line = message[: MAX_LINE * 2].lstrip().partition("\n")[0][:MAX_LINE]
    return _normalise_line(line)


@lru_cache(maxsize=128)
def _normalise_line(line: str) -> str:
    line = _VALUES.sub(_placeholder, line)
    line = _PLURAL.sub(r"\1", _AGAIN.sub(r"\1", line))
    return " ".join(line.split())


def _placeholder(found: re.Match[str]) -> str:
    name = found.lastgroup or "number"
    return _SHOWN.get(name, f"<{name}>")


def fingerprint(raised: Iterable[Raised]) -> str:
    """
    Return the key of an exception: its version, a colon and a digest.

    `raised` is the exception and what it comes from: repetitions do not count.
    """
    digest = blake2b(digest_size=16)
    for part in dict.fromkeys(map(signature, raised)):
        digest.update(part.encode(errors="backslashreplace"))
        digest.update(b"\0")
    return f"{VERSION}:{digest.hexdigest()}"


def signature(raised: Raised) -> str:
    """Return what one exception adds to the key."""
    frames = [frame for frame in raised.frames if frame.is_application]
    calls = (
        f"{frame.module}|{frame.function}|{' '.join(frame.source.split())}"
        for frame in frames or raised.frames
    )
    # However deep a recursion went, and through how many functions: each call counts
    # once, in the order in which it came first.
    return "\n".join((raised.type, normalise(raised.message), *dict.fromkeys(calls)))
