"""Values for parameters that mean the same in every project."""

from __future__ import annotations

import datetime
import os
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.db import models
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.utils.module_loading import import_string

from yourlabs.smoke import rows, shapes
from yourlabs.smoke.discovery import Leaf, main_language
from yourlabs.smoke.introspection import ViewFacts
from yourlabs.smoke.knowledge import Knowledge
from yourlabs.smoke.state import CouldNotRunError

LANGUAGE_NAMES = {"lang", "language", "locale", "lang_code", "language_code"}
DATE_NAMES = {"year", "month", "day", "week"}


def is_builtin(converter: Any) -> bool:
    """Whether a path converter is one of Django."""
    return type(converter).__module__ == "django.urls.converters"


def date_values(facts: ViewFacts, row: models.Model, slot: shapes.Slot) -> list[Any]:
    """The part of a date of a row that a parameter wants."""
    name = getattr(facts.view_class, "date_field", None)
    value = rows.follow(row, name) if isinstance(name, str) else None
    if value is None:
        for item in row._meta.concrete_fields:
            value = getattr(row, item.attname, None)
            if isinstance(item, models.DateField) and value is not None:
                break
        else:
            value = datetime.date.today()
    return date_parts(facts, value, slot)


def date_parts(facts: ViewFacts, value: datetime.date, slot: shapes.Slot) -> list[Any]:
    """The year, month, day or week of a date, the way the view writes it first."""
    number = value.isocalendar()[1] if slot.name == "week" else None
    number = getattr(value, slot.name) if number is None else number
    width = len(slot.sample)
    digits = str(number).zfill(width) if width in (2, 4) else str(number)
    form = getattr(facts.view_class, f"{slot.name}_format", None)
    if not isinstance(form, str):
        form = "%b" if slot.name == "month" else None
    text = value.strftime(form).lower() if form else digits
    if text.isdigit():
        return [text]
    return [digits] if slot.takes_digits_only else [text, digits]


def special_values(
    knowledge: Knowledge, leaf: Leaf, slot: shapes.Slot, row: Any = None
) -> list[str]:
    """Values for names that mean the same in every project, or that it gives."""
    if slot.name in knowledge.overrides:
        return [_given(knowledge, slot.name)]
    converter, found = leaf.converters.get(slot.name), []
    for value in _special_values(knowledge, leaf, slot, row):
        try:
            found.append(rows.url_text(value, converter))
        except Exception:  # to_url of the project's converters, which takes no text
            found.append(value)
    return found


def _special_values(
    knowledge: Knowledge, leaf: Leaf, slot: shapes.Slot, row: Any
) -> list[str]:
    name = slot.name
    if slot.choices:
        return list(slot.choices)
    if name == "format":
        return _formats(leaf)
    if name in LANGUAGE_NAMES:
        codes = (main_language(), settings.LANGUAGE_CODE)
        return list(dict.fromkeys([*codes, codes[1].split("-")[0]]))
    if name == "page" and slot.takes_digits_only:
        return ["1"]
    if name in ("uidb64", "uid", "token") and knowledge.user is not None:
        return _reset_values(knowledge.user, name)
    if name in ("app_label", "model_name", "model", "app_name", "content_type"):
        model = type(row) if row is not None else None
        return _model_words(model, name)
    if name == "path" and leaf.defaults.get("document_root"):
        return _files(str(leaf.defaults["document_root"]))
    if name == "url" and "catch_all" in leaf.view:
        return _without_slash(knowledge, leaf)
    for value in leaf.defaults.values():
        if isinstance(value, dict) and value:
            return [str(key) for key in list(value)[:3]]
    return []


def _given(knowledge: Knowledge, name: str) -> str:
    """The value that a project gives for a parameter."""
    value = knowledge.overrides[name]
    try:
        if isinstance(value, str) and "." in value:
            value = import_string(value)
        if callable(value):
            value = value()
    except Exception as error:
        raise CouldNotRunError(
            f"SMOKE['values'][{name!r}] gives no value: {type(error).__name__}: {error}"
        ) from error
    return str(getattr(value, "pk", value))


def _without_slash(knowledge: Knowledge, leaf: Leaf) -> list[str]:
    """What the admin's last pattern is for: paths that lack the slash."""
    prefix = leaf.pattern.split("(")[0]
    return [
        other.pattern[len(prefix) :].rstrip("/")
        for other in knowledge.leaves
        if other.name.endswith("_changelist") and other.pattern.startswith(prefix)
    ][:2]


def _formats(leaf: Leaf) -> list[str]:
    classes = getattr(getattr(leaf.callback, "cls", None), "renderer_classes", ())
    found = [getattr(item, "format", None) for item in classes or ()]
    return [*(str(item) for item in found if item), "json"][:2]


def _reset_values(user: Any, name: str) -> list[str]:
    if name == "token":
        try:
            return [default_token_generator.make_token(user)]
        except Exception:  # a user model without what the generator hashes
            return []
    return [urlsafe_base64_encode(force_bytes(user.pk))]


def _model_words(model: type[models.Model] | None, name: str) -> list[str]:
    if model is None:
        known = list(apps.get_models())
        if not known:
            return []
        model = next((m for m in known if m._meta.app_label == "auth"), known[0])
    label = model._meta.app_label
    return [label if name in ("app_label", "app_name") else str(model._meta.model_name)]


def _files(root: str) -> list[str]:
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            return [os.path.relpath(os.path.join(folder, name), root)]
    return []
