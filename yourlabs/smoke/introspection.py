"""Learn from a view which model it shows and what its parameters select."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import models

MAX_DEPTH = 8


@dataclass(frozen=True)
class Lookup:
    """What a parameter selects: a path of fields on a model."""

    model: type[models.Model]
    path: str
    is_exact: bool = True
    """Whether the view itself says so; False for a guess by name."""


@dataclass
class ViewFacts:
    """What could be learned from a view without calling it."""

    model: type[models.Model] | None = None
    lookups: dict[str, Lookup] = field(default_factory=dict)
    view_class: type | None = None
    model_admin: Any = None
    words: tuple[str, ...] = ()
    """Names to guess a model from, the most telling first."""


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


def unpartial(function: Any) -> Any:
    """The function below any number of partials."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


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
    for function in _sources(view):
        for name, lookup in _lookups_in_source(function):
            facts.lookups.setdefault(name, lookup)
    facts.words = _words(view)
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


def as_model(value: Any) -> type[models.Model] | None:
    """The model behind a class, manager, queryset, form or serializer, if any."""
    if isinstance(value, type):
        if issubclass(value, models.Model):
            return value if not value._meta.abstract else None
        meta = getattr(value, "_meta", None) or getattr(value, "Meta", None)
        return as_model(getattr(meta, "model", None)) if meta is not None else None
    model = getattr(value, "model", None)
    return as_model(model) if isinstance(model, type) else None


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
    for function in _methods(view, ("get_queryset", "get_object", "get_model")):
        for node in ast.walk(_parse(function) or ast.Module([], [])):
            if isinstance(node, ast.Return) and node.value is not None:
                model = _model_in(node.value, function)
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


_OWN_METHODS = (
    "dispatch",
    "setup",
    "get",
    "post",
    "get_object",
    "get_queryset",
    "get_context_data",
    "initial",
    "get_parent",
    "test_func",
    "get_form_kwargs",
    "get_redirect_url",
    "form_valid",
)


def _sources(view: Any) -> Iterator[Callable[..., Any]]:
    if not isinstance(view, type):
        function = unpartial(view)
        if inspect.ismethod(function):
            function = function.__func__
        if not inspect.isfunction(function):
            function = vars(type(function)).get("__call__")
        if inspect.isfunction(function):
            yield function
        return
    yield from _methods(view, None)


def _methods(view: type, names: tuple[str, ...] | None) -> Iterator[Any]:
    for owner in view.__mro__[:12]:
        if owner.__module__.split(".")[0] in ("django", "rest_framework", "builtins"):
            continue
        for name, value in vars(owner).items():
            if names is None or name in names:
                if isinstance(value, property):
                    value = value.fget
                value = getattr(value, "func", value)
                value = inspect.unwrap(value) if callable(value) else value
                if inspect.isfunction(value):
                    yield value


@functools.cache
def _parse(function: Any) -> ast.AST | None:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError, IndentationError):
        return None


def _lookups_in_source(function: Any) -> Iterator[tuple[str, Lookup]]:
    tree = _parse(function)
    if tree is None:
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.keywords:
            continue
        model = _queried_model(node, function)
        if model is None:
            continue
        for keyword in node.keywords:
            parameter = _parameter_in(keyword.value)
            if keyword.arg and parameter:
                yield parameter, Lookup(model, keyword.arg)


_QUERIES = {"get", "filter", "aget", "get_or_create", "exclude", "first", "exists"}


def _queried_model(node: ast.Call, function: Any) -> type[models.Model] | None:
    called = node.func
    name = called.attr if isinstance(called, ast.Attribute) else None
    name = called.id if isinstance(called, ast.Name) else name
    if name in ("get_object_or_404", "get_list_or_404", "aget_object_or_404"):
        return _model_in(node.args[0], function) if node.args else None
    if isinstance(called, ast.Attribute) and name in _QUERIES:
        return _model_in(called.value, function)
    return None


def _model_in(node: ast.AST, function: Any) -> type[models.Model] | None:
    """Find the model that an expression's leftmost name stands for."""
    chain: list[str] = []
    while True:
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.args:
                node = node.args[0]
            else:
                node = node.func
        elif isinstance(node, ast.Attribute):
            chain.insert(0, node.attr)
            node = node.value
        elif isinstance(node, ast.Subscript):
            node = node.value
        else:
            break
    if not isinstance(node, ast.Name):
        return None
    value = _names_of(function).get(node.id)
    for name in [None, *chain]:
        if name is not None:
            value = getattr(value, name, None)
        if value is None:
            return None
        if isinstance(value, type) and issubclass(value, models.Model):
            return as_model(value)
        if isinstance(value, (models.Manager, models.QuerySet)):
            return as_model(value)
    return None


def _names_of(function: Any) -> dict[str, Any]:
    names = dict(getattr(function, "__globals__", {}))
    cells = getattr(function, "__closure__", None) or ()
    for name, cell in zip(function.__code__.co_freevars, cells, strict=False):
        try:
            names[name] = cell.cell_contents
        except ValueError:
            continue
    return names


def _parameter_in(node: ast.AST) -> str | None:
    """The URL parameter that an expression reads, if it reads just one."""
    if isinstance(node, ast.Call):
        called = node.func
        if isinstance(called, ast.Attribute) and called.attr in ("get", "pop"):
            if _is_kwargs(called.value) and node.args:
                return _text(node.args[0])
            return None
        return _parameter_in(node.args[0]) if len(node.args) == 1 else None
    if isinstance(node, ast.Subscript) and _is_kwargs(node.value):
        return _text(node.slice)
    return node.id if isinstance(node, ast.Name) else None


def _is_kwargs(node: ast.AST) -> bool:
    name = getattr(node, "attr", None) or getattr(node, "id", None)
    return isinstance(name, str) and name.endswith("kwargs")


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return None


def _words(view: Any) -> tuple[str, ...]:
    name = getattr(view, "__name__", None) or type(view).__name__
    return (str(name),)
