"""URLs that name a model."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import models

from yourlabs.smoke import naming, shapes
from yourlabs.smoke.discovery import Leaf
from yourlabs.smoke.knowledge import Candidate, Knowledge
from yourlabs.smoke.rows import suffix_of
from yourlabs.smoke.specials import special_values
from yourlabs.smoke.values import plain, urls

MAX_MODELS = 12
"""How many models are tried where a URL names one."""

APP_NAMES = {"app_label", "app_name", "app"}
MODEL_NAMES = {"model_name", "model"}


def labelled(knowledge: Knowledge, leaf: Leaf) -> Iterator[Candidate]:
    """URLs that name a model by its app and its name, and perhaps one of its rows."""
    for shape in leaf.shapes:
        places = shapes.slots(shape)
        names = {slot.name for slot in places}
        if not names & APP_NAMES or not names & MODEL_NAMES:
            continue
        for model in itertools.islice(_models_for(knowledge, leaf, shape), MAX_MODELS):
            row = next(iter(knowledge.rows_of(model)), None)
            texts = {
                slot.name: _texts_for(knowledge, leaf, slot, model, row)
                for slot in places
            }
            yield from urls(knowledge, leaf, shape, texts, "guess", row)


def _models_for(
    knowledge: Knowledge, leaf: Leaf, shape: shapes.Shape
) -> list[type[models.Model]]:
    """Models that the words of a route are of, then those with rows."""
    text = " ".join(part for part in shape if isinstance(part, str))
    named = naming.models_named(naming.split_words(text), leaf.view)
    filled = [model for model in apps.get_models() if knowledge.rows_of(model)]
    return list(dict.fromkeys([*named, *filled]))


def _texts_for(
    knowledge: Knowledge,
    leaf: Leaf,
    slot: shapes.Slot,
    model: type[models.Model],
    row: models.Model | None,
) -> list[str]:
    if slot.name in APP_NAMES:
        return [model._meta.app_label]
    if slot.name in MODEL_NAMES:
        return [str(model._meta.model_name)]
    if row is not None and (suffix_of(slot.name) in ("pk", "id")):
        return [str(row.pk)]
    return special_values(knowledge, leaf, slot, row) or [slot.sample or "a"]


def autocompletes(knowledge: Knowledge, leaf: Leaf) -> Iterator[Candidate]:
    """The admin's autocomplete view, asked for fields of the admin, then for any."""
    site = getattr(leaf.callback, "admin_site", None)
    if site is None or not leaf.name.endswith(":autocomplete"):
        return
    own = [
        (model, name, "link")
        for model, admin in list(site._registry.items())
        for name in admin.get_autocomplete_fields(None) or ()
    ]
    for model, name, provenance in [*own, *_searchable(site)]:
        label, kind = model._meta.app_label, model._meta.model_name
        query = f"?app_label={label}&model_name={kind}&field_name={name}&term="
        for candidate in plain(knowledge, leaf):
            yield Candidate(candidate.url + query, provenance)


def _searchable(site: Any) -> Iterator[tuple[type[models.Model], str, str]]:
    """Relations to models that the admin can search."""
    for model in apps.get_models():
        for item in model._meta.get_fields():
            if not item.concrete or not item.is_relation:
                continue
            admin = site._registry.get(item.related_model)
            if admin is not None and admin.search_fields:
                yield model, item.name, "guess"
