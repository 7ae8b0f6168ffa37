"""Read the source of views: which model a parameter selects."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import models


@dataclass(frozen=True)
class Lookup:
    """What a parameter selects: a path of fields on a model."""

    model: type[models.Model]
    path: str
    is_exact: bool = True
    """Whether the view itself says so; False for a guess by name."""


def unpartial(function: Any) -> Any:
    """The function below any number of partials."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def as_model(value: Any) -> type[models.Model] | None:
    """The model behind a class, manager, queryset, form or serializer, if any."""
    if isinstance(value, type):
        if issubclass(value, models.Model):
            return value if not value._meta.abstract else None
        meta = getattr(value, "_meta", None) or getattr(value, "Meta", None)
        return as_model(getattr(meta, "model", None)) if meta is not None else None
    model = getattr(value, "model", None)
    return as_model(model) if isinstance(model, type) else None


def functions_of(view: Any) -> Iterator[Callable[..., Any]]:
    """The functions of a view whose source tells something."""
    if not isinstance(view, type):
        function = unpartial(view)
        if inspect.ismethod(function):
            function = function.__func__
        if not inspect.isfunction(function):
            function = vars(type(function)).get("__call__")
        if inspect.isfunction(function):
            yield function
        return
    yield from methods_of(view, None)


def methods_of(view: type, names: tuple[str, ...] | None) -> Iterator[Any]:
    """The methods of a project's own classes, by name or all."""
    for owner in view.__mro__[:12]:
        if owner.__module__.split(".")[0] in ("django", "rest_framework", "builtins"):
            continue
        for name, value in vars(owner).items():
            if names is None or name in names:
                value = _function_in(value)
                if value is not None:
                    yield value


def _function_in(value: Any) -> Any:
    """The function that a property, a decorator or a mix of them holds, if any."""
    for _ in range(4):
        if inspect.isfunction(value):
            return inspect.unwrap(value)
        names = ("fget", "real_func", "func", "__func__", "__wrapped__")
        value = next((v for n in names if (v := getattr(value, n, None))), None)
    return None


@functools.cache
def parse(function: Any) -> ast.AST | None:
    """The syntax tree of a function; None when it has no source."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError, IndentationError):
        return None


@functools.cache
def variables_of(function: Any) -> dict[str, ast.AST]:
    """What the names that a function assigns to stand for at first."""
    found: dict[str, ast.AST] = {}
    for node in ast.walk(parse(function) or ast.Module([], [])):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target: ast.AST = node.targets[0]
        elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and node.value:
            target = node.target
        else:
            continue
        if isinstance(target, ast.Name) and node.value is not None:
            found.setdefault(target.id, node.value)
    return found


def lookups_in_source(function: Any) -> Iterator[tuple[str, Lookup]]:
    """What the parameters of a function select, by its queries."""
    tree = parse(function)
    if tree is None:
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.keywords:
            continue
        model = _queried_model(node, function)
        if model is None:
            continue
        for keyword in node.keywords:
            variable = variables_of(function).get(getattr(keyword.value, "id", ""))
            parameter = _parameter_in(variable) if variable else None
            parameter = parameter or _parameter_in(keyword.value)
            if keyword.arg and parameter:
                yield parameter, Lookup(model, keyword.arg)


_QUERIES = {"get", "filter", "aget", "get_or_create", "exclude", "first", "exists"}


def _queried_model(node: ast.Call, function: Any) -> type[models.Model] | None:
    called = node.func
    name = called.attr if isinstance(called, ast.Attribute) else None
    name = called.id if isinstance(called, ast.Name) else name
    if name in ("get_object_or_404", "get_list_or_404", "aget_object_or_404"):
        return model_in(node.args[0], function) if node.args else None
    if isinstance(called, ast.Attribute) and name in _QUERIES:
        return model_in(called.value, function)
    return None


@functools.cache
def _models_by_accessor() -> dict[str, type[models.Model] | None]:
    """The models behind the attributes that relations give to the rows they refer to.

    None for an attribute that leads to several.
    """
    found: dict[str, type[models.Model] | None] = {}
    for model in apps.get_models():
        for item in model._meta.related_objects:
            name, other = _accessor(item), item.related_model
            if name and isinstance(other, type):
                found[name] = other if found.get(name, other) is other else None
    return found


def model_in(node: ast.AST, function: Any) -> type[models.Model] | None:
    """Find the model that an expression's leftmost name stands for.

    Failing that, the one behind its last relation: the ``orders`` of an event.
    """
    chain: list[str] = []
    variables = dict(variables_of(function))
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
        elif isinstance(node, ast.Name) and node.id in variables:
            # Taken out, as a variable may be made of itself.
            node = variables.pop(node.id)
        else:
            break
    named = _named_model(node, chain, function)
    if named is not None:
        return named
    known = _models_by_accessor()
    return next((known[name] for name in reversed(chain) if name in known), None)


def _named_model(
    node: ast.AST, chain: list[str], function: Any
) -> type[models.Model] | None:
    if not isinstance(node, ast.Name):
        return None
    value = _names_of(function).get(node.id)
    for position, name in enumerate([None, *chain]):
        if name is not None:
            value = getattr(value, name, None)
        if value is None:
            return None
        is_model = isinstance(value, type) and issubclass(value, models.Model)
        if is_model or isinstance(value, (models.Manager, models.QuerySet)):
            model = as_model(value)
            return model and _along(model, chain[position:])
    return None


def _accessor(item: Any) -> str | None:
    """The attribute that a relation gives to the rows it refers to."""
    found = item.get_accessor_name() if hasattr(item, "get_accessor_name") else None
    return found or None


def _along(model: type[models.Model], names: list[str]) -> type[models.Model]:
    """The model at the end of a chain of attributes, of which some are relations."""
    for name in names:
        for item in model._meta.get_fields():
            own = item.name if item.concrete else _accessor(item)
            if own == name and isinstance(item.related_model, type):
                model = item.related_model
                break
    return model


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
