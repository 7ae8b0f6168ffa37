"""Tests of what is remembered of failures, run by run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.test import override_settings

from yourlabs.smoke import memory
from yourlabs.smoke.outcomes import Outcome, Result

pytestmark = pytest.mark.usefixtures("installed", "db")
FAILED = Result(
    "shop:zero", "zero/", "/zero/", "user", status=500, outcome=Outcome.FAILED
)
CRASH = replace(FAILED, url="/zero/?q=crash", role="listed", is_listed=True)
SHOE = replace(CRASH, url="/zero/?q=shoe", status=200, outcome=Outcome.OK)
OTHER = Result("home", "", "/", "anonymous", status=200, outcome=Outcome.OK)


def remembered() -> list[tuple[str, str, int]]:
    """The pattern, role and count of each row."""
    from yourlabs.smoke.models import FailUrl

    rows = FailUrl.objects.order_by("pattern", "role")
    return [(row.pattern, row.role, row.count) for row in rows]


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ([FAILED], [("zero/", "user", 2)]),
        ([replace(FAILED, outcome=Outcome.OK)], []),
        ([replace(FAILED, outcome=Outcome.OK, role="anonymous")], []),
        ([replace(FAILED, outcome=Outcome.SKIPPED)], [("zero/", "user", 1)]),
        ([replace(FAILED, outcome=Outcome.DOUBTFUL)], [("zero/", "user", 1)]),
        ([SHOE], [("zero/", "user", 1)]),
        ([OTHER], [("zero/", "user", 1)]),
        (
            [replace(FAILED, role="staff", statuses={"user": 200, "staff": 500})],
            [("zero/", "staff", 1)],
        ),
        (
            [replace(FAILED, role="staff", statuses={"staff": 500})],
            [("zero/", "staff", 1), ("zero/", "user", 1)],
        ),
    ],
)
def test_second_run_changes_what_it_saw(
    second: list[Result], expected: list[tuple[str, str, int]]
) -> None:
    """A failure is counted, forgotten when healthy, and otherwise left alone."""
    memory.remember([FAILED])

    assert "" == memory.remember(second)
    assert expected == remembered()


@pytest.mark.parametrize("results", [[SHOE, CRASH], [CRASH, SHOE], [CRASH, CRASH]])
def test_failure_outweighs_a_healthy_url_of_its_pattern(results: list[Result]) -> None:
    """Of several listed URLs of one pattern the failing one is counted, once a run."""
    memory.remember(results)
    memory.remember(results)

    assert [("zero/", "listed", 2)] == remembered()


def test_pattern_that_is_gone_is_forgotten_by_a_whole_run() -> None:
    """Only a run over the whole project knows which patterns are not there any more."""
    memory.remember([FAILED, CRASH])

    memory.remember([OTHER])
    assert 2 == len(remembered())
    memory.remember([OTHER, replace(FAILED, outcome=Outcome.SKIPPED)], is_whole=True)
    assert [("zero/", "user", 1)] == remembered()


def test_texts_are_cut_at_64_kb() -> None:
    """Long texts are cut to whole characters, without what PostgreSQL refuses."""
    from yourlabs.smoke.models import FailUrl

    text = "\x00a" + "é" * 64 * 1024

    memory.remember([replace(FAILED, response_text=text, tags=["one", "two"])])

    row = FailUrl.objects.get()
    assert 64 * 1024 - 1 == len(row.response.encode())
    assert row.response.startswith("aéé")
    assert "one two" == row.tags
    assert "GET /zero/ as user" == str(row)


def test_project_without_the_app_is_told() -> None:
    """Without the app nothing is remembered, and the report says so."""
    with override_settings(INSTALLED_APPS=["yourlabs.runner"]):
        note = memory.remember([FAILED])

    assert "yourlabs.smoke is not in INSTALLED_APPS" in note


def test_other_trouble_is_no_reason_to_migrate(monkeypatch: pytest.MonkeyPatch) -> None:
    """A memory that cannot be written is told as it is, with no wrong advice."""

    def refuse(*args: object) -> None:
        raise OSError("The disk is full.")

    monkeypatch.setattr(memory, "_write", refuse)

    note = memory.remember([FAILED])

    assert "Failures are not remembered (OSError: The disk is full.)." == note
