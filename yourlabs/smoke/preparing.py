"""Make a row for a URL whose table is empty, in the transaction of its request."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

from django.db import models

from yourlabs.smoke import making, rows, shapes, values
from yourlabs.smoke.discovery import Leaf
from yourlabs.smoke.isolation.signals import unheard
from yourlabs.smoke.knowledge import Candidate, Knowledge


def preparation(
    knowledge: Knowledge,
    leaf: Leaf,
    shape: shapes.Shape,
    model: type[models.Model],
    slot_name: str,
) -> Callable[[Any], Candidate | None]:
    """What makes a row of a model for a user, and writes the URL that it fills."""

    @unheard()
    def prepare(user: Any) -> Candidate | None:
        row = making.make(model)
        rows.give_to(row, user)
        _put_below(knowledge, leaf, shape, row, slot_name)
        found = values.of_row(
            knowledge, leaf, shape, row, slot_name, is_exact=True, provenance="made row"
        )
        return min(
            found, key=lambda one: knowledge.surprise(leaf, one.url), default=None
        )

    return prepare


def _put_below(
    knowledge: Knowledge,
    leaf: Leaf,
    shape: shapes.Shape,
    row: models.Model,
    slot_name: str,
) -> None:
    """Let a row refer to the rows that are known to work in the rest of its URL."""

    def cost() -> tuple[float, bool]:
        found = values.of_row(knowledge, leaf, shape, row, slot_name, is_exact=True)
        costs = [
            (knowledge.surprise(leaf, one.url), one.provenance == "guess")
            for one in found
        ]
        return min(costs, default=(math.inf, True))

    best = cost()
    names = {slot.name for slot in shapes.slots(shape)}
    for item in rows.relations(type(row)):
        if item.unique:
            continue
        before = chosen = rows.follow(row, item.name)
        if before is None and item.name in names:
            # Nothing in the URL tells, but the view will look for it below that row.
            best = (math.inf, True)
        for other in knowledge.rows_of(item.related_model):
            setattr(row, item.name, other)
            if cost() < best:
                best, chosen = cost(), other
        setattr(row, item.name, chosen)
        if chosen is not before and not _is_saved(row):
            setattr(row, item.name, before)
    if all(rows.follow(row, item.name) is None for item in rows.relations(type(row))):
        _attach(knowledge, row)
    for many in row._meta.many_to_many:
        with contextlib.suppress(Exception), making.savepoint(type(row)):
            getattr(row, many.name).add(*knowledge.rows_of(many.related_model))


def _attach(knowledge: Knowledge, row: models.Model) -> None:
    """Give a row that belongs to nothing to another row, as views look for it there."""
    for item in rows.relations(type(row)):
        for other in knowledge.rows_of(item.related_model):
            setattr(row, item.name, other)
            if _is_saved(row):
                return
            setattr(row, item.name, None)


def _is_saved(row: models.Model) -> bool:
    try:
        with making.savepoint(type(row)):
            row.save()
    except Exception:  # the model's own rules
        return False
    return True
