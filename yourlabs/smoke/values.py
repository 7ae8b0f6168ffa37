"""Choose values for the parameters of a URL: rows first, guesses last."""

from __future__ import annotations

import datetime
import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.db import models
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.utils.module_loading import import_string

from yourlabs.smoke import rows, shapes
from yourlabs.smoke.discovery import Leaf, PathFinder
from yourlabs.smoke.introspection import Lookup, ViewFacts, facts_of

MAX_ANCHORS = 6
MAX_COMBINATIONS = 6
GENERIC = {"pk", "id", "slug", "uuid", "object_id", "guid", "key", "code", "item"}
GENERIC |= {"ident", "uid", "number", "name", "obj_id", "instance_pk", "0", "1", "2"}
LANGUAGE_NAMES = {"lang", "language", "locale", "lang_code", "language_code"}
DATE_NAMES = {"year", "month", "day", "week"}


@dataclass(frozen=True)
class Candidate:
    """A URL that should lead to a leaf, and where its values are from."""

    url: str
    provenance: str
    """``none``, ``row``, ``link``, ``earlier``, ``choice``, ``made row``,
    ``guess`` or ``made up``."""

    row: models.Model | None = None
    owner: Any = None

    @property
    def is_trusted(self) -> bool:
        """Whether a failure with it is the view's own fault."""
        return self.provenance in ("none", "row", "link", "choice", "listed")


@dataclass
class Knowledge:
    """What one run knows of the project. Not thread-safe."""

    finder: PathFinder
    leaves: list[Leaf]
    overrides: dict[str, Any] = field(default_factory=dict)
    """``SMOKE["values"]``: a callable, or its dotted path, by parameter."""

    user: Any = None
    facts: dict[Any, ViewFacts] = field(default_factory=dict)
    shadows: dict[Any, str] = field(default_factory=dict)
    """By leaf: what its URLs led to instead."""

    _rows: dict[Any, list[models.Model]] = field(default_factory=dict)

    def facts_of(self, leaf: Leaf) -> ViewFacts:
        """What is known of a leaf's view; looked up once."""
        key = leaf.identity
        if key not in self.facts:
            try:
                self.facts[key] = facts_of(leaf.callback)
            except Exception:  # reading a strange view must never end the run
                self.facts[key] = ViewFacts()
        return self.facts[key]

    def rows_of(self, model: type[models.Model]) -> list[models.Model]:
        """Some rows of a model, looked up once."""
        if model not in self._rows:
            self._rows[model] = rows.rows_of(model)
        return self._rows[model]

    def leads_home(self, leaf: Leaf, url: str) -> bool:
        """Whether a URL leads to the leaf; notes what shadows it when not."""
        found = self.finder.find(url.split("?")[0])
        if found is not None and found.identity == leaf.identity:
            return True
        if found is not None:
            route = "".join(str(part.pattern) for part in found.chain)
            own = getattr(found.chain[-1], "name", None)
            self.shadows.setdefault(leaf.identity, str(own or route))
        return False


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
        names = [slot.name for slot in shapes.slots(shape)]
        if not names or not any(name in knowledge.overrides for name in names):
            continue
        anchor: dict[str, list[str]] = {}
        for slot in shapes.slots(shape):
            if slot.name in knowledge.overrides:
                anchor[slot.name] = [_given(knowledge.overrides[slot.name], leaf)]
            else:
                anchor[slot.name] = _special(knowledge, leaf, slot) or [slot.sample]
        yield from _urls(knowledge, leaf, shape, anchor, "row", None)


def _given(value: Any, leaf: Leaf) -> str:
    if isinstance(value, str) and "." in value:
        value = import_string(value)
    if callable(value):
        value = value()
    return str(getattr(value, "pk", value))


def from_rows(knowledge: Knowledge, leaf: Leaf) -> Iterator[Candidate]:
    """URLs made of rows, those that the view itself names first."""
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
        if not found:
            return
        texts[slot.name] = found
        is_loose = is_loose or not is_kept_together
    if provenance == "row" and is_loose:
        provenance = "guess"
    yield from _urls(knowledge, leaf, shape, texts, provenance, row)


def _urls(
    knowledge: Knowledge,
    leaf: Leaf,
    shape: shapes.Shape,
    texts: dict[str, list[str]],
    provenance: str,
    row: models.Model | None,
) -> Iterator[Candidate]:
    combinations = itertools.product(*texts.values())
    several = itertools.islice(combinations, MAX_COMBINATIONS)
    for position, combination in enumerate(several):
        url = shapes.fill(shape, dict(zip(texts, combination, strict=True)))
        if knowledge.leads_home(leaf, url):
            is_second_choice = position > 0 and provenance == "row"
            source = "guess" if is_second_choice else provenance
            yield Candidate(url, source, row, _owner(row))


def _owner(row: models.Model | None) -> Any:
    """The user that a row belongs to; None when it says nothing of one."""
    from django.contrib.auth import get_user_model

    try:
        user_model = get_user_model()
    except Exception:  # a project without users
        return None
    if row is None:
        return None
    if isinstance(row, user_model):
        return row
    path = rows.relation_path(type(row), user_model, 2)
    found = rows.follow(row, path) if path else None
    return found if isinstance(found, user_model) else None


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
    last = next(
        (slot.name for slot in reversed(places) if slot.name in GENERIC),
        places[-1].name,
    )
    if facts.model is not None:
        found.append((Lookup(facts.model, ""), last))
    module = leaf.view
    for slot in reversed(places):
        if slot.choices or slot.name in DATE_NAMES:
            continue
        for model in guesses(leaf, shape, slot, module):
            found.append((Lookup(model, "", is_exact=False), slot.name))
    unique: dict[Any, tuple[Lookup, str]] = {}
    for lookup, slot_name in found:
        unique.setdefault((lookup.model, slot_name), (lookup, slot_name))
    return list(unique.values())


def guesses(
    leaf: Leaf, shape: shapes.Shape, slot: shapes.Slot, module: str
) -> list[type[models.Model]]:
    """Models that a parameter may be of, by the words around it."""
    found: list[type[models.Model]] = []
    words = [w for w in rows.split_words(slot.name) if w not in rows.SUFFIXES]
    if words and slot.name not in GENERIC:
        found += rows.models_named(words, module, is_loose=False)
        found += rows.models_named(words, module)
    converter = leaf.converters.get(slot.name)
    if converter is not None and not _is_builtin(converter):
        kind = type(converter).__name__.removesuffix("Converter")
        found += rows.models_named(rows.split_words(kind), module)
    before = shape[: shape.index(slot)]
    literal = before[-1] if before and isinstance(before[-1], str) else ""
    segments = [text for text in literal.split("/") if text]
    for segment in reversed(segments[-2:]):
        found += rows.models_named(rows.split_words(segment), module)
    for text in (leaf.name.split(":")[-1], leaf.view.rsplit(".", 1)[-1]):
        found += rows.models_named(rows.split_words(text), module)
    if slot.name not in GENERIC and slot.is_named:
        found += _with_field(slot.name, module)
    return list(dict.fromkeys(found))[:MAX_ANCHORS]


def _is_builtin(converter: Any) -> bool:
    return type(converter).__module__ == "django.urls.converters"


def _with_field(name: str, module: str) -> list[type[models.Model]]:
    return [
        model
        for model in apps.get_models()
        if (item := rows.field_of(model, name)) is not None
        and (item.unique or model.__module__.split(".")[0] == module.split(".")[0])
        and not item.is_relation
    ][:3]


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
        return [_given(knowledge.overrides[slot.name], leaf)], True
    if slot.name in DATE_NAMES:
        return texts(_date_values(facts, row, slot)), True
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
        if converter is not None and not _is_builtin(converter):
            values.append(row)
        found = texts(values)
        return found, rows.is_named_field(type(row), slot.name, digits)
    return _related_values(knowledge, leaf, slot, row, texts)


def _written(values: list[str], converter: Any) -> list[str]:
    """Values as their converter writes them, where it takes texts at all."""
    found = []
    for value in values:
        try:
            found.append(rows.url_text(value, converter))
        except Exception:  # to_url of the project's converters
            found.append(value)
    return found


def _related_values(
    knowledge: Knowledge, leaf: Leaf, slot: shapes.Slot, row: models.Model, texts: Any
) -> tuple[list[str], bool]:
    converter = leaf.converters.get(slot.name)
    digits = slot.takes_digits_only
    special = _special(knowledge, leaf, slot, row)
    if special:
        return _written(special, converter), True
    own = rows.follow(row, slot.name)
    if isinstance(own, models.Model):
        found = texts(rows.values_of(own, slot.name, converter, digits))
        return found, rows.is_named_field(type(own), slot.name, digits)
    if own not in (None, "") and not callable(own):
        return texts([own]), True
    near = rows.related_with_field(row, slot.name)
    if near is not None:
        return texts([rows.follow(near, slot.name)]), True
    words = [w for w in rows.split_words(slot.name) if w not in rows.SUFFIXES]
    for model in rows.models_named(words, leaf.view)[:2]:
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


def _date_values(facts: ViewFacts, row: models.Model, slot: shapes.Slot) -> list[Any]:
    name = getattr(facts.view_class, "date_field", None)
    value = rows.follow(row, name) if isinstance(name, str) else None
    if value is None:
        for item in row._meta.concrete_fields:
            value = getattr(row, item.attname, None)
            if isinstance(item, models.DateField) and value is not None:
                break
        else:
            value = datetime.date.today()
    return [_date_part(facts, value, slot)]


def _date_part(facts: ViewFacts, value: datetime.date, slot: shapes.Slot) -> Any:
    form = getattr(facts.view_class, f"{slot.name}_format", None)
    if isinstance(form, str):
        return value.strftime(form).lower()
    if slot.name == "month" and not slot.takes_digits_only:
        return value.strftime("%b").lower()
    number = value.isocalendar()[1] if slot.name == "week" else None
    number = getattr(value, slot.name) if number is None else number
    width = len(slot.sample)
    return str(number).zfill(width) if width in (2, 4) else number


def _special(
    knowledge: Knowledge, leaf: Leaf, slot: shapes.Slot, row: Any = None
) -> list[str]:
    """Values for names that mean the same in every project."""
    name = slot.name
    if slot.choices:
        return list(slot.choices)
    if name == "format":
        return _formats(leaf)
    if name in LANGUAGE_NAMES:
        return [settings.LANGUAGE_CODE, settings.LANGUAGE_CODE.split("-")[0]]
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


def _without_slash(knowledge: Knowledge, leaf: Leaf) -> list[str]:
    """What the admin's last pattern is for: paths that lack the slash."""
    prefix = leaf.pattern.split("(")[0]
    return [
        other.pattern[len(prefix) :].rstrip("/")
        for other in knowledge.leaves
        if other.name.endswith("_changelist") and other.pattern.startswith(prefix)
    ][:2]


def generic_objects(knowledge: Knowledge, leaf: Leaf) -> Iterator[Candidate]:
    """URLs that name an object by its content type."""
    for shape in leaf.shapes:
        names = [slot.name for slot in shapes.slots(shape)]
        kinds = [name for name in names if name.startswith("content_type")]
        if len(kinds) != 1 or len(names) != 2:
            continue
        other = next(name for name in names if name not in kinds)
        for row in _showable_rows(knowledge):
            texts = {kinds[0]: [str(_content_type_pk(row))], other: [str(row.pk)]}
            ordered = {name: texts[name] for name in names}
            yield from _urls(knowledge, leaf, shape, ordered, "row", row)


def _showable_rows(knowledge: Knowledge) -> Iterator[models.Model]:
    known = [m for m in apps.get_models() if hasattr(m, "get_absolute_url")]
    for model in known:
        for row in knowledge.rows_of(model)[:1]:
            try:
                if row.get_absolute_url():  # type: ignore[attr-defined]
                    yield row
            except Exception:  # the project's own method
                continue


def _content_type_pk(row: models.Model) -> Any:
    from django.contrib.contenttypes.models import ContentType

    return ContentType.objects.get_for_model(row).pk


def autocompletes(knowledge: Knowledge, leaf: Leaf) -> Iterator[Candidate]:
    """The admin's autocomplete view with the query of one of its fields."""
    site = getattr(leaf.callback, "admin_site", None)
    if site is None or not leaf.name.endswith(":autocomplete"):
        return
    for model, admin in list(site._registry.items()):
        for name in admin.get_autocomplete_fields(None) or ():
            label, own = model._meta.app_label, model._meta.model_name
            query = f"?app_label={label}&model_name={own}&field_name={name}&term="
            for candidate in plain(knowledge, leaf):
                yield Candidate(candidate.url + query, "link")


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


def made_up(knowledge: Knowledge, leaf: Leaf) -> Iterator[Candidate]:
    """URLs with closed choices or, failing these, values made up."""
    for shape in leaf.shapes:
        places = shapes.slots(shape)
        if not places:
            continue
        texts: dict[str, list[str]] = {}
        is_closed = True
        for slot in places:
            converter = leaf.converters.get(slot.name)
            special = _written(_special(knowledge, leaf, slot), converter)
            is_closed = is_closed and bool(special)
            texts[slot.name] = special or [_invented(leaf, slot, knowledge)]
        provenance = "choice" if is_closed else "made up"
        yield from _urls(knowledge, leaf, shape, texts, provenance, None)


def _invented(leaf: Leaf, slot: shapes.Slot, knowledge: Knowledge) -> str:
    kind = type(leaf.converters.get(slot.name)).__name__
    if slot.name in DATE_NAMES:
        today = datetime.date.today()
        return str(_date_part(knowledge.facts_of(leaf), today, slot))
    if kind == "UUIDConverter":
        return "00000000-0000-4000-8000-000000000000"
    if re.fullmatch(r"a?", slot.sample) and "email" in slot.name:
        return "smoke@example.com"
    return slot.sample or "a"
