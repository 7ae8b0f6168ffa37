"""Find models by the words that people call them by."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

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
        names = {own, own.removesuffix("model") or own, *_verbose_names(meta)}
        for name in names:
            found.setdefault(name, []).append(model)
    return found


def _verbose_names(meta: Any) -> Iterator[str]:
    try:
        yield "".join(split_words(str(meta.verbose_name_raw)))
    except Exception:  # a lazy text of the project
        return


def models_named(
    words: list[str], module: str, *, is_loose: bool = True
) -> list[type[models.Model]]:
    """List the models whose name is a run of some words, the longest run first.

    Args:
        words: Words in the order they were written.
        module: Where the view is from; models of that app come first.
        is_loose: Whether a part of the words is enough.
    """
    by_name = _models_by_name()
    words = [word for word in words if word]
    found: list[type[models.Model]] = []
    sizes = range(len(words), 0, -1) if is_loose else [len(words)]
    for size in sizes:
        for start in range(len(words) - size, -1, -1):
            run = words[start : start + size]
            for name in ("".join(run), "".join([*run[:-1], singular(run[-1])])):
                found += by_name.get(name, [])
    if not found and is_loose and words:
        last = singular(words[-1])
        found = [
            model
            for name, several in by_name.items()
            if len(last) > 3 and name.endswith(last)
            for model in several
            if _shares_package(model.__module__, module)
        ]
    unique = list(dict.fromkeys(found))
    return sorted(
        unique, key=lambda model: not _shares_package(model.__module__, module)
    )


def _shares_package(one: str, other: str) -> bool:
    return one.split(".")[:2] == other.split(".")[:2]
