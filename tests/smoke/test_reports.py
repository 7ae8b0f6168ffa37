"""Tests of the reports, the memory of failures and the command's options."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
import xmlschema
from junitparser import JUnitXml

from tests.smoke import helpers

SCHEMA = Path(__file__).with_name("junit.xsd")


def rows(database: Path) -> list[tuple[str, str, int, int]]:
    """The remembered failures: route, role, status and count."""
    query = "SELECT pattern, role, status, count FROM yourlabs_smoke_failurl"
    with sqlite3.connect(database) as connection:
        found = connection.execute(query + " ORDER BY pattern").fetchall()
    connection.close()
    return found


def test_junit_file_is_read_by_others(database: Path, tmp_path: Path) -> None:
    """The JUnit file is valid and a JUnit library counts what was found."""
    target = tmp_path / "report.xml"

    done = helpers.smoke(
        database, "shop", "--junit", str(target), "--format", "json", "--only", "x"
    )
    done = helpers.smoke(database, "shop", "--junit", str(target), "--format", "json")

    xmlschema.XMLSchema(str(SCHEMA)).validate(str(target))
    suites = JUnitXml.fromfile(str(target))
    summary = done.report["summary"]
    assert summary["patterns"] == suites.tests
    assert summary["failed"] == suites.failures
    assert summary["skipped"] + summary["doubtful"] == suites.skipped


def test_failures_are_remembered_until_healthy(database: Path) -> None:
    """A failure is one row that is counted, and deleted when healthy again."""
    arguments = ("--only", "zero", "--only", "fine")
    defects = {"SMOKE_URLS": "tests.smoke.project.defects.urls"}

    helpers.smoke(database, *arguments, **defects)
    helpers.smoke(database, *arguments, **defects)

    assert rows(database) == [("zero/", "user", 500, 2)]
    helpers.smoke(database, "--only", "zero", SMOKE_HEALED="1", **defects)
    assert rows(database) == []


def test_missing_table_of_failures_is_told(database: Path) -> None:
    """Without its own table a run still reports, and says what to do."""
    with sqlite3.connect(database) as connection:
        connection.execute("DROP TABLE yourlabs_smoke_failurl")
    connection.close()

    done = helpers.smoke(database, "--only", "shop:missing", "--format", "json")

    assert done.code == 1
    assert "migrate yourlabs_smoke" in done.report["summary"]["notes"][0]


def test_healthy_run_ends_with_0(database: Path) -> None:
    """A run without failures ends with 0."""
    assert helpers.smoke(database, "--only", "home").code == 0


def test_strict_counts_doubtful(database: Path) -> None:
    """With ``--strict`` what is doubtful has failed."""
    arguments = ("--only", "shop:ghost", "--format", "json")

    assert helpers.smoke(database, *arguments).code == 0
    assert helpers.smoke(database, *arguments, "--strict").code == 1


@pytest.mark.parametrize(
    ("option", "reason"),
    [("--max-queries=5", "queries, more than 5"), ("--max-ms=0", "ms, more than 0")],
)
def test_limits_make_failures(database: Path, option: str, reason: str) -> None:
    """An answer over a limit is a failure that says by how much."""
    done = helpers.smoke(database, "--only", "shop:many", "--format", "json", option)

    assert done.code == 1
    assert reason in done.by_name()["shop:many"]["reason"]


def test_listed_only(database: Path) -> None:
    """With ``--listed`` only what apps list is requested."""
    done = helpers.smoke(database, "--listed", "--format", "json")

    assert [row["url"] for row in done.report["results"]] == [
        "/search/?q=shoe",
        "/staff/",
        "/search/?q=crash",
    ]


def test_apps_limit_what_is_requested(database: Path) -> None:
    """With the name of an app only its views and admin pages are requested."""
    done = helpers.smoke(database, "people", "--format", "json")

    assert {row["name"].rsplit("_", 1)[0] for row in done.report["results"]} == {
        "admin:people_person",
        "",
    }


def test_access_file_fails_when_something_opens(database: Path, tmp_path: Path) -> None:
    """A second run fails where a weaker role is let in than before."""
    target = tmp_path / "access.json"
    names = ("--only", "shop:staff", "--only", "home")
    arguments = (*names, "--access", str(target), "--format", "json")

    assert helpers.smoke(database, *arguments).code == 0
    assert helpers.smoke(database, *arguments).code == 0
    known = json.loads(target.read_text())
    assert known["shop:staff /staff/"]["superuser"] == 200
    known["shop:staff /staff/"]["staff"] = 302
    target.write_text(json.dumps(known))
    done = helpers.smoke(database, *arguments)

    assert done.code == 1
    assert done.by_name()["shop:staff"]["reason"] == "became open to staff"
    assert json.loads(target.read_text()) == known


def test_login_through_the_own_form(database: Path) -> None:
    """With credentials the site's form logs in, and nothing of it stays."""
    before = helpers.digests(database)

    done = helpers.smoke(
        database,
        "--only",
        "shop:purchase",
        "--format",
        "json",
        SMOKE_TEST_USERNAME="chief@example.com",
        SMOKE_TEST_PASSWORD="secret",
    )

    assert done.report["summary"]["notes"] == []
    assert done.by_name()["shop:purchase"]["outcome"] == "ok"
    assert before == helpers.digests(database)


def test_wrong_credentials_are_told(database: Path) -> None:
    """Credentials that no form takes are a note in the report."""
    done = helpers.smoke(
        database,
        "--only",
        "home",
        "--format",
        "json",
        SMOKE_TEST_USERNAME="nobody@example.com",
        SMOKE_TEST_PASSWORD="wrong",
    )

    assert "SMOKE_TEST_USERNAME" in done.report["summary"]["notes"][0]


def test_text_report_ends_with_a_summary(database: Path) -> None:
    """The report for people names the slowest and ends with the counts."""
    done = helpers.smoke(database, "--only", "home", "--only", "shop:missing")

    lines = done.stdout.strip().splitlines()
    assert "slowest" in lines
    assert lines[-1] == "2 patterns: 1 ok, 1 failed, 0 doubtful, 0 skipped"
