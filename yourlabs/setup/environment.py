"""The environment of a project: variables, files named by variables, ``.env``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

MAX_FILE_SIZE = 1024 * 1024
"""Bytes read from a file named by a variable: more is no setting."""

TRUE = frozenset({"1", "true", "yes", "on", "y", "t"})
FALSE = frozenset({"0", "false", "no", "off", "n", "f"})
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class Invalid(ValueError):
    """A value that cannot be used. The message never holds any of it."""


class Value(NamedTuple):
    """The text of a variable, and where it is from."""

    text: str

    source: str
    """The Python expression that gives the same text without this library."""


class Environment:
    """Variables by name, of the process first, of a ``.env`` file second.

    A variable is also read from the file that ``NAME_FILE`` names. A variable that
    is set in the environment, if only to nothing, hides what ``.env`` says of it.
    Nothing is written to ``os.environ``. Not changed after it is made, so safe to
    share between threads.

    Args:
        variables: Those of the process, ``os.environ`` when None.
        dotenv: The path of the ``.env`` file. It need not exist.
    """

    def __init__(
        self, dotenv: Path, *, variables: Mapping[str, str] | None = None
    ) -> None:
        self.dotenv = dotenv
        self.problem: str | None = None
        """What is wrong with the ``.env`` file, or None."""
        self._variables = os.environ if variables is None else variables
        self._file = self._read_dotenv()

    def get(self, name: str) -> Value | None:
        """Return the value of a variable, None when it is unset or empty.

        Raises:
            Invalid: When both ``NAME`` and ``NAME_FILE`` are set, or the file that
                ``NAME_FILE`` names cannot be read.
        """
        indirect = f"{name}_FILE"
        for layer, source in (
            (self._variables, "os.environ"),
            (
                self._file,
                f"parse_dotenv(Path({str(self.dotenv)!r}).read_text('utf-8-sig'))[0]",
            ),
        ):
            if name not in layer and indirect not in layer:
                continue
            text, path = layer.get(name, "").strip(), layer.get(indirect, "").strip()
            if text and path:
                raise Invalid(f"{indirect} is set as well, set only one of the two")
            if path:
                return _read(path, indirect)
            return Value(text, f"{source}[{name!r}].strip()") if text else None
        return None

    def _read_dotenv(self) -> Mapping[str, str]:
        # A folder called .env is somebody's virtual environment.
        if not self.dotenv.is_file():
            return {}
        try:
            values, bad_lines = parse_dotenv(self.dotenv.read_text("utf-8-sig"))
        except OSError as error:
            self.problem = f"cannot be read: {error.strerror}"
        except UnicodeDecodeError:
            self.problem = "cannot be read: it is not UTF-8"
        else:
            if bad_lines:
                lines = ", ".join(map(str, bad_lines))
                self.problem = f"expected NAME=value on line {lines}"
            return values
        return {}


def _read(path: str, indirect: str) -> Value:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(MAX_FILE_SIZE + 1)
    except (OSError, ValueError) as error:
        # Neither the path nor str(error), which holds it: a password that was put
        # into the wrong variable would be shown.
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise Invalid(f"the file that {indirect} names: {reason}") from None
    if len(text) > MAX_FILE_SIZE:
        raise Invalid(f"the file that {indirect} names is larger than 1 MiB")
    if not text.strip():
        raise Invalid(f"the file that {indirect} names is empty")
    return Value(text.strip(), f"Path({path!r}).read_text('utf-8').strip()")


def parse_dotenv(text: str) -> tuple[dict[str, str], list[int]]:
    """Return the variables of a ``.env`` file and the numbers of its bad lines.

    A line is ``NAME=value``, with or without ``export`` before it. A value in double
    quotes may hold ``\\n``, ``\\"``, ``\\\\`` and ``\\$``; one in single quotes is
    taken as it is; one without quotes ends before `` #``. Nothing is expanded.
    """
    # Self-contained, because ``--freeze`` copies this function.
    name = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*=(.*)")
    quoted = re.compile(r"""\s*(?:"((?:\\.|[^"\\])*)"|'([^']*)')\s*(?:\#.*)?""")
    escapes = {"n": "\n", "r": "\r", "t": "\t"}
    values: dict[str, str] = {}
    bad_lines = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = name.fullmatch(line.rstrip("\r"))
        if match is None:
            bad_lines.append(number)
            continue
        raw = match[2]
        if raw.lstrip()[:1] in ("'", '"'):
            found = quoted.fullmatch(raw)
            if found is None:
                bad_lines.append(number)
            elif found[2] is not None:
                values[match[1]] = found[2]
            else:
                values[match[1]] = re.sub(
                    r"\\(.)", lambda m: escapes.get(m[1], m[1]), found[1]
                )
        else:
            values[match[1]] = re.sub(r"\s\#.*", "", raw).strip()
    return values, bad_lines


def as_bool(text: str) -> bool:
    """Read a switch. Raises ``Invalid`` for anything but the words it knows."""
    word = text.strip().lower()
    if word in TRUE or word in FALSE:
        return word in TRUE
    raise Invalid("expected one of 1, true, yes, on, 0, false, no, off")


def as_list(text: str) -> list[str]:
    """Read a list, its items separated by commas or white space."""
    return [item for item in re.split(r"[,\s]+", text) if item]


def as_hosts(text: str) -> list[str]:
    """Read host names. Raises ``Invalid`` for URLs and ports: they never match."""
    hosts = as_list(text)
    if not all(re.fullmatch(r"\[[0-9A-Fa-f:.]+\]|[^/:@\[\]]+", host) for host in hosts):
        raise Invalid(
            "expected host names separated by commas, without scheme, port or path, "
            "like example.com,.example.org"
        )
    return hosts


def as_origins(text: str) -> list[str]:
    """Read origins. Raises ``Invalid`` for what has no scheme, or has a path."""
    origins = as_list(text)
    if not all(re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/?#@]+", o) for o in origins):
        raise Invalid(
            "expected origins separated by commas, with scheme and without path, "
            "like https://example.com,https://*.example.org"
        )
    return origins


def as_level(text: str) -> str:
    """Read the name of a log level. Raises ``Invalid`` for any other."""
    if text.strip().upper() in LEVELS:
        return text.strip().upper()
    raise Invalid(f"expected one of {', '.join(LEVELS)}")


def as_log_format(text: str) -> str:
    """Read the name of a log format. Raises ``Invalid`` for any other."""
    if text.strip().lower() in ("simple", "verbose", "json"):
        return text.strip().lower()
    raise Invalid("expected one of simple, verbose, json")
