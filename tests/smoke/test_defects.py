"""Tests of finding defects of many kinds, and no others."""

from __future__ import annotations

import pytest

from tests.smoke.helpers import Finished

DEFECTS = (
    "admin:defects_badcolumn_changelist",
    "admin:defects_badsearch_changelist",
    "admin:defects_badfilter_changelist",
    "admin:defects_badordering_changelist",
    "admin:defects_badform_add",
    "admin:defects_badform_change",
    "admin:defects_badfacets_changelist",
    "admin:defects_badtext_changelist",
    "admin:defects_badtext_change",
    "admin:defects_badtext_delete",
    "admin:defects_badtext_history",
    "zero",
    "undefined",
    "imports",
    "nothing",
    "no-template",
    "bad-redirect",
    "bad-field",
    "bad-sql",
    "unavailable",
    "exits",
    "recursion",
    "signature",
    "stream",
    "asynchronous",
    "sync-query",
    "anonymous",
    "profile",
    "chief",
    "picture",
    "no-queryset",
    "bad-fields",
    "feed",
    "permission-view",
    "template-tag",
    "template-filter",
    "template-url",
    "template-include",
    "template-file",
    "serializer-list",
    "serializer-detail",
    "source-list",
    "source-detail",
    "permission-detail",
    "paged-list",
)


@pytest.mark.parametrize("name", DEFECTS)
def test_defect_is_found(defects_run: Finished, name: str) -> None:
    """A planted defect is a failure."""
    row = defects_run.by_name()[name]

    assert row["outcome"] == "failed", row


def test_defect_of_one_language_is_found(defects_run: Finished) -> None:
    """A view that fails in one language is healthy in the other."""
    rows = [row for row in defects_run.report["results"] if row["name"] == "french"]

    assert [(row["url"], row["outcome"]) for row in rows] == [
        ("/en/french/", "ok"),
        ("/fr/french/", "failed"),
    ]


def test_neighbours_are_healthy(defects_run: Finished) -> None:
    """No pattern without a defect is accused."""
    accused = {
        name
        for name, row in defects_run.by_name().items()
        if row["outcome"] in ("failed", "doubtful")
    }

    assert accused == set(DEFECTS)
