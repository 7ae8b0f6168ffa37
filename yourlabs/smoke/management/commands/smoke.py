"""The command ``smoke``."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from yourlabs.smoke import access, memory, reports
from yourlabs.smoke.causes import untested
from yourlabs.smoke.guard import refusal
from yourlabs.smoke.isolation.guard import GUARD
from yourlabs.smoke.outcomes import Outcome, Result
from yourlabs.smoke.run import SmokeRun
from yourlabs.smoke.state import CouldNotRunError, Options

HEALTHY, FAILURES, COULD_NOT_RUN = 0, 1, 2
BAR = 30


class Command(BaseCommand):
    """Request every URL of the project; see the reference for the options."""

    help = "Request every URL of the project and say which are broken."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        add = parser.add_argument
        add("apps", nargs="*", metavar="app", help="Only the URLs of these apps.")
        add("--listed", action="store_true", help="Only what apps list in smoke.py.")
        add("--strict", action="store_true", help="Count doubtful as failed.")
        add("--production", action="store_true", help="Run with DEBUG off.")
        add("--format", choices=("text", "json"), default="text")
        add("--junit", metavar="FILE", help="Also write a JUnit XML report.")
        add("--access", metavar="FILE", help="Compare who may see what with FILE.")
        add(
            "--fail-on-template-vars",
            action="store_true",
            help="A template variable that is not found is a failure.",
        )
        add("--max-ms", type=float, help="A slower answer is a failure.")
        add("--max-queries", type=int, help="More queries are a failure.")
        add("--timeout", type=float, default=60.0, help="Seconds for one request.")
        add("--max-seconds", type=float, help="Seconds for the whole run.")
        add("--only", action="append", default=[], metavar="NAME_OR_ROUTE")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run, report, remember.

        Raises:
            CommandError: With return code 2 when the run is not possible, or tested
                nothing.
            SystemExit: With code 1 when something failed.
        """
        started = time.monotonic()
        text = refusal(is_production_allowed=options["production"])
        if text:
            raise CommandError(text, returncode=COULD_NOT_RUN)
        # A command that a program calls leaves it as it was; one of its own process
        # stays guarded, with the threads that views have started, to its end.
        is_final = bool(getattr(self, "_called_from_command_line", False))
        run = SmokeRun(_options(options, is_final=is_final), self._progress)
        with _own_stdout(self.stdout):
            try:
                results = run.run()
            except CouldNotRunError as error:
                raise CommandError(str(error), returncode=COULD_NOT_RUN) from error
            except Exception as error:
                if options["traceback"]:
                    raise
                text = f"The run itself broke: {type(error).__name__}: {error}"
                raise CommandError(text, returncode=COULD_NOT_RUN) from error
            finally:
                self._end_progress()
            with GUARD.trusted():
                self._finish(results, run, options, time.monotonic() - started)
        if options["format"] == "json":
            self.stdout.write(reports.as_json(results, run.notes))
        else:
            verbosity = options["verbosity"]
            self.stdout.write(reports.as_text(results, run.notes, verbosity=verbosity))
        told = untested(results)
        if told:
            raise CommandError(told, returncode=COULD_NOT_RUN)
        if any(result.outcome is Outcome.FAILED for result in results):
            sys.exit(FAILURES)

    def _finish(
        self,
        results: list[Result],
        run: SmokeRun,
        options: dict[str, Any],
        seconds: float,
    ) -> None:
        if options["strict"]:
            for result in results:
                if result.outcome is Outcome.DOUBTFUL:
                    result.outcome = Outcome.FAILED
        if options["fail_on_template_vars"]:
            _fail_on_variables(results)
        access.check_public(results, run.conf)
        is_part = options["apps"] or options["only"] or options["listed"]
        try:
            if options["access"]:
                access.check(options["access"], results, is_whole=not is_part)
            if options["junit"]:
                text = reports.as_junit(results, seconds)
                Path(options["junit"]).write_text(text, encoding="utf-8")
        except (OSError, ValueError) as error:
            raise CommandError(str(error), returncode=COULD_NOT_RUN) from error
        memory.log_failures(results, is_short=options["verbosity"] < 2)
        note = memory.remember(results, is_whole=not is_part)
        if note:
            run.notes.append(note)

    def _progress(self, done: int, total: int) -> None:
        if not self.stderr.isatty() or not total:
            return
        filled = BAR * done // total
        bar = "#" * filled + "." * (BAR - filled)
        self.stderr._out.write(f"\r[{bar}] {done}/{total}")  # type: ignore[attr-defined]
        self.stderr._out.flush()  # type: ignore[attr-defined]

    def _end_progress(self) -> None:
        if self.stderr.isatty():
            self.stderr._out.write("\r" + " " * (BAR + 20) + "\r")  # type: ignore[attr-defined]


def _fail_on_variables(results: list[Result]) -> None:
    for result in results:
        if result.missing_variables and result.outcome is Outcome.OK:
            several = ", ".join(result.missing_variables)
            result.outcome = Outcome.FAILED
            result.reason = f"template variables not found: {several}"


def _options(options: dict[str, Any], *, is_final: bool) -> Options:
    username = os.environ.get("SMOKE_TEST_USERNAME")
    password = os.environ.get("SMOKE_TEST_PASSWORD")
    return Options(
        apps=tuple(options["apps"]),
        is_listed_only=options["listed"],
        only=frozenset(options["only"]),
        max_ms=options["max_ms"],
        max_queries=options["max_queries"],
        timeout=options["timeout"] or None,
        max_seconds=math.inf if options["max_seconds"] == 0 else options["max_seconds"],
        has_all_roles=bool(options["access"]),
        is_final=is_final,
        credentials=(username, password) if username and password else None,
    )


@contextlib.contextmanager
def _own_stdout(stream: Any) -> Iterator[None]:
    """Send what anybody else writes to standard output to standard error.

    Log handlers and child processes of views would otherwise end up in the
    middle of a JSON report.
    """
    out = getattr(stream, "_out", stream)
    try:
        is_real = out is sys.stdout and out.fileno() == 1
    except (OSError, ValueError, AttributeError):
        is_real = False
    if not is_real:
        yield
        return
    out.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            out.flush()
        os.dup2(saved, 1)
        os.close(saved)
