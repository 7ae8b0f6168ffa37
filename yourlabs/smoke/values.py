"""Choose values for the parameters of a URL: rows first, guesses last."""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from django.contrib.auth import get_user_model
from django.db import models

from yourlabs.smoke import naming, rows, shapes
from yourlabs.smoke.anchors import MAX_ANCHORS, anchors
from yourlabs.smoke.discovery import Leaf
from yourlabs.smoke.knowledge import CONTRADICTION, Candidate, Knowledge
from yourlabs.smoke.specials import (
    DATE_NAMES,
    date_parts,
    date_values,
    is_builtin,
    special_values,
)

MAX_COMBINATIONS = 6

MAX_CONSIDERED = 36
"""How many URLs made of rows are compared before one is requested."""

MAX_CONTRADICTIONS = 2
"""How many URLs are requested though others work in place of their values."""


def plain(knowledge: Knowledge, leaf: Leaf) -> Iterator[Candidate]:
    """The URLs of a leaf that need no value."""
    for shape in leaf.shapes:
        if not shapes.slots(shape):
            url = shapes.fill(shape, {})
            if knowledge.leads_home(leaf, url):
                yield Candidate(url, "none")


def from_settings(knowledge: Knowledge, leaf: Leaf) -> Iterator[Candidate]:
    """URLs whose values a project gives in ``SMOKE["values"]``."""
    for shape in leaf.shapes:
        places = shapes.slots(shape)
        if any(slot.name in knowledge.overrides for slot in places):
            texts = {
                slot.name: special_values(knowledge, leaf, slot) or [slot.sample]
                for slot in places
            }
            yield from urls(knowledge, leaf, shape, texts, "row")


def from_rows(knowledge: Knowledge, leaf: Leaf) -> Iterator[Candidate]:
    """URLs made of rows: proven values first, then those the view itself names."""
    considered = itertools.islice(_of_rows(knowledge, leaf), MAX_CONSIDERED)
    unique = {found.url: found for found in reversed(list(considered))}
    costs = [(knowledge.surprise(leaf, url), url) for url in reversed(unique)]
    costs.sort(key=lambda cost: cost[0])
    doubted = 0
    for cost, url in costs:
        doubted += cost >= CONTRADICTION
        if doubted > MAX_CONTRADICTIONS:
            return
        yield _rated(knowledge, leaf, unique[url], cost)


def _rated(
    knowledge: Knowledge, leaf: Leaf, candidate: Candidate, cost: int
) -> Candidate:
    """Trust a URL more or less by what worked in the place of its values."""
    if cost >= CONTRADICTION and candidate.provenance == "row":
        return replace(candidate, provenance="guess")
    if candidate.provenance == "guess" and knowledge.is_proven(leaf, candidate.url):
        return replace(candidate, provenance="proven")
    return candidate


def _of_rows(knowledge: Knowledge, leaf: Leaf) -> Iterator[Candidate]:
    for shape in reversed(leaf.shapes):
        if not shapes.slots(shape):
            continue
        for lookup, anchor_slot in anchors(knowledge, leaf, shape)[:MAX_ANCHORS]:
            for row in knowledge.rows_of(lookup.model):
                yield from of_row(
                    knowledge, leaf, shape, row, anchor_slot, is_exact=lookup.is_exact
                )


def of_row(
    knowledge: Knowledge,
    leaf: Leaf,
    shape: shapes.Shape,
    row: models.Model,
    anchor_slot: str,
    *,
    is_exact: bool,
    provenance: str = "row",
) -> Iterator[Candidate]:
    """URLs whose values all hang together with one row."""
    texts: dict[str, list[str]] = {}
    is_loose = not is_exact
    for slot in shapes.slots(shape):
        try:
            found, is_kept_together = _slot_values(
                knowledge, leaf, slot, row, anchor_slot
            )
        except Exception:  # properties and converters of the project
            found, is_kept_together = [], False
        if provenance == "made row" and slot.name != anchor_slot:
            found = list(dict.fromkeys([*knowledge.proven_values(shape, slot), *found]))
        if not found:
            return
        texts[slot.name] = found
        is_loose = is_loose or not is_kept_together
    if provenance == "row" and is_loose:
        provenance = "guess"
    yield from urls(knowledge, leaf, shape, texts, provenance, row)


def urls(
    knowledge: Knowledge,
    leaf: Leaf,
    shape: shapes.Shape,
    texts: dict[str, list[str]],
    provenance: str,
    row: models.Model | None = None,
) -> Iterator[Candidate]:
    """The URLs of a shape that lead to its leaf, with each slot's texts in turn."""
    combinations = itertools.product(*texts.values())
    several = itertools.islice(combinations, MAX_COMBINATIONS)
    for position, combination in enumerate(several):
        url = shapes.fill(shape, dict(zip(texts, combination, strict=True)))
        if knowledge.leads_home(leaf, url):
            is_second_choice = position > 0 and provenance == "row"
            source = "guess" if is_second_choice else provenance
            yield Candidate(url, source, _owner(row))


def _owner(row: models.Model | None) -> Any:
    """The user that a row belongs to; None when it says nothing of one."""
    try:
        user_model = get_user_model()
    except Exception:  # a project without users
        return None
    if row is None or isinstance(row, user_model):
        return row
    path = rows.relation_path(type(row), user_model, 2)
    found = rows.follow(row, path) if path else None
    return found if isinstance(found, user_model) else None


def _slot_values(
    knowledge: Knowledge,
    leaf: Leaf,
    slot: shapes.Slot,
    row: models.Model,
    anchor_slot: str,
) -> tuple[list[str], bool]:
    """The texts for one slot, and whether they belong to the row."""
    facts = knowledge.facts_of(leaf)
    converter = leaf.converters.get(slot.name)
    lookup = facts.lookups.get(slot.name)
    is_admin = facts.model_admin is not None and slot.name == "object_id"

    def texts(values: list[Any]) -> list[str]:
        found = []
        for value in values:
            if value is None or value == "":
                continue
            try:
                found.append(rows.url_text(value, converter, is_admin=is_admin))
            except Exception:  # to_url of the project's converters
                continue
        return [text for text in found if text]

    if slot.name in knowledge.overrides:
        return special_values(knowledge, leaf, slot), True
    if slot.name in DATE_NAMES:
        return texts(date_values(facts, row, slot)), True
    is_other = lookup is not None and not isinstance(row, lookup.model)
    if lookup is not None and not (slot.name == anchor_slot and is_other):
        holder, is_own = _holder(knowledge, row, lookup.model)
        if holder is not None:
            found = texts([rows.follow(holder, lookup.path)])
            if found:
                return found, is_own
    if slot.name == anchor_slot:
        digits = slot.takes_digits_only
        values = rows.values_of(row, slot.name, converter, digits)
        if converter is not None and not is_builtin(converter):
            values.append(row)
        found = texts(values)
        return found, rows.is_named_field(type(row), slot.name, digits)
    return _related_values(knowledge, leaf, slot, row, texts)


def _related_values(
    knowledge: Knowledge, leaf: Leaf, slot: shapes.Slot, row: models.Model, texts: Any
) -> tuple[list[str], bool]:
    converter = leaf.converters.get(slot.name)
    digits = slot.takes_digits_only
    special = special_values(knowledge, leaf, slot, row)
    if special:
        return special, True
    own = rows.follow(row, slot.name)
    if isinstance(own, models.Model):
        found = texts(rows.values_of(own, slot.name, converter, digits))
        return found, rows.is_named_field(type(own), slot.name, digits)
    if own not in (None, "") and not callable(own):
        return texts([own]), True
    words = [w for w in naming.split_words(slot.name) if w not in rows.SUFFIXES]
    for model in naming.models_named(words, leaf.view)[:2]:
        holder, is_own = _holder(knowledge, row, model)
        if holder is not None:
            found = texts(rows.values_of(holder, slot.name, converter, digits))
            if found:
                is_sure = rows.is_named_field(type(holder), slot.name, digits)
                return found, is_own and is_sure
    return ([slot.sample], False) if slot.sample else ([], False)


def _holder(
    knowledge: Knowledge, row: models.Model, model: type[models.Model]
) -> tuple[models.Model | None, bool]:
    """The row of another model that belongs to this one, else any row of it."""
    if isinstance(row, model):
        return row, True
    path = rows.relation_path(type(row), model)
    if path:
        found = rows.follow(row, path)
        if isinstance(found, models.Model):
            return found, True
    found = rows.reverse_row(row, model)
    if found is not None:
        return found, True
    several = knowledge.rows_of(model)
    return (several[0], len(several) == 1) if several else (None, False)


def made_up(knowledge: Knowledge, leaf: Leaf) -> Iterator[Candidate]:
    """URLs with closed choices or, failing these, values made up."""
    for shape in leaf.shapes:
        places = shapes.slots(shape)
        if not places:
            continue
        texts: dict[str, list[str]] = {}
        is_closed = True
        for slot in places:
            special = special_values(knowledge, leaf, slot)
            is_closed = is_closed and bool(special)
            proven = knowledge.proven_values(shape, slot)
            texts[slot.name] = special or proven or [_invented(leaf, slot, knowledge)]
        provenance = "choice" if is_closed else "made up"
        yield from urls(knowledge, leaf, shape, texts, provenance)


def _invented(leaf: Leaf, slot: shapes.Slot, knowledge: Knowledge) -> str:
    kind = type(leaf.converters.get(slot.name)).__name__
    if slot.name in DATE_NAMES:
        today = datetime.date.today()
        return str(date_parts(knowledge.facts_of(leaf), today, slot)[0])
    if kind == "UUIDConverter":
        return "00000000-0000-4000-8000-000000000000"
    if re.fullmatch(r"a?", slot.sample) and "email" in slot.name:
        return "smoke@example.com"
    return slot.sample or "a"
