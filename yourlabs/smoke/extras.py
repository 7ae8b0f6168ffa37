"""More query strings for the admin's changelists."""

from __future__ import annotations

from typing import Any

MAX_FILTERS = 12


def changelist_queries(response: Any) -> list[str]:
    """The query strings worth trying on a changelist that was just shown.

    Args:
        response: The response of a changelist view; its changelist is read, so
            the database must still be as the view left it.
    """
    changelist = (getattr(response, "context_data", None) or {}).get("cl")
    if changelist is None:
        return []
    queries = ["?q=a", "?o=1", "?_facets=True"]
    for spec in list(getattr(changelist, "filter_specs", ()))[:MAX_FILTERS]:
        choices = list(spec.choices(changelist))
        for choice in choices[1:]:
            query = choice.get("query_string")
            if query and not choice.get("selected"):
                queries.append(str(query))
                break
    return queries
