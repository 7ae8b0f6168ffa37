"""Find models by the words that people call them by."""

from __future__ import annotations

import functools
import re

from django.apps import apps
from django.db import models


def split_words(text: str) -> list[str]:
    """The words of a name, in lower case: ``OrderDetail_view`` has three."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", text)
    return [word.lower() for word in re.split(r"[^A-Za-z0-9]+", spaced) if word]


def singular(word: str) -> str:
    """A plain English singular, good enough to compare names."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


@functools.cache
def _models_by_name() -> dict[str, list[type[models.Model]]]:
    found: dict[str, list[type[models.Model]]] = {}
    for model in apps.get_models():
        meta = model._meta
        if meta.proxy and meta.concrete_model in apps.get_models():
            continue
        own = meta.model_name or ""
        for name in {own, own.removesuffix("model") or own}:
            found.setdefault(name, []).append(model)
    return found


def models_named(words: list[str], module: str) -> list[type[models.Model]]:
    """List the models whose name is a run of some words, the longest run first.

    Among equals, those of the app of a module, where the view is from, come first.
    """
    by_name = _models_by_name()
    found: list[type[models.Model]] = []
    for size in range(len(words), 0, -1):
        several: list[type[models.Model]] = []
        for start in range(len(words) - size, -1, -1):
            run = words[start : start + size]
            for name in ("".join(run), "".join([*run[:-1], singular(run[-1])])):
                several += by_name.get(name, [])
        several.sort(key=lambda model: not _shares_package(model.__module__, module))
        found += several
    return list(dict.fromkeys(found))


def _shares_package(one: str, other: str) -> bool:
    return one.split(".")[:2] == other.split(".")[:2]
