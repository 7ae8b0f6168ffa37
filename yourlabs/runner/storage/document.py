"""A document: sections of plain JSON values, bounded, so that it can be read again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

VERSION = 1

MAX_SIZE = 4 * 2**20  # no document is larger, in bytes: what does not fit is left out


def encode_sections(
    sections: Mapping[str, Any],
) -> tuple[dict[str, bytes], dict[str, str]]:
    """
    Return the sections as JSON, and what is wrong with those that are left out.

    Those that are too large for the document are left out, the largest first.
    """
    texts: dict[str, bytes] = {}
    problems: dict[str, str] = {}
    for section, value in sections.items():
        try:
            texts[section] = _dump(value)
        except (TypeError, ValueError, RecursionError) as exc:
            problems[section] = f"it is no plain JSON ({exc})"
    # Some room is left for the names.
    left = MAX_SIZE - 65_536
    for section in sorted(texts, key=lambda section: len(texts[section])):
        left -= len(texts[section])
        if left < 0:
            problems[section] = f"it has {len(texts.pop(section))} bytes"
    return texts, problems


def _dump(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False)
    # Half a surrogate is no UTF-8; what it becomes is JSON for it.
    return text.encode("utf-8", "backslashreplace")


def encode(texts: Mapping[str, bytes]) -> bytes:
    """Return the document of sections that are JSON already."""
    parts = [b'"version": %d' % VERSION]
    parts += [_dump(section) + b": " + text for section, text in texts.items()]
    return b"{" + b",\n".join(parts) + b"}\n"


def parse(content: bytes) -> dict[str, Any]:
    """
    Return the sections of a document.

    Raises:
        ValueError, RecursionError: It is none.
    """
    values = json.loads(content)
    if not isinstance(values, dict):
        msg = f"it holds a {type(values).__name__}, expected an object"
        raise ValueError(msg)
    version = values.pop("version", None)
    if version != VERSION or isinstance(version, bool):
        msg = f"its version is {version!r}, expected {VERSION}"
        raise ValueError(msg)
    return values
