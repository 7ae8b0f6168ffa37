"""The command that runs a chain in a process of its own."""

from __future__ import annotations

import math
import sys
from argparse import ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from yourlabs.runner.chain.command import TAKEOVER_TIMEOUT, Runner
from yourlabs.runner.exceptions import RunnerError, TakeOverTimeout

GAVE_UP = 75
"""Exit code when the owner did not let go in time: try again later (EX_TEMPFAIL)."""


def seconds(text: str) -> float:
    """Return a number of seconds from the command line."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < timedelta.max.total_seconds():
        msg = f"{text!r} is no number of seconds"
        raise ArgumentTypeError(msg)
    return value


class Command(BaseCommand):
    """Run functions for ever, one after the other."""

    help = (
        "Runs functions for ever, in order, with a cooldown after each. Started again "
        "for the same functions, it takes over: the process before finishes its "
        "current function and ends. SIGTERM or Ctrl-C ends it after the current "
        "function, a second one at once."
    )
    requires_system_checks: list[str] = []
    leaving = False
    """The process ends with the command."""

    def run_from_argv(self, argv: list[str]) -> None:
        """Run the command as the whole work of this process."""
        self.leaving = True
        super().run_from_argv(argv)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "functions",
            nargs="+",
            metavar="module.function",
            help="Dotted path of a function that is called without arguments.",
        )
        parser.add_argument(
            "--name",
            help="Name of the chain and its pidfile. Default: the functions' names "
            "joined by '_'.",
        )
        parser.add_argument(
            "--no-killconcurrent",
            action="store_false",
            dest="killconcurrent",
            help="When another process runs the chain, say which and exit with 1 "
            "instead of taking over.",
        )
        parser.add_argument(
            "--takeover-timeout",
            type=seconds,
            default=TAKEOVER_TIMEOUT.total_seconds(),
            metavar="SECONDS",
            help="How long to wait for the other process to finish its current "
            "function; then exit with 75. Nothing is killed. Default: %(default)g.",
        )
        parser.add_argument(
            "--once",
            action="store_true",
            help="Run each function once, without cooldowns; exit with 1 when one "
            "failed.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the chain until it ends, and exit with its code."""
        try:
            code = Runner(
                options["functions"],
                name=options["name"],
                killconcurrent=options["killconcurrent"],
                takeover_timeout=options["takeover_timeout"],
                once=options["once"],
            ).run(leaving=self.leaving)
        except TakeOverTimeout as exc:
            raise CommandError(exc, returncode=GAVE_UP) from exc
        except (RunnerError, ImproperlyConfigured) as exc:
            raise CommandError(exc) from exc
        if code:
            sys.exit(code)
