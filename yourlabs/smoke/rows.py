"""Find rows for the parameters of URLs: models by name, values by relation."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models, router, transaction

SUFFIXES = ("pk", "id", "slug", "uuid", "code", "name", "key", "token", "ref", "guid")
"""Endings that a parameter's name has behind the name of its model."""

NATURAL_FIELDS = (
    "slug",
    "code",
    "uuid",
    "key",
    "username",
    "pk",
    "identifier",
    "guid",
    "name",
    "token",
    "number",
    "email",
    "title",
)

MAX_ROWS = 5


def manager_of(model: type[models.Model]) -> Any:
    """The manager to look for rows with, also on models without ``objects``."""
    return getattr(model, "_default_manager", None) or model._base_manager


def rows_of(model: type[models.Model], limit: int = MAX_ROWS) -> list[models.Model]:
    """Some rows of a model, oldest and newest; empty when it has no table.

    A failed query is rolled back to a savepoint of its own.
    """
    for manager in dict.fromkeys((manager_of(model), model._base_manager)):
        try:
            with transaction.atomic(using=router.db_for_read(model)):
                first = list(manager.order_by("pk")[: limit - 2])
                if len(first) < limit - 2:
                    return first
                last = list(manager.order_by("-pk")[:2])
                seen = {row.pk for row in first}
                return [*first, *(row for row in last if row.pk not in seen)]
        except Exception:  # no table, or a manager that wants to be asked otherwise
            continue
    return []


def follow(row: Any, path: str) -> Any:
    """Walk a path of fields from a row; None where it ends early."""
    value = row
    for name in path.split("__"):
        if value is None or not isinstance(value, models.Model):
            return value
        if name in ("exact", "iexact", "in", "startswith", "icontains"):
            return value
        try:
            value = value.pk if name == "pk" else getattr(value, name, None)
        except Exception:  # a property, or a related row that is missing
            return None
        if isinstance(value, models.Manager):
            value = value.all().first()
    return value


@functools.cache
def relation_path(
    start: type[models.Model], target: type[models.Model], depth: int = 3
) -> str | None:
    """The shortest chain of forward relations between two models, if any."""
    frontier: list[tuple[type[models.Model], str]] = [(start, "")]
    seen = {start}
    for _ in range(depth):
        following: list[tuple[type[models.Model], str]] = []
        for model, path in frontier:
            for item in relations(model):
                related = item.related_model
                step = f"{path}__{item.name}" if path else item.name
                if issubclass(related, target) or issubclass(target, related):
                    return step
                if related not in seen:
                    seen.add(related)
                    following.append((related, step))
        frontier = following
    return None


def relations(model: type[models.Model]) -> Iterable[Any]:
    """The fields of a model that each lead to one row of another."""
    return [
        item
        for item in model._meta.get_fields()
        if (item.many_to_one or item.one_to_one)
        and item.concrete
        and isinstance(item.related_model, type)
    ]


def reverse_row(row: models.Model, target: type[models.Model]) -> models.Model | None:
    """A row of another model that refers to this one, if any."""
    for item in relations(target):
        if isinstance(row, item.related_model):
            try:
                with transaction.atomic(using=row._state.db):
                    found = manager_of(target).filter(**{item.name: row}).first()
            except Exception:  # a missing table, a project's manager
                continue
            if found is not None:
                return found  # type: ignore[no-any-return]
    for many in target._meta.many_to_many:
        if isinstance(row, many.related_model):
            return manager_of(target).filter(**{many.name: row.pk}).first()  # type: ignore[no-any-return]
    return None


def field_of(model: type[models.Model], name: str) -> Any:
    """A concrete field by name; None when the model has none."""
    try:
        item = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    return item if item.concrete else None


def suffix_of(parameter: str) -> str:
    """The field that a parameter's name ends with; empty when with none."""
    words = parameter.lower().split("_")
    return words[-1] if words[-1] in SUFFIXES else ""


def values_of(row: models.Model, parameter: str, converter: Any, digits: bool) -> list:  # type: ignore[type-arg]
    """What of a row a parameter may mean, the likeliest first."""
    model = type(row)
    suffix = suffix_of(parameter)
    names: list[str] = []
    kind = type(converter).__name__
    if suffix in ("pk", "id"):
        names.append("pk")
    elif digits or kind == "IntConverter":
        names += [parameter, "pk"] if field_of(model, parameter) else ["pk"]
    elif kind == "UUIDConverter":
        names += [
            item.attname
            for item in model._meta.concrete_fields
            if isinstance(item, models.UUIDField) and not item.is_relation
        ]
    names += [name for name in (parameter, suffix) if name]
    names += NATURAL_FIELDS
    found = []
    for name in dict.fromkeys(names):
        is_field = name == "pk" or field_of(model, name) is not None
        if not is_field and not (name == parameter and hasattr(model, name)):
            continue
        value = follow(row, name)
        if isinstance(value, models.Model):
            if not is_field:
                continue
            value = value.pk
        if value not in (None, "") and not callable(value):
            found.append(value)
    return list(dict.fromkeys(map(_hashable, found)))[:4]


def is_named_field(model: type[models.Model], parameter: str, digits: bool) -> bool:
    """Whether a parameter's name says which field of a model it holds."""
    suffix = suffix_of(parameter)
    return (
        digits
        or suffix in ("pk", "id")
        or field_of(model, parameter) is not None
        or bool(suffix and field_of(model, suffix) is not None)
        or field_of(model, "slug") is not None
    )


def _hashable(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return str(value)
    return value


def url_text(value: Any, converter: Any, *, is_admin: bool = False) -> str:
    """Write a value into a path, by its converter when it has one.

    Raises:
        ValueError: The converter refuses the value.
    """
    if is_admin:
        from django.contrib.admin.utils import quote

        return str(quote(value))
    if converter is not None:
        return str(converter.to_url(value))
    return str(value)


def give_to(row: models.Model, user: Any) -> None:
    """Make a user the owner of a row, where the row has one."""
    if user is None or isinstance(row, type(user)):
        return
    for item in relations(type(row)):
        if isinstance(user, item.related_model):
            setattr(row, item.name, user)
            row.save()
            return
