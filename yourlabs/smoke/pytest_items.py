"""The test that the pytest plugin collects once a URL pattern."""

from __future__ import annotations

from typing import Any

import pytest

from yourlabs.smoke.discovery import Leaf, iter_leaves
from yourlabs.smoke.outcomes import Outcome, Result
from yourlabs.smoke.testcases import failure_text

pytestmark = pytest.mark.django_db(databases="__all__")


def result_name(name: str, pattern: str, language: str | None) -> str:
    """A name that tells a pattern from all others, for items and results."""
    parts = [language or "", name, f"/{pattern}"]
    return " ".join(part for part in parts if part)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one item a leaf of the resolver."""
    leaves = list(iter_leaves())
    ids = [result_name(leaf.name, leaf.pattern, leaf.language) for leaf in leaves]
    # Patterns may be the same by name and route; only their order tells them apart.
    places = [ids[:position].count(one) for position, one in enumerate(ids)]
    pairs = list(zip(leaves, places, strict=True))
    metafunc.parametrize(("smoke_leaf", "smoke_place"), pairs, ids=ids)


def test_url(
    smoke_leaf: Leaf,
    smoke_place: int,
    smoke_results: dict[str, list[Result]],
    pytestconfig: Any,
) -> None:
    """The URL pattern is healthy."""
    key = result_name(smoke_leaf.name, smoke_leaf.pattern, smoke_leaf.language)
    result = smoke_results[key][smoke_place]
    is_strict = pytestconfig.getoption("--smoke-strict")
    is_doubtful = result.outcome is Outcome.DOUBTFUL
    if result.outcome is Outcome.FAILED or (is_strict and is_doubtful):
        pytest.fail(failure_text(result), pytrace=False)
    if result.outcome is not Outcome.OK:
        pytest.skip(result.reason)
