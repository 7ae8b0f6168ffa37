"""Learn from a view which model it shows and what its parameters select."""

from __future__ import annotations

import ast
import functools
import types
from dataclasses import dataclass, field
from typing import Any

from django.db import models

from yourlabs.smoke.sources import (
    Lookup,
    as_model,
    functions_of,
    lookups_in_source,
    methods_of,
    model_in,
    parse,
    unpartial,
)

MAX_DEPTH = 8


@dataclass
class ViewFacts:
    """What could be learned from a view without calling it."""

    model: type[models.Model] | None = None
    lookups: dict[str, Lookup] = field(default_factory=dict)
    view_class: type | None = None
    model_admin: Any = None


def unwrap(callback: Any) -> Any:
    """Look through decorators and partials, down to what a person wrote."""
    for _ in range(MAX_DEPTH):
        if isinstance(callback, functools.partial):
            callback = callback.func
        elif hasattr(callback, "view_class"):
            return callback.view_class
        elif isinstance(getattr(callback, "cls", None), type):
            return callback.cls
        elif callable(getattr(callback, "__wrapped__", None)):
            callback = callback.__wrapped__
        else:
            inner = _view_in_closure(callback)
            if inner is None:
                return callback
            callback = inner
    return callback


def _view_in_closure(callback: Any) -> Any:
    closure = getattr(callback, "__closure__", None) or ()
    for cell in closure:
        try:
            value = cell.cell_contents
        except ValueError:
            continue
        if isinstance(value, (types.FunctionType, functools.partial)):
            if _takes_request(value) or hasattr(value, "view_class"):
                return value
        elif isinstance(value, type) and hasattr(value, "as_view"):
            return value
    return None


def _takes_request(function: Any) -> bool:
    code = getattr(unpartial(function), "__code__", None)
    return code is not None and "request" in code.co_varnames[: code.co_argcount]


def facts_of(callback: Any) -> ViewFacts:
    """Read a view's class, attributes and source. Never calls the view itself."""
    view = unwrap(callback)
    facts = ViewFacts()
    facts.model_admin = _first_attribute(callback, "model_admin")
    if facts.model_admin is not None:
        facts.model = getattr(facts.model_admin, "model", None)
        if facts.model is not None:
            facts.lookups["object_id"] = Lookup(facts.model, "pk")
    elif isinstance(view, type):
        facts.view_class = view
        initkwargs = _first_attribute(callback, "view_initkwargs") or getattr(
            callback, "initkwargs", {}
        )
        facts.model = _model_of_class(view, initkwargs or {})
        facts.lookups.update(_lookups_of_class(view, initkwargs or {}, facts.model))
    for function in functions_of(view):
        for name, lookup in lookups_in_source(function):
            facts.lookups.setdefault(name, lookup)
    return facts


def _first_attribute(callback: Any, name: str) -> Any:
    for _ in range(MAX_DEPTH):
        value = getattr(callback, name, None)
        if value is not None:
            return value
        callback = getattr(callback, "__wrapped__", None)
        if callback is None:
            return None
    return None


def _model_of_class(
    view: type, initkwargs: dict[str, Any]
) -> type[models.Model] | None:
    for name in ("model", "queryset", "form_class", "serializer_class"):
        try:
            model = as_model(initkwargs.get(name, getattr(view, name, None)))
        except Exception:  # a descriptor of the project
            continue
        if model is not None:
            return model
    return _model_of_queryset(view, initkwargs)


def _model_of_queryset(
    view: type, initkwargs: dict[str, Any]
) -> type[models.Model] | None:
    for function in methods_of(view, ("get_queryset", "get_object", "get_model")):
        for node in ast.walk(parse(function) or ast.Module([], [])):
            if isinstance(node, ast.Return) and node.value is not None:
                model = model_in(node.value, function)
                if model is not None:
                    return model
    return None


def _lookups_of_class(
    view: Any, initkwargs: dict[str, Any], model: type[models.Model] | None
) -> dict[str, Lookup]:
    if model is None:
        return {}

    def option(name: str) -> Any:
        value = initkwargs.get(name, getattr(view, name, None))
        return value if isinstance(value, str) else None

    lookups = {}
    if hasattr(view, "lookup_field"):
        path = option("lookup_field") or "pk"
        lookups[option("lookup_url_kwarg") or path] = Lookup(model, path)
    if hasattr(view, "pk_url_kwarg"):
        lookups[option("pk_url_kwarg") or "pk"] = Lookup(model, "pk")
        slug = option("slug_field")
        if slug and _has_path(model, slug):
            lookups[option("slug_url_kwarg") or "slug"] = Lookup(model, slug)
    return lookups


def _has_path(model: type[models.Model], path: str) -> bool:
    first = path.split("__")[0]
    return first == "pk" or first in {item.name for item in model._meta.get_fields()}


def takes_no_session(callback: Any) -> bool:
    """Whether a view of REST framework authenticates in other ways than by session."""
    classes = getattr(unwrap(callback), "authentication_classes", None)
    if not isinstance(classes, (list, tuple)) or not classes:
        return False
    names = {owner.__name__ for one in classes for owner in getattr(one, "__mro__", ())}
    return "SessionAuthentication" not in names


def is_never_there(callback: Any) -> bool:
    """Whether the code of a view answers nothing but 404."""
    view = unwrap(callback)
    functions = methods_of(view, ("get",)) if isinstance(view, type) else [view]
    for function in functions:
        tree = parse(unpartial(function))
        ends = [
            ast.dump(node)
            for node in ast.walk(tree or ast.Module([], []))
            if isinstance(node, (ast.Return, ast.Raise))
        ]
        if ends and all("404" in text or "NotFound" in text for text in ends):
            return True
    return False
