"""Run the smoke tests in the process of the tests, on patterns of a test's own."""

from __future__ import annotations

from io import StringIO
from types import ModuleType
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.core.management import CommandError, call_command
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path

from tests.smoke.helpers import Finished
from yourlabs.smoke.outcomes import Result
from yourlabs.smoke.run import SmokeRun
from yourlabs.smoke.state import Options


class Terminal(StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


def command(*arguments: str, stderr: StringIO | None = None) -> Finished:
    """Run ``manage.py smoke`` on the installed project."""
    out, err, code = StringIO(), stderr or StringIO(), 0
    try:
        call_command("smoke", *arguments, stdout=out, stderr=err)
    except SystemExit as error:
        code = int(error.code or 0)
    except CommandError as error:
        code = error.returncode
        err.write(str(error))
    return Finished(code, out.getvalue(), err.getvalue())


@login_not_required
def log_in(request: Any) -> HttpResponse:
    """The page where people are sent to."""
    return HttpResponse()


def judge(urlpatterns: list[Any], **options: Any) -> dict[str, Result]:
    """Request some patterns in the installed project; their results, by name.

    Args:
        urlpatterns: What the root of the project has beside a page to log in.
        options: Those of `Options`.
    """
    return {result.name: result for result in results_of(urlpatterns, **options)}


def results_of(urlpatterns: list[Any], **options: Any) -> list[Result]:
    """Do what `judge` does; several results may have one name."""
    module: Any = ModuleType("urls_of_a_test")
    module.urlpatterns = [path("login/", log_in, name="login"), *urlpatterns]
    with override_settings(ROOT_URLCONF=module):
        found = SmokeRun(Options(**options)).run()
    return [result for result in found if not result.is_listed]
