"""Tests of comparing who may see what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from yourlabs.smoke import access
from yourlabs.smoke.outcomes import Outcome, Result


def result(name: str, language: str | None = None, **statuses: int) -> Result:
    """A healthy pattern with its statuses by role."""
    return Result(
        name, f"{name}/", outcome=Outcome.OK, language=language, statuses=statuses
    )


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ({"user": 404}, {"user": 200}, ""),
        ({"user": 500}, {"user": 200}, ""),
        ({"user": 429}, {"user": 200}, ""),
        ({"user": 403, "staff": 200}, {"user": 403, "staff": 200}, ""),
        ({"user": 403, "staff": 200}, {"user": 200}, "became open to user"),
        ({"anonymous": 302, "user": 403}, {"anonymous": 200, "user": 200}, "anonymous"),
        ({"user": 403}, {"user": 405}, "became open to user"),
        ({"user": 200}, {"user": 403}, ""),
        ({"user": 403}, {"user": 404}, ""),
        ({"staff": 200}, {"user": 200, "staff": 200}, ""),
    ],
)
def test_what_opened_has_failed(
    tmp_path: Path, before: dict[str, int], after: dict[str, int], reason: str
) -> None:
    """A pattern has failed when a role is let in that was known not to be."""
    target = tmp_path / "access.json"
    access.check(str(target), [result("page", **before)])
    known = target.read_text()
    page = result("page", **after)

    access.check(str(target), [page])

    assert reason in page.reason
    assert (Outcome.FAILED if reason else Outcome.OK) is page.outcome
    assert not reason or known == target.read_text()


@pytest.mark.parametrize(
    ("before", "after", "has_opened"),
    [
        (("user", 403, False), ("user", 302, True), True),
        (("user", 403, False), ("user", 302, False), False),
        (("anonymous", 302, False), ("anonymous", 301, True), True),
        (("anonymous", 302, True), ("anonymous", 302, True), False),
        (("anonymous", 302, True), ("anonymous", 200, True), False),
        (("anonymous", 302, False), ("anonymous", 302, False), False),
    ],
)
def test_redirect_lets_in_unless_it_leads_to_a_login(
    tmp_path: Path,
    before: tuple[str, int, bool],
    after: tuple[str, int, bool],
    has_opened: bool,
) -> None:
    """A redirect to a page to log in refuses, and any other one lets in."""
    target = tmp_path / "access.json"
    pages = []
    for role, status, is_let_in in (before, after):
        page = result("page", **{role: status})
        page.let_in = {role} if is_let_in else set()
        pages.append(page)
        access.check(str(target), [page])

    assert [Outcome.OK, Outcome.FAILED if has_opened else Outcome.OK] == [
        page.outcome for page in pages
    ]


def test_run_over_a_part_keeps_the_rest(tmp_path: Path) -> None:
    """What a run did not see is kept, until a whole run does not find it."""
    target = tmp_path / "access.json"
    one, other = result("one", user=403, staff=200), result("other", "fr", user=403)
    access.check(str(target), [one, other])

    access.check(str(target), [result("one", user=403), result("third", user=200)])
    part = json.loads(target.read_text())
    access.check(str(target), [result("one"), result("third")], is_whole=True)
    whole = json.loads(target.read_text())

    assert {
        "one /one/": {"staff": 200, "user": 403},
        "other /other/ (fr)": {"user": 403},
        "third /third/": {"user": 200},
    } == part
    assert {"one /one/", "third /third/"} == set(whole)
    assert part["one /one/"] == whole["one /one/"]


def test_what_has_failed_keeps_its_own_reason(tmp_path: Path) -> None:
    """A failure is not explained anew by what became open."""
    target = tmp_path / "access.json"
    access.check(str(target), [result("page", user=403)])
    page = result("page", user=200)
    page.outcome, page.reason = Outcome.FAILED, "took 9 ms, more than 1"

    access.check(str(target), [page])

    assert "took 9 ms, more than 1" == page.reason


@pytest.mark.parametrize("content", ["[]", "no JSON", '{"page": 200}'])
def test_file_of_somebody_else_is_refused(tmp_path: Path, content: str) -> None:
    """A file that no run wrote is an error, and stays as it is."""
    target = tmp_path / "access.json"
    target.write_text(content)

    with pytest.raises(ValueError, match=r"access\.json|Expecting value"):
        access.check(str(target), [result("page", user=200)])

    assert content == target.read_text()
