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
    """A captured group: a place for a value in a URL."""

    name: str
    """The group's name; the position in the URL, from 0, when it has none."""

    sample: str = "a"
    """A text that matches, made up from the expression."""

    choices: tuple[str, ...] = ()
    """Every text that matches, when these are few; else empty."""

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
    has_names = bool(tree.state.groupdict)
    names = {number: name for name, number in tree.state.groupdict.items()}
    walker = _Walker(names, has_names)
    found = list(itertools.islice(walker.sequences(tree), MAX_SHAPES))
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


@dataclass(frozen=True)
class _Walker:
    names: dict[int, str]
    has_names: bool

    def sequences(self, tree: Iterable[Any]) -> Iterator[Shape]:
        steps = [list(itertools.islice(self.step(*node), 4)) for node in tree]
        for choice in itertools.islice(itertools.product(*steps), MAX_SHAPES):
            yield tuple(itertools.chain.from_iterable(choice))

    def step(self, code: Any, argument: Any) -> Iterator[Shape]:
        kind = str(code)
        if kind == "SUBPATTERN":
            number, _, _, tree = argument
            if number is None:
                yield from self.sequences(tree)
            else:
                yield from self.group(number, tree)
        elif kind == "BRANCH":
            for tree in argument[1]:
                yield from self.sequences(tree)
        elif kind in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            low, _, tree = argument
            if low == 0:
                yield ()
                if _is_captured(tree):
                    yield from self.sequences(tree)
            else:
                for shape in self.sequences(tree):
                    yield shape * low
        elif kind == "ATOMIC_GROUP":
            yield from self.sequences(argument)
        else:
            yield (sample([(code, argument)]),)

    def group(self, number: int, tree: Any) -> Iterator[Shape]:
        name = self.names.get(number)
        if name is None and self.has_names:
            yield from self.sequences(tree)
            return
        try:
            choices = tuple(dict.fromkeys(language(tree)))
        except OverflowError:
            choices = ()
        yield (
            Slot(
                name=name or str(number),
                sample=choices[0] if choices else sample(tree, at_least=1),
                choices=choices,
                is_named=name is not None,
            ),
        )


def _is_captured(tree: Iterable[Any]) -> bool:
    for code, argument in tree:
        kind = str(code)
        if kind == "SUBPATTERN":
            if argument[0] is not None or _is_captured(argument[3]):
                return True
        elif kind == "BRANCH":
            if any(_is_captured(branch) for branch in argument[1]):
                return True
        elif kind.endswith("REPEAT") and _is_captured(argument[2]):
            return True
    return False


def sample(tree: Iterable[Any], at_least: int = 0) -> str:
    """Make up a text that a parsed expression matches.

    Args:
        tree: The parsed expression.
        at_least: How often a repetition that may be left out is repeated.
    """
    text = ""
    for code, argument in tree:
        kind = str(code)
        if kind == "LITERAL":
            text += chr(argument)
        elif kind == "NOT_LITERAL":
            text += next(c for c in _ALPHABET if ord(c) != argument)
        elif kind == "ANY":
            text += "a"
        elif kind == "IN":
            text += _member(argument)
        elif kind == "SUBPATTERN":
            text += sample(argument[3], at_least)
        elif kind == "BRANCH":
            text += sample(argument[1][0], at_least)
        elif kind.endswith("REPEAT"):
            low, high, inner = argument
            text += sample(inner, at_least) * min(int(high), max(low, at_least))
    return text


def _member(members: list[Any]) -> str:
    for character in _ALPHABET:
        if _is_member(character, members):
            return character
    return "a"


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


def language(tree: Iterable[Any]) -> list[str]:
    """List every text that a parsed expression matches.

    Raises:
        OverflowError: There are more than `MAX_CHOICES`, or no end of them.
    """
    texts = [""]
    for code, argument in tree:
        texts = [a + b for a in texts for b in _language_of(str(code), argument)]
        if len(texts) > MAX_CHOICES:
            raise OverflowError
    return texts


def _language_of(kind: str, argument: Any) -> list[str]:
    if kind == "LITERAL":
        return [chr(argument)]
    if kind == "IN" and all(str(code) == "LITERAL" for code, _ in argument):
        return [chr(character) for _, character in argument]
    if kind == "SUBPATTERN":
        return language(argument[3])
    if kind == "BRANCH":
        return [text for tree in argument[1] for text in language(tree)]
    if kind == "MAX_REPEAT" and tuple(argument[:2]) == (0, 1):
        return ["", *language(argument[2])]
    if kind == "MAX_REPEAT" and argument[0] == argument[1] <= 2:
        if argument[0] == 0:
            return [""]
        return language(list(argument[2]) * argument[0])
    if kind in ("AT", "ASSERT", "ASSERT_NOT"):
        return [""]
    raise OverflowError
