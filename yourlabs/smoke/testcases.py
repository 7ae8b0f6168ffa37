"""A test case with one subtest a URL pattern, for a project's own test suite."""

from __future__ import annotations

from typing import ClassVar

from django.test import TestCase

from yourlabs.smoke.outcomes import Outcome, Result
from yourlabs.smoke.run import Options, SmokeRun


class SmokeTestCase(TestCase):
    """Requests every URL of the project, on the rows of the test.

    Subclass it in a test module; give it rows with ``fixtures`` or
    ``setUpTestData``. Patterns that are skipped or doubtful do not fail.
    """

    smoke_apps: ClassVar[tuple[str, ...]] = ()
    """Only the URLs of these apps; empty means the whole project."""

    smoke_strict: ClassVar[bool] = False
    """Whether doubtful patterns fail too."""

    databases = "__all__"

    def test_smoke(self) -> None:
        """Every URL pattern of the project is healthy."""
        results = SmokeRun(Options(apps=tuple(self.smoke_apps))).run()
        for result in results:
            name = f"{result.language or ''} {result.pattern}".strip()
            with self.subTest(pattern=name, name=result.name):
                self._judge(result)

    def _judge(self, result: Result) -> None:
        is_strict = self.smoke_strict and result.outcome is Outcome.DOUBTFUL
        if result.outcome is Outcome.FAILED or is_strict:
            self.fail(failure_text(result))
        if result.outcome is not Outcome.OK:
            self.skipTest(result.reason)


def failure_text(result: Result) -> str:
    """What a failed test says: the URL, who asked, the reason, the traceback."""
    where = f"{result.method} {result.url or result.pattern} as {result.role}"
    return f"{where}: {result.reason}\n{result.traceback}".rstrip()
