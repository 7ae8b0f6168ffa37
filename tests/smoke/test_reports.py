"""Tests of the reports, the memory of failures and the command's options."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import xmlschema
from junitparser import JUnitXml

from tests.smoke import helpers
from yourlabs.smoke import reports
from yourlabs.smoke.outcomes import Outcome, Result

SCHEMA = Path(__file__).with_name("junit.xsd")


def rows(database: Path) -> list[tuple[str, str, int, int]]:
    """The remembered failures: route, role, status and count."""
    query = "SELECT pattern, role, status, count FROM yourlabs_smoke_failurl"
    with sqlite3.connect(database) as connection:
        found = connection.execute(query + " ORDER BY pattern").fetchall()
    connection.close()
    return found


def test_junit_file_is_read_by_others(
    whole_run: helpers.Finished, whole_folder: Path
) -> None:
    """The JUnit file is valid and a JUnit library counts what was found."""
    report = str(whole_folder / "report.xml")

    xmlschema.XMLSchema(str(SCHEMA)).validate(report)
    suites = JUnitXml.fromfile(report)
    summary = whole_run.report["summary"]
    assert summary["patterns"] == suites.tests
    assert summary["failed"] == suites.failures
    assert summary["skipped"] + summary["doubtful"] == suites.skipped


def test_failures_are_remembered_until_healthy(database: Path) -> None:
    """A failure is one row, which is deleted when healthy again."""
    defects = {"SMOKE_URLS": "tests.smoke.project.defects.urls"}

    helpers.smoke(database, "--only", "zero", "--only", "fine", **defects)

    assert rows(database) == [("zero/", "user", 500, 1)]
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


def test_missing_variables_are_in_the_text() -> None:
    """The text names each template variable that was not found, with a page of it."""
    several = [
        Result(name, f"{name}/", f"/{name}/", outcome=Outcome.OK, missing_variables=m)
        for name, m in (("a", ["x in a.html"]), ("b", ["x in a.html", "y"]), ("c", []))
    ]
    many = Result("d", "d/", "/d/", outcome=Outcome.OK)
    many.missing_variables = [f"z{number}" for number in range(30)]

    lines = reports.as_text(several, []).splitlines()
    more = reports.as_text([many], []).splitlines()
    quiet = reports.as_text(several, [], verbosity=0)

    assert [
        "template variables not found (2)",
        "  x in a.html: /a/ and 1 more",
        "  y: /b/",
    ] == lines[:3]
    assert "  and 10 more" == more[21]
    assert "variables" not in quiet


@pytest.mark.parametrize(("options", "is_whole"), [((), False), (("-v", "2"), True)])
def test_tracebacks_on_a_terminal(
    database: Path, options: tuple[str, ...], is_whole: bool
) -> None:
    """The report is enough; whoever wants to see the code asks for it."""
    done = helpers.smoke(database, "--listed", *options)

    assert "as listed failed" in done.stderr
    assert ("Traceback" in done.stderr) is is_whole
