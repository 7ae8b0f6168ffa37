"""What one run knows of a project, and the URLs it thinks of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db import models

from yourlabs.smoke import rows
from yourlabs.smoke.discovery import Leaf, PathFinder
from yourlabs.smoke.introspection import ViewFacts, facts_of


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
