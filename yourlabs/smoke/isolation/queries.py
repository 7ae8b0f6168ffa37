"""Keep what one request asks of the databases."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from yourlabs.smoke.isolation.guard import Refusal

_CHANGES = ("insert", "update", "delete", "replace", "create", "drop", "alter")
_INSERT = re.compile(
    r"\s*(?:insert|replace)\b[^(]*?\binto\s+[\"`\[]?(?:\w+[\"`\]]?\.[\"`\[]?)?(\w+)",
    re.I,
)


class QueryRecorder:
    """Keep the queries of one request."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.has_changed = False
        self.is_counting = False
        self.written: set[str] = set()
        """The tables that rows were inserted into."""

        self.refused: list[Refusal] = []
        """What was refused to the request."""

    def __call__(
        self,
        execute: Callable[..., Any],
        sql: Any,
        params: Any,
        many: bool,
        context: Any,
    ) -> Any:
        """Run a query, and note it."""
        text = sql if isinstance(sql, str) else str(sql)
        if self.is_counting:
            self.texts.append(text)
        is_change = text.lstrip().lower().startswith(_CHANGES)
        self.has_changed = self.has_changed or is_change
        if inserted := _INSERT.match(text):
            self.written.add(inserted[1])
        return execute(sql, params, many, context)

    def largest_group(self) -> tuple[int, str]:
        """How often the most frequent query ran, and the beginning of its text."""
        ((text, count),) = Counter(self.texts).most_common(1) or [("", 0)]
        return count, text[:1000]
