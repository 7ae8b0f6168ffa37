"""Make rows for empty tables, inside a transaction that is rolled back."""

from __future__ import annotations

import contextlib
import datetime
import decimal
import math
import uuid
from collections.abc import Callable
from typing import Any

from django.db import models, router, transaction
from django.utils import timezone

from yourlabs.smoke import rows, shapes, values
from yourlabs.smoke.discovery import Leaf
from yourlabs.smoke.isolation.signals import unheard
from yourlabs.smoke.knowledge import Candidate, Knowledge

MAX_DEPTH = 4
_VISIBLE = ("public", "publish", "active", "enable", "visible", "approve", "live")
"""Parts of the names of switches that views often filter by."""


@unheard()
def made_candidate(
    knowledge: Knowledge,
    leaf: Leaf,
    shape: shapes.Shape,
    model: type[models.Model],
    slot_name: str,
    user: Any,
) -> Candidate | None:
    """A URL that a row fills that is made for a user, where it will be undone.

    Raises:
        Exception: Whatever the model or the database refuse with.
    """
    row = make(model)
    rows.give_to(row, user)
    _put_below(knowledge, leaf, shape, row, slot_name)
    found = values.of_row(
        knowledge, leaf, shape, row, slot_name, is_exact=True, provenance="made row"
    )
    return min(found, key=lambda one: knowledge.surprise(leaf, one.url), default=None)


def make(model: type[models.Model]) -> models.Model:
    """Make a row.

    Raises:
        Exception: Whatever the model or the database refuse with.
    """
    with _savepoint(model):
        return make_plainly(model)


def _savepoint(model: type[models.Model]) -> transaction.Atomic:
    """A transaction to make rows in, where models may open durable ones of theirs."""
    atomic = transaction.atomic(using=router.db_for_write(model))
    atomic._from_testcase = True  # type: ignore[attr-defined]
    return atomic


def make_plainly(model: type[models.Model], depth: int = 0) -> models.Model:
    """Make a row with a value in each field that needs one."""
    row = model()
    several = _unique_together(model)
    for item in model._meta.concrete_fields:
        if _shows(item):
            setattr(row, item.name, True)
        elif _is_needed(item, row):
            is_unique = item.unique or item.name in several
            setattr(row, item.name, value_for(item, depth, is_unique))
    row.save()
    return row


def _unique_together(model: type[models.Model]) -> set[str]:
    """The fields that are unique with others; each gets a value of its own."""
    constraints = [item.fields for item in model._meta.total_unique_constraints]
    return {
        name for names in (*model._meta.unique_together, *constraints) for name in names
    }


def _shows(item: Any) -> bool:
    is_switch = isinstance(item, models.BooleanField)
    return is_switch and any(word in item.name for word in _VISIBLE)


def _is_needed(item: Any, row: models.Model) -> bool:
    is_filled = any(
        getattr(item, name, False) for name in ("generated", "auto_now", "auto_now_add")
    )
    if is_filled or item.has_default() or isinstance(item, models.AutoField):
        return False
    if getattr(item.remote_field, "parent_link", False):
        return False
    if item.is_relation:
        return not item.null
    if item.null and not item.unique:
        return isinstance(item, (models.SlugField, models.DateField))
    return not getattr(row, item.attname, None)


def value_for(item: Any, depth: int, is_unique: bool) -> Any:
    """A value for a field, one of its own where others may not have it."""
    if item.is_relation:
        return _related(item, depth)
    if item.choices:
        usable = [value for value, _ in item.flatchoices if value not in (None, "")]
        return next(iter(usable), "")
    for kind, make_value in _VALUES.items():
        if isinstance(item, kind):
            return make_value()
    if isinstance(item, (models.CharField, models.TextField)):
        text = f"smoke{uuid.uuid4().hex[:8]}" if is_unique else "smoke"
        return text[-(item.max_length or len(text)) :]
    if isinstance(item, (models.IntegerField, models.FloatField)):
        return uuid.uuid4().int % 30000 + 1 if is_unique else 1
    return item.to_python("1")


_VALUES: dict[Any, Callable[[], Any]] = {
    models.UUIDField: uuid.uuid4,
    models.EmailField: lambda: f"smoke-{uuid.uuid4().hex[:8]}@example.com",
    models.URLField: lambda: "https://example.com/",
    models.FileField: lambda: "smoke.txt",
    models.DateTimeField: timezone.now,
    models.DateField: datetime.date.today,
    models.TimeField: lambda: datetime.time(12),
    models.DurationField: lambda: datetime.timedelta(hours=1),
    models.DecimalField: lambda: decimal.Decimal(1),
    models.BooleanField: lambda: False,
    models.GenericIPAddressField: lambda: "127.0.0.1",
    models.JSONField: dict,
    models.BinaryField: lambda: b"smoke",
}
"""What makes a value by the class of a field; subclasses stand before their bases."""


def _related(item: Any, depth: int) -> models.Model:
    model = item.related_model
    if not item.unique:
        existing = rows.rows_of(model, 3)
        if existing:
            return existing[0]
    if depth >= MAX_DEPTH:
        raise RecursionError(f"{model._meta.label} needs too many other rows.")
    return make_plainly(model, depth + 1)


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
    for many in row._meta.many_to_many:
        with contextlib.suppress(Exception), _savepoint(type(row)):
            getattr(row, many.name).add(*knowledge.rows_of(many.related_model))


def _is_saved(row: models.Model) -> bool:
    try:
        with _savepoint(type(row)):
            row.save()
    except Exception:  # the model's own rules
        return False
    return True
