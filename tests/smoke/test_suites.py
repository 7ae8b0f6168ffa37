"""Tests of the test case and of the pytest plugin, read by their own runners."""

from __future__ import annotations

import unittest
import uuid
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path
from junitparser import JUnitXml

from tests.smoke import helpers, inside
from yourlabs.smoke import testcases

DEFECTS = "tests.smoke.project.defects.urls"
TESTS = """
from tests.smoke.project.populate import populate
from yourlabs.smoke.testcases import SmokeTestCase


class EveryUrl(SmokeTestCase):
    smoke_apps = ("defects",)

    @classmethod
    def setUpTestData(cls):
        populate()


class Other(SmokeTestCase):
    smoke_apps = ("shop",)

    @classmethod
    def setUpTestData(cls):
        populate()
"""
DOUBLES = """
from django.http import HttpResponse
from django.urls import path

from tests.smoke.inside import log_in


def crash(request, number=0):
    return HttpResponse(1 / 0)


def guess(request, number):
    return HttpResponse(int(number, 3))


urlpatterns = [
    path("login/", log_in, name="login"),
    path("page/", crash),
    path("page/", log_in),
    path("guess/<str:number>/", guess),
]
"""
PLUGIN = """
import pytest


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    from tests.smoke.project.populate import populate

    with django_db_blocker.unblock():
        populate()
"""


def run_in(
    folder: Path, *arguments: str, urls: str = DEFECTS, **environment: str
) -> helpers.Finished:
    """Run ``python …`` on the project, its database empty, with modules of `folder`."""
    return helpers.run(
        *arguments,
        SMOKE_URLS=urls,
        SMOKE_DB=str(folder / "project.sqlite3"),
        PYTHONPATH=f"{helpers.ROOT}:{folder}",
        **environment,
    )


def run_plugin(
    folder: Path, *options: str, urls: str = DEFECTS, **environment: str
) -> helpers.Finished:
    """Run pytest with the plugin in `folder`."""
    plugins = ("yourlabs.smoke.pytest_plugin", "no:cacheprovider", "no:randomly")
    loaded = [option for plugin in plugins for option in ("-p", plugin)]
    where = (f"--rootdir={folder}", str(folder))
    arguments = ("-m", "pytest", *loaded, *options, *where)
    return run_in(folder, *arguments, urls=urls, **environment)


def test_test_case_has_a_subtest_a_pattern(tmp_path: Path) -> None:
    """Django's runner, in parallel, tells which pattern failed and why."""
    (tmp_path / "test_every_url.py").write_text(TESTS)

    done = run_in(tmp_path, "-m", "django", "test", "test_every_url", "--parallel", "2")

    assert "GET /zero/ as user: ZeroDivisionError: division by zero" in done.stderr
    assert "(pattern='undefined/', name='undefined')" in done.stderr
    assert "(pattern='fine/', name='fine')" not in done.stderr
    assert "Ran 3 tests" in done.stderr
    assert done.code == 1


class Shown(unittest.TestResult):
    """Keeps what became of each subtest, by its pattern."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: dict[str, str] = {}

    def addSubTest(self, test: Any, subtest: Any, error: Any) -> None:  # noqa: N802
        """Note a subtest that is over."""
        self.shown[subtest.params["pattern"]] = "failed" if error else "ok"

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802
        """Note what was skipped."""
        params = getattr(test, "params", {"pattern": "the whole test"})
        self.shown[params["pattern"]] = reason


@pytest.mark.usefixtures("installed")
@pytest.mark.django_db(databases="__all__")
@pytest.mark.parametrize(
    ("is_strict", "doubtful"),
    [
        (False, "ValueError: invalid literal for int() with base 10: 'a'"),
        (True, "failed"),
    ],
)
def test_test_case_can_be_strict(is_strict: bool, doubtful: str) -> None:
    """In one process each pattern is a subtest; doubtful ones fail when told to."""

    class EveryUrl(testcases.SmokeTestCase):
        smoke_strict = is_strict

    module: Any = ModuleType("urls_of_a_test")
    module.urlpatterns = [
        path("login/", inside.log_in, name="login"),
        path("guess/<str:ref>/", lambda request, ref: HttpResponse(int(ref))),
        path("crash/", lambda request: HttpResponse(1 / 0)),
    ]
    result = Shown()

    with override_settings(ROOT_URLCONF=module):
        EveryUrl("test_smoke").run(result)
        testcases.SmokeTestCase("test_smoke").run(result)

    assert {
        "login/": "ok",
        "guess/<str:ref>/": doubtful,
        "crash/": "failed",
        "the whole test": "Its subclasses do it.",
    }.items() <= result.shown.items()


def test_pytest_plugin_has_an_item_a_pattern(tmp_path: Path) -> None:
    """Pytest, in parallel, selects patterns by name and reports each of them."""
    (tmp_path / "conftest.py").write_text(PLUGIN)
    report = tmp_path / "report.xml"

    done = run_plugin(
        tmp_path, "-n", "2", "-k", "zero or home", f"--junit-xml={report}"
    )

    cases = {
        case.name: case.result for suite in JUnitXml.fromfile(report) for case in suite
    }
    failed = {name for name, result in cases.items() if result}
    assert failed == {"test_url[zero /zero/]"}, done.stdout
    assert "test_url[home /home/]" in cases
    assert "test_url[undefined /undefined/]" not in cases


def test_pytest_plugin_tells_patterns_of_one_name_apart(tmp_path: Path) -> None:
    """Of two patterns of one route the first fails though the second is shadowed."""
    (tmp_path / "doubles.py").write_text(DOUBLES)

    done = run_plugin(tmp_path, "--smoke-strict", "-rA", urls="doubles")

    lines = done.stdout.splitlines()
    seen = [line.split(" - ")[0] for line in lines if line.startswith("FAILED ")]
    assert 2 == len(seen), done.stdout
    assert "2 failed, 1 passed, 1 skipped" in lines[-1]
    assert "shadowed by page/" in done.stdout


def test_pytest_plugin_can_be_left_out(tmp_path: Path) -> None:
    """With ``--no-smoke`` the plugin collects nothing."""
    (tmp_path / "test_one.py").write_text("def test_one():\n    pass\n")

    done = run_plugin(tmp_path, "-q", "--no-smoke")

    assert "1 passed" in done.stdout


@pytest.mark.usefixtures("installed")
@pytest.mark.django_db(databases="__all__")
def test_test_case_that_tests_nothing_fails() -> None:
    """A suite is not green where a middleware answers for all views."""

    class EveryUrl(testcases.SmokeTestCase):
        pass

    module: Any = ModuleType("urls_of_a_test")
    module.urlpatterns = [path("page/", lambda request: HttpResponse())]
    result = unittest.TestResult()
    middleware = ["tests.smoke.test_causes.paused"]
    with override_settings(MIDDLEWARE=middleware, ROOT_URLCONF=module):
        EveryUrl("test_smoke").run(result)

    assert [] == result.errors
    assert 1 == len(result.failures)
    assert "Nothing was tested: " in result.failures[0][1]
    assert "maintenance" in result.failures[0][1]


OWN = """
import threading

import pytest
from django.contrib.sites.models import Site
from django.core.cache import cache
from django.db import connection, transaction


@pytest.mark.django_db(transaction=True)
def test_rows_are_committed():
    with transaction.atomic():
        Site.objects.create(domain="own.example.com", name="Own")
    seen = []

    def look():
        seen.append(Site.objects.filter(name="Own").count())
        connection.close()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [1]


@pytest.mark.django_db
def test_rows_are_undone():
    assert not Site.objects.filter(name="Own").exists()


def test_files_are_written(tmp_path):
    (tmp_path / "file.txt").write_text("x")
"""
ORDER = """

def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: "own" in item.nodeid)
"""


@pytest.mark.services
@pytest.mark.parametrize("driver", ["sqlite", "psycopg", "psycopg2", "pool"])
def test_tests_after_the_plugin_are_as_without_it(tmp_path: Path, driver: str) -> None:
    """A test of the project that commits for real passes after the run."""
    (tmp_path / "conftest.py").write_text(PLUGIN + ORDER)
    (tmp_path / "test_own.py").write_text(OWN)
    named = {}
    if driver != "sqlite":
        named = {"SMOKE_POSTGRES": f"smoke_{uuid.uuid4().hex[:8]}", "PGUSER": "root"}
        named |= {"SMOKE_DRIVER": driver, "PGHOST": "127.0.0.1"}

    done = run_plugin(tmp_path, "-k", "home or zero or own", "-v", **named)

    lines = [line.split("::")[-1] for line in done.stdout.splitlines()]
    passed = [line.split()[0] for line in lines if " PASSED" in line]
    assert {
        "test_rows_are_committed",
        "test_rows_are_undone",
        "test_files_are_written",
    } <= set(passed), done.stdout
    assert "test_url[home" in " ".join(passed)
    assert passed[0].startswith("test_url")
