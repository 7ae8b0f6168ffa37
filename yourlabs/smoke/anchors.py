"""Find the models whose rows may fill the parameters of a URL."""

from __future__ import annotations

from typing import Any

from django.db import models

from yourlabs.smoke import naming, rows, shapes
from yourlabs.smoke.discovery import Leaf
from yourlabs.smoke.knowledge import Knowledge
from yourlabs.smoke.sources import Lookup
from yourlabs.smoke.specials import DATE_NAMES, is_builtin

MAX_ANCHORS = 6
GENERIC = {"pk", "id", "slug", "uuid", "object_id", "guid", "key", "code", "item"}
GENERIC |= {"ident", "uid", "number", "name", "obj_id", "instance_pk", "0", "1", "2"}


def anchors(
    knowledge: Knowledge, leaf: Leaf, shape: shapes.Shape
) -> list[tuple[Lookup, str]]:
    """The models whose rows may fill a shape, with the slot each is for."""
    facts = knowledge.facts_of(leaf)
    places = shapes.slots(shape)
    found: list[tuple[Lookup, str]] = []
    for slot in reversed(places):
        if slot.name in facts.lookups:
            found.append((facts.lookups[slot.name], slot.name))
    usual = [slot.name for slot in places if slot.name in GENERIC]
    others = [slot.name for slot in places if slot.name not in DATE_NAMES]
    last = (usual or others or [places[-1].name])[-1]
    if facts.model is not None:
        found.append((Lookup(facts.model, ""), last))
    for slot in reversed(places):
        if not slot.choices and slot.name not in DATE_NAMES:
            for model in guesses(leaf, shape, slot):
                found.append((Lookup(model, "", is_exact=False), slot.name))
    unique: dict[Any, tuple[Lookup, str]] = {}
    for lookup, slot_name in found:
        unique.setdefault((lookup.model, slot_name), (lookup, slot_name))
    return list(unique.values())


def guesses(
    leaf: Leaf, shape: shapes.Shape, slot: shapes.Slot
) -> list[type[models.Model]]:
    """Models that a parameter may be of, by the words around it."""
    words = [w for w in naming.split_words(slot.name) if w not in rows.SUFFIXES]
    several = [words] if slot.name not in GENERIC else []
    converter = leaf.converters.get(slot.name)
    texts = []
    if converter is not None and not is_builtin(converter):
        texts.append(type(converter).__name__.removesuffix("Converter"))
    before = shape[: shape.index(slot)]
    literal = before[-1] if before and isinstance(before[-1], str) else ""
    texts += reversed([text for text in literal.split("/") if text][-2:])
    texts += [leaf.name.split(":")[-1], leaf.view.rsplit(".", 1)[-1]]
    several += map(naming.split_words, texts)
    found = [m for words in several for m in naming.models_named(words, leaf.view)]
    return list(dict.fromkeys(found))[:MAX_ANCHORS]
