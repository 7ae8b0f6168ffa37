"""A test case with one subtest a URL pattern, for a project's own test suite."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar
from unittest import SkipTest
from unittest.case import _SubTest  # type: ignore[attr-defined]

from django.test import TestCase

from yourlabs.smoke.causes import untested
from yourlabs.smoke.outcomes import Outcome, Result
from yourlabs.smoke.run import SmokeRun
from yourlabs.smoke.state import Options


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
        if type(self) is SmokeTestCase and SmokeTestCase.__subclasses__():
            # A module that subclasses it also imports it, so it is found twice.
            self.skipTest("Its subclasses do it.")
        results = SmokeRun(Options(apps=tuple(self.smoke_apps))).run()
        if told := untested(results):
            self.fail(told)
        for result in results:
            name = f"{result.language or ''} {result.pattern}".strip()
            with self._part(pattern=name, name=result.name):
                self._judge(result)

    @contextlib.contextmanager
    def _part(self, **names: str) -> Iterator[None]:
        """A subtest whose failure can be sent to the main process.

        Django's parallel runner pickles failures, and a traceback cannot be
        pickled without one more package. What matters is in the message.
        """
        outcome: Any = getattr(self, "_outcome", None)
        report: Any = getattr(outcome, "result", None)
        if type(report).__name__ != "RemoteTestResult":
            with self.subTest(**names):
                yield
            return
        part: Any = _SubTest(self, None, names)
        try:
            yield
        except SkipTest as skipped:
            report.addSkip(part, str(skipped))
        except self.failureException as error:
            outcome.success = False
            bare = type(error)(*error.args)
            report.addSubTest(self, part, (type(bare), bare, None))

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
