"""Take the values of an API's single objects from its lists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from yourlabs.smoke import shapes
from yourlabs.smoke.discovery import Leaf
from yourlabs.smoke.knowledge import Candidate, Knowledge
from yourlabs.smoke.specials import special_values

MAX_ITEMS = 2
"""How many objects of a list are kept."""

_KEYS = ("pk", "id", "identifier", "slug", "code", "uuid", "key", "name")
_TEXT = re.compile(r"[^/?#%\s]+")


def items_in(body: bytes, content_type: str) -> list[dict[str, Any]]:
    """The first objects of a JSON list, with or without pages around it."""
    if "json" not in content_type:
        return []
    try:
        data = json.loads(body)
    except ValueError:
        return []
    if isinstance(data, dict):
        data = next((value for value in data.values() if isinstance(value, list)), [])
    if not isinstance(data, list):
        return []
    return [item for item in data[:MAX_ITEMS] if isinstance(item, dict)]


def listed(knowledge: Knowledge, leaf: Leaf) -> Iterator[Candidate]:
    """URLs of a leaf that lies below a list, made of what the list says."""
    for shape in leaf.shapes:
        places = [slot for slot in shapes.slots(shape) if slot.name != "format"]
        if not places:
            continue
        last = places[-1]
        before, rest = shape[: shape.index(last)], shape[shape.index(last) + 1 :]
        ending = _ending(knowledge, leaf, rest)
        above = _expression(before)
        for path, (items, gone) in knowledge.lists.items():
            if ending is None or not above.fullmatch(path):
                continue
            for item in items:
                for key, text in _texts(item, last.name):
                    url = f"{path}{text}{ending}"
                    if knowledge.leads_home(leaf, url):
                        is_sure = key == last.name or key in ("pk", "id")
                        yield Candidate(url, "link" if is_sure else "guess", gone=gone)


def _ending(knowledge: Knowledge, leaf: Leaf, rest: shapes.Shape) -> str | None:
    values = {}
    for slot in shapes.slots(rest):
        found = special_values(knowledge, leaf, slot)
        if not found:
            return None
        values[slot.name] = found[0]
    return shapes.fill(rest, values)


def _expression(before: shapes.Shape) -> re.Pattern[str]:
    parts = [re.escape(part) if isinstance(part, str) else "[^/]+" for part in before]
    return re.compile("".join(parts))


def _texts(item: dict[str, Any], name: str) -> Iterator[tuple[str, str]]:
    wanted = [name, *_KEYS] if name not in ("pk", "id") else _KEYS
    found = [(key, str(item[key])) for key in dict.fromkeys(wanted) if key in item]
    usable = [(key, text) for key, text in found if _TEXT.fullmatch(text)]
    yield from usable[:2]
