"""Tests of the URLs that apps list themselves."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings

from yourlabs.smoke.outcomes import Outcome, Result
from yourlabs.smoke.run import SmokeRun
from yourlabs.smoke.state import Options

pytestmark = pytest.mark.usefixtures("rows")
Judge = Callable[..., list[Result]]
LIST = """
class Smoke:
    def get_urls(self):
        return {urls}
"""
CLIENT = """
    def get_client(self):
        from django.contrib.auth import get_user_model
        from django.test import Client

        client = Client()
        client.force_login(get_user_model().objects.get(is_superuser=True))
        return client
"""


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """A function that requests what an app with a given ``smoke.py`` lists."""
    monkeypatch.syspath_prepend(tmp_path)

    def judge(source: str, **changed: Any) -> list[Result]:
        name = f"listing_{tmp_path.name}".lower()
        app = tmp_path / name
        app.mkdir()
        (app / "__init__.py").touch()
        (app / "smoke.py").write_text(source)
        importlib.invalidate_caches()
        apps = [*settings.INSTALLED_APPS, name]
        with override_settings(INSTALLED_APPS=apps, **changed):
            return SmokeRun(Options(apps=(name,), is_listed_only=True)).run()

    return judge


@pytest.mark.parametrize(
    ("url", "outcome", "status", "reason"),
    [
        ("/search/?q=shoe", Outcome.OK, 200, ""),
        ("/post/", Outcome.OK, 405, ""),
        ("shop:search", Outcome.OK, 200, ""),
        ("/search/?q=crash", Outcome.FAILED, 500, "RuntimeError: The search crashed."),
        ("/nowhere/", Outcome.FAILED, 404, "answered 404"),
        ("/gone/", Outcome.OK, 410, ""),
        ("/excluded/", Outcome.SKIPPED, None, "excluded"),
        ("shop:nothing", Outcome.FAILED, None, "'shop:nothing' is neither a path nor"),
    ],
)
def test_listed_url_is_judged_as_it_stands(
    judge: Judge, url: str, outcome: Outcome, status: int | None, reason: str
) -> None:
    """A listed URL is healthy below 400, with 405, and as expected."""
    (found,) = judge(LIST.format(urls=[url]) + CLIENT)

    assert (outcome, status) == (found.outcome, found.status)
    assert found.reason.startswith(reason)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("1 / 0", "could not be read: ZeroDivisionError"),
        (LIST.format(urls="missing"), "could not be read: NameError"),
        (LIST.format(urls="None"), "could not be read: TypeError"),
    ],
)
def test_list_that_cannot_be_read_is_a_failure(
    judge: Judge, source: str, reason: str
) -> None:
    """A list that raises is one failure, and does not end the run."""
    (found,) = judge(source)

    assert (Outcome.FAILED, "listed") == (found.outcome, found.role)
    assert found.pattern.endswith(".smoke")
    assert reason in found.reason


def test_module_without_a_list_lists_nothing(judge: Judge) -> None:
    """A module ``smoke.py`` of another purpose is left alone."""
    assert [] == judge("Smoke = None")


def test_list_without_a_client_is_asked_anonymously(judge: Judge) -> None:
    """Without ``get_client`` the URLs are requested as nobody."""
    (found,) = judge(LIST.format(urls=["/members/"]))

    assert (Outcome.OK, 302) == (found.outcome, found.status)


def test_client_that_cannot_be_made_is_a_failure(judge: Judge) -> None:
    """A ``get_client`` that raises fails the URLs of its list, and says why."""
    client = "    def get_client(self):\n        raise RuntimeError('nobody')\n"

    (found,) = judge(LIST.format(urls=["/search/"]) + client)

    assert (Outcome.FAILED, None) == (found.outcome, found.status)
    assert "RuntimeError: nobody" == found.reason
    assert "get_client" in found.traceback
