"""What one run knows of a project, and the URLs it thinks of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.core.exceptions import ObjectDoesNotExist
from django.db import models

from yourlabs.smoke import rows, shapes
from yourlabs.smoke.discovery import Leaf, PathFinder
from yourlabs.smoke.introspection import ViewFacts, facts_of

MAX_PROVEN = 2
"""How many values that worked elsewhere are combined with ones made up."""

CONTRADICTION = 10
"""What a value costs in whose place others are known to work."""


@dataclass(frozen=True)
class Candidate:
    """A URL that should lead to a leaf, and where its values are from.

    Attributes:
        provenance: ``none``, ``row``, ``link``, ``proven``, ``earlier``, ``choice``,
            ``made row``, ``guess`` or ``made up``.
        gone: The tables that the request that showed the URL wrote rows into, now
            undone.
        prepare: Makes the row that the URL needs, for a user, where it will be undone.
    """

    url: str
    provenance: str
    owner: Any = None
    gone: frozenset[str] = frozenset()
    prepare: Callable[[Any], Candidate | None] | None = None

    @property
    def is_trusted(self) -> bool:
        """Whether a failure with it is the view's own fault."""
        trusted = ("none", "row", "link", "proven", "choice", "listed")
        return self.provenance in trusted


@dataclass
class Knowledge:
    """What one run knows of the project. Not thread-safe.

    Attributes:
        overrides: ``SMOKE["values"]``: a callable, or its dotted path, by parameter.
        shadows: By leaf: what its URLs led to instead.
        proven: What parameters were when a view answered well, by what is before them
            in the path, and by their name alone.
        beginnings: The paths up to the end of each parameter of the views that answered
            well.
        lists: The first objects of the lists of the project's API, by path, and the
            tables that the request that showed them wrote rows into.
        look_up: Calls a function that looks into a table where views of the host are
            called.
    """

    finder: PathFinder
    leaves: list[Leaf]
    overrides: dict[str, Any] = field(default_factory=dict)
    user: Any = None
    facts: dict[Leaf, ViewFacts] = field(default_factory=dict)
    shadows: dict[Leaf, str] = field(default_factory=dict)
    proven: dict[Any, set[str]] = field(default_factory=dict)
    beginnings: set[str] = field(default_factory=set)
    lists: dict[str, tuple[list[dict[str, Any]], frozenset[str]]] = field(
        default_factory=dict
    )
    look_up: Callable[[Callable[[], Any], str], Any] = lambda function, table: (
        function()
    )
    _rows: dict[Any, list[models.Model]] = field(default_factory=dict)

    def facts_of(self, leaf: Leaf) -> ViewFacts:
        """What is known of a leaf's view; looked up once."""
        if leaf not in self.facts:
            try:
                self.facts[leaf] = facts_of(leaf.callback)
            except Exception:  # reading a strange view must never end the run
                self.facts[leaf] = ViewFacts()
        return self.facts[leaf]

    def rows_of(self, model: type[models.Model]) -> list[models.Model]:
        """Some rows of a model, looked up once."""
        if model not in self._rows:
            table = model._meta.db_table
            self._rows[model] = self.look_up(lambda: rows.rows_of(model), table)
        return self._rows[model]

    def may_be_gone(
        self, leaf: Leaf, candidate: Candidate, error: BaseException | None
    ) -> bool:
        """Whether a URL may name a row that a request made and that is undone."""
        if not candidate.gone:
            return False
        facts = self.facts_of(leaf)
        kinds = [facts.model, *(lookup.model for lookup in facts.lookups.values())]
        if isinstance(error, ObjectDoesNotExist):
            kinds += [m for m in apps.get_models() if isinstance(error, m.DoesNotExist)]
        tables = {kind._meta.db_table for kind in kinds if kind is not None}
        return not tables.isdisjoint(candidate.gone)

    def leads_home(self, leaf: Leaf, url: str) -> bool:
        """Whether a URL leads to the leaf; notes what shadows it when not."""
        found = self.finder.find(url)
        if found is not None and found.leaf is leaf:
            return True
        if found is not None:
            own = found.leaf.name.split(":")[-1]
            self.shadows.setdefault(leaf, own or found.leaf.pattern)
        return False

    def learn(self, leaf: Leaf, url: str) -> None:
        """Remember the values of a URL that its view answered well."""
        for key, name, text in self._values_in(leaf, url):
            self.proven.setdefault(key, set()).add(text)
            self.proven.setdefault(name, set()).add(text)
        self.beginnings.update(self._beginnings_of(leaf, url))

    def is_proven(self, leaf: Leaf, url: str) -> bool:
        """Whether the values of a URL worked together in another pattern's path."""
        found = list(self._beginnings_of(leaf, url))
        return bool(found) and found[-1] in self.beginnings

    def surprise(self, leaf: Leaf, url: str) -> int:
        """How far a URL is from what is proven: 0 when each value is known to work.

        A value costs 1 when nothing is known of it, and `CONTRADICTION` when
        others work in its place.
        """
        return sum(
            self._surprise_of(key, name, text)
            for key, name, text in self._values_in(leaf, url)
        )

    def proven_values(self, shape: shapes.Shape, slot: shapes.Slot) -> list[str]:
        """What worked in the place of a slot, below other patterns of its prefix."""
        key = _key(shape[: shape.index(slot)], slot)
        return sorted(self.proven.get(key, ()))[:MAX_PROVEN]

    def _surprise_of(self, key: Any, name: str, text: str) -> int:
        known = self.proven.get(key)
        if known:
            return 0 if text in known else CONTRADICTION
        return 0 if text in self.proven.get(name, ()) else 1

    def _values_in(self, leaf: Leaf, url: str) -> Iterator[tuple[Any, str, str]]:
        shape, values = self._taken_apart(leaf, url)
        for place, part in enumerate(shape):
            if not isinstance(part, str):
                yield _key(shape[:place], part), part.name, values[part.name]

    def _beginnings_of(self, leaf: Leaf, url: str) -> Iterator[str]:
        shape, values = self._taken_apart(leaf, url)
        for place, part in enumerate(shape):
            if not isinstance(part, str):
                yield shapes.fill(shape[: place + 1], values)

    def _taken_apart(self, leaf: Leaf, url: str) -> tuple[shapes.Shape, dict[str, str]]:
        """The shape that a URL of a leaf has and its values; empty when it has none."""
        found = self.finder.find(url)
        if found is not None and found.leaf is leaf:
            for shape in leaf.shapes:
                if {slot.name for slot in shapes.slots(shape)} == set(found.values):
                    return shape, found.values
        return (), {}


def _key(before: shapes.Shape, slot: shapes.Slot) -> Any:
    """What tells a place in paths from others, whatever the other slots are called."""
    texts = tuple(part if isinstance(part, str) else "" for part in before)
    return texts, slot.name
