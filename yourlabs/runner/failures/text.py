"""Make any text fit to be shown: bounded, printable, and one line where one is due."""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
    # What has no width, and what turns the direction of the text around it.
    "\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f"
    "]"
)


def printable(text: str) -> str:
    r"""
    Return `text` with what cannot be seen in it spelled out: it can be encoded.

    That is control characters but line feeds and tabs, those that have no width or turn
    the direction of writing around, and lone surrogates.
    """
    # What a failure is made of has line feeds and nothing else to spell out.
    if text.replace("\n", "").isprintable():
        return text
    text = text.replace("\r\n", "\n")
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def one_line(text: str, limit: int) -> str:
    """Return `text` on one printable line of at most `limit` characters."""
    # Four times as much is enough to fill the line, and a text of megabytes that is
    # all line breaks would take seconds to split.
    line = printable(" ".join(text[: limit * 4].split()))
    if len(line) <= limit:
        return line
    return line[: limit - 1].rstrip() + "…"


def first_line(text: str, limit: int) -> str:
    """Return the first line of `text` that is not empty; see `one_line`."""
    # lstrip() and split() of megabytes would be slow.
    return one_line(text[: limit * 4].lstrip().partition("\n")[0], limit)


def cut(text: str, limit: int, *, head: float = 0.5) -> str:
    """
    Return `text`, or its two ends when it is longer than `limit` bytes of UTF-8.

    `limit` is 100 or more; `head` is the part, from 0 to 1, that the beginning gets.
    """
    if len(text) * 4 <= limit:
        return text
    # No more of it is encoded than can be kept: it may have megabytes.
    if len(text) <= limit and len(text.encode(errors="replace")) <= limit:
        return text
    size = int((limit - 60) * head)
    first = text[:limit].encode(errors="replace")[:size].decode(errors="ignore")
    end = text[-limit:].encode(errors="replace")
    last = end[len(end) - (limit - 60 - size) :].decode(errors="ignore")
    left_out = len(text) - len(first) - len(last)
    return f"{first}\n[… {left_out} characters left out …]\n{last}"
