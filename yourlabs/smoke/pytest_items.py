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
    metafunc.parametrize("smoke_leaf", leaves, ids=ids)


def test_url(
    smoke_leaf: Leaf, smoke_results: dict[str, Result], pytestconfig: Any
) -> None:
    """The URL pattern is healthy."""
    key = result_name(smoke_leaf.name, smoke_leaf.pattern, smoke_leaf.language)
    result = smoke_results[key]
    is_strict = pytestconfig.getoption("--smoke-strict")
    is_doubtful = result.outcome is Outcome.DOUBTFUL
    if result.outcome is Outcome.FAILED or (is_strict and is_doubtful):
        pytest.fail(failure_text(result), pytrace=False)
    if result.outcome is not Outcome.OK:
        pytest.skip(result.reason)
