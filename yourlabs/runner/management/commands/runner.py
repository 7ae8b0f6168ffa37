"""The command that says how chains fare, and steers them."""

from __future__ import annotations

import json
import re
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from yourlabs.runner.exceptions import RunnerError, UnknownChain
from yourlabs.runner.steer import control, health
from yourlabs.runner.steer.document import status
from yourlabs.runner.steer.reading import require
from yourlabs.runner.steer.table import details, lines

VERBS = ("status", "check", "wake", "pause", "resume", "silence", "unsilence", "forget")
"""What the command can do."""

UNKNOWN = 2
"""Exit code where there is no such chain, or where nothing can be said of one."""

UNITS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


def duration(text: str) -> timedelta:
    """Return a length of time from the command line, like ``90s`` or ``2h``."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([smhd]?)", text.strip(), re.ASCII)
    if found is None:
        msg = f"{text!r} is no length of time: expected a number and s, m, h or d"
        raise ArgumentTypeError(msg)
    return timedelta(seconds=float(found[1]) * UNITS[found[2]])


class Command(BaseCommand):
    """Say how chains fare, and steer them."""

    help = (
        "Says how chains fare, whichever processes run them, and steers them. check "
        "exits with 0 where all are healthy, 1 where one is not, 2 where that is "
        "unknown."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("verb", choices=VERBS, help="What to do.")
        parser.add_argument(
            "chains",
            nargs="*",
            metavar="CHAIN",
            help="Names of chains. None, for status and check: all.",
        )
        parser.add_argument(
            "--json", action="store_true", help="Print JSON, for a program."
        )
        parser.add_argument(
            "--for",
            type=duration,
            dest="length",
            metavar="2h",
            help="How long to pause or to silence. Default: until that is ended.",
        )
        parser.add_argument(
            "--reason", default="", metavar="TEXT", help="Why; told with the status."
        )
        parser.add_argument(
            "--wait",
            action="store_true",
            help="Return when the chain's owner has seen it; after wake, when that run "
            "has ended: with 1 if it failed, or if no owner lives.",
        )
        parser.add_argument(
            "--watch",
            action="store_true",
            help="Print the status again every two seconds.",
        )
        parser.add_argument(
            "--strict",
            action="store_true",
            help="For check: a task that fails is unhealthy, too.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what is asked, and exit with its code."""
        verb, chains = options["verb"], options["chains"]
        if verb not in ("status", "check") and not chains:
            raise CommandError(f"{verb} needs the name of a chain; status has them.")
        try:
            for name in chains:
                require(name)
            act: Callable[..., int] = getattr(self, f"_{verb}", self._steer)
            code = act(**options)
        except UnknownChain as exc:
            raise CommandError(exc, returncode=UNKNOWN) from exc
        except (RunnerError, ImproperlyConfigured, ValueError) as exc:
            raise CommandError(exc) from exc
        if code:
            sys.exit(code)

    def _status(self, **options: Any) -> int:
        while True:
            text = self._status_text(options["chains"], as_json=options["json"])
            if not options["watch"]:
                self.stdout.write(text)
                return 0
            # The screen is cleared; a person ends it with Ctrl-C.
            self.stdout.write(f"\x1b[2J\x1b[H{text}")
            self.stdout.flush()
            try:
                time.sleep(2)
            except KeyboardInterrupt:
                return 0

    def _status_text(self, chains: list[str], *, as_json: bool) -> str:
        found = status()
        if chains:
            found["chains"] = [c for c in found["chains"] if c["name"] in chains]
        if as_json:
            return json.dumps(found, indent=2)
        text = "\n".join(lines(found, self.style))
        if len(found["chains"]) == 1 and chains:
            text += "\n\n" + "\n".join(details(found["chains"][0], found["at"]))
        return text

    def _check(self, **options: Any) -> int:
        found = health.check(options["chains"], strict=options["strict"])
        if options["json"]:
            values = {n: {"healthy": v[0], "reason": v[1]} for n, v in found.items()}
            self.stdout.write(json.dumps(values, indent=2))
        for name, (is_healthy, reason) in found.items():
            word = {True: "healthy", False: "unhealthy", None: "unknown"}[is_healthy]
            style = self.style.SUCCESS if is_healthy else self.style.ERROR
            why = f": {reason}" if reason else ""
            self._say(f"{name}: {style(word)}{why}", options)
        verdicts = {is_healthy for is_healthy, _ in found.values()}
        return 1 if False in verdicts else UNKNOWN if None in verdicts else 0

    def _steer(self, **options: Any) -> int:
        verb, reason = options["verb"], options["reason"]
        numbers = {}
        for name in options["chains"]:
            if verb in ("pause", "silence"):
                getattr(control, verb)(name, options["length"], reason)
            else:
                numbers[name] = getattr(control, verb)(name, reason=reason)
            self._say(f"{name}: {verb} is asked.", options)
        if not options["wait"]:
            return 0
        return max(self._wait(n, numbers.get(n), options) for n in options["chains"])

    def _wait(self, name: str, number: int | None, options: dict[str, Any]) -> int:
        result = control.wait_until_seen(name, number)
        if result is None:
            words = "nobody runs it now; the next owner will see it."
        elif number is None:
            words = "seen."
        else:
            words = "it has run." if result else "it failed."
        self._say(f"{name}: {words}", options)
        return 0 if result or number is None else 1

    def _forget(self, **options: Any) -> int:
        for name in options["chains"]:
            control.forget(name)
            self._say(f"{name}: forgotten.", options)
        return 0

    def _say(self, text: str, options: dict[str, Any]) -> None:
        if not options["json"]:
            self.stdout.write(text)
