"""Turn the regular expressions of URL patterns into texts that match them.

Pure: nothing here knows Django. A *shape* is one way through an expression:
its alternations decided, its optional groups taken or left, its captured groups
kept as slots to be filled.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

if sys.version_info >= (3, 11):
    from re import _parser as sre
else:
    import sre_parse as sre

MAX_SHAPES = 8
"""How many ways through one expression are kept."""

MAX_CHOICES = 24
"""Up to how many texts a group may match to be called a closed choice."""

_CATEGORIES = {
    "CATEGORY_DIGIT": "1",
    "CATEGORY_WORD": "a1_",
    "CATEGORY_SPACE": " ",
    "CATEGORY_NOT_DIGIT": "a",
    "CATEGORY_NOT_WORD": "-",
    "CATEGORY_NOT_SPACE": "a1",
}
_ALPHABET = "a1bcdefghijklmnopqrstuvwxyz0ABCDEFGHIJKLMNOPQRSTUVWXYZ-_.~ /"


@dataclass(frozen=True)
class Slot:
    """A captured group: a place for a value in a URL.

    Attributes:
        name: The group's name; the position in the URL, from 0, when it has none.
        sample: A text that matches, made up from the expression.
        choices: Every text that matches, when these are few; else empty.
    """

    name: str
    sample: str = "a"
    choices: tuple[str, ...] = ()
    is_named: bool = True

    @property
    def takes_digits_only(self) -> bool:
        """Whether the made-up text is a number, so that letters do not match."""
        return self.sample.isdigit()


Part = str | Slot
Shape = tuple[Part, ...]


def shapes_of(expression: str, flags: int = 0) -> list[Shape]:
    """List the ways through a regular expression, the shortest first.

    Args:
        expression: The source of the regular expression.
        flags: The flags it was compiled with.

    Raises:
        re.error: The expression is not valid.
    """
    tree: Any = sre.parse(expression, flags & ~re.DEBUG)
    names = {number: name for name, number in tree.state.groupdict.items()}
    found = itertools.islice(_ways_through(tree, names), MAX_SHAPES)
    return [merge(shape) for shape in found]


def combine(several: Iterable[list[Shape]]) -> list[Shape]:
    """Chain the shapes of nested patterns; number the unnamed slots."""
    shapes = []
    for choice in itertools.islice(itertools.product(*several), MAX_SHAPES):
        parts = list(itertools.chain.from_iterable(choice))
        if any(isinstance(part, Slot) and part.is_named for part in parts):
            # Django drops unnamed groups when one of the pattern is named.
            parts = [
                part.sample if isinstance(part, Slot) and not part.is_named else part
                for part in parts
            ]
        position = itertools.count()
        shapes.append(
            merge(
                replace(part, name=str(next(position)))
                if isinstance(part, Slot) and not part.is_named
                else part
                for part in parts
            )
        )
    return sorted(shapes, key=lambda shape: len(slots(shape)))


def slots(shape: Shape) -> list[Slot]:
    """The places of a shape that need a value, in order."""
    return [part for part in shape if isinstance(part, Slot)]


def fill(shape: Shape, values: dict[str, str]) -> str:
    """Put values in a shape's slots.

    Raises:
        KeyError: A slot has no value.
    """
    return "".join(
        values[part.name] if isinstance(part, Slot) else part for part in shape
    )


def merge(parts: Iterable[Part]) -> Shape:
    """Join neighbouring literal texts."""
    merged: list[Part] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    return tuple(part for part in merged if part != "")


def _ways_through(tree: Iterable[Any], names: dict[int, str]) -> Iterator[Shape]:
    steps = [
        list(itertools.islice(_step(str(code), argument, names), 4))
        for code, argument in tree
    ]
    for choice in itertools.islice(itertools.product(*steps), MAX_SHAPES):
        yield tuple(itertools.chain.from_iterable(choice))


def _step(kind: str, argument: Any, names: dict[int, str]) -> Iterator[Shape]:
    if kind == "SUBPATTERN":
        number, _, _, tree = argument
        if number in names or (number is not None and not names):
            yield (_slot(tree, names.get(number), number),)
        else:
            yield from _ways_through(tree, names)
    elif kind == "BRANCH":
        for tree in argument[1]:
            yield from _ways_through(tree, names)
    elif kind.endswith("REPEAT"):
        low, _, tree = argument
        if low == 0:
            yield ()
            yield from filter(slots, _ways_through(tree, names))
        else:
            for shape in _ways_through(tree, names):
                yield shape * low
    elif kind == "ATOMIC_GROUP":
        yield from _ways_through(argument, names)
    else:
        yield (_texts_of(kind, argument)[0],)


def _slot(tree: Any, name: str | None, number: int) -> Slot:
    sample, every = _texts(tree)
    return Slot(
        name=name or str(number),
        sample=every[0] if every else sample,
        choices=tuple(dict.fromkeys(every or ())),
        is_named=name is not None,
    )


def _texts(tree: Iterable[Any]) -> tuple[str, list[str] | None]:
    """A text that a parsed expression matches, and all of them when these are few."""
    sample = ""
    every: list[str] | None = [""]
    for code, argument in tree:
        one, several = _texts_of(str(code), argument)
        sample += one
        if every is not None:
            every = several and [a + b for a in every for b in several]
            every = every if every and len(every) <= MAX_CHOICES else None
    return sample, every


def _texts_of(kind: str, argument: Any) -> tuple[str, list[str] | None]:
    if kind == "LITERAL":
        return chr(argument), [chr(argument)]
    if kind == "NOT_LITERAL":
        return next(c for c in _ALPHABET if ord(c) != argument), None
    if kind == "ANY":
        return "a", None
    if kind == "IN":
        if all(str(code) == "LITERAL" for code, _ in argument):
            letters = [chr(character) for _, character in argument]
            return letters[0], letters
        return next((c for c in _ALPHABET if _is_member(c, argument)), "a"), None
    if kind == "SUBPATTERN":
        return _texts(argument[3])
    if kind == "BRANCH":
        found = [_texts(tree) for tree in argument[1]]
        closed = [several for _, several in found if several is not None]
        every = [text for several in closed for text in several]
        return found[0][0], every if len(closed) == len(found) else None
    if kind.endswith("REPEAT"):
        low, high, inner = argument
        one, several = _texts(inner)
        sample = one * min(int(high), max(low, 1))
        if several is None or kind != "MAX_REPEAT":
            return sample, None
        if (low, high) == (0, 1):
            return sample, ["", *several]
        if low == high <= 2:
            return sample, list(map("".join, itertools.product(several, repeat=low)))
        return sample, None
    return "", [""] if kind in ("AT", "ASSERT", "ASSERT_NOT") else None


def _is_member(character: str, members: list[Any]) -> bool:
    negated, found = False, False
    for code, argument in members:
        kind = str(code)
        if kind == "NEGATE":
            negated = True
        elif kind == "LITERAL":
            found = found or ord(character) == argument
        elif kind == "RANGE":
            found = found or argument[0] <= ord(character) <= argument[1]
        elif kind == "CATEGORY":
            found = found or character in _CATEGORIES.get(str(argument), "")
    return found != negated
