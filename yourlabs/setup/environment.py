"""What surrounds a settings module: its folder, the process, the variables."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from yourlabs.setup.values import Invalid

try:
    import fcntl
except ImportError:  # pragma: no cover - not on POSIX: nothing is locked there
    fcntl = None  # type: ignore[assignment]

SERVE_COMMANDS = frozenset({"runserver", "runserver_plus"})
"""Commands of development: ``DEBUG`` is on unless something says otherwise."""


class Value(NamedTuple):
    """The text of a variable, and a Python expression that gives it as well."""

    text: str
    source: str


class Environment:
    """Variables of the process, then of a ``.env`` file; each may be ``NAME_FILE``.

    What is set in the environment, if only to nothing, hides what ``.env`` says of it.
    """

    def __init__(
        self, dotenv: Path, *, variables: Mapping[str, str] | None = None
    ) -> None:
        # Why the file cannot be read, or the numbers of its lines that are none, with
        # the names they begin with.
        self.problem: str | None = None
        self.bad_lines: dict[int, str] = {}
        self._dotenv = dotenv
        self._variables = os.environ if variables is None else variables
        self._file: dict[str, str] = {}
        # A folder called .env is somebody's virtual environment.
        if not dotenv.is_file():
            return
        try:
            text = dotenv.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            self.problem = f"cannot be read: {_reason(error)}"
            return
        self._file, numbers = parse_dotenv(text, self._variables)
        for number in numbers:
            line = text.split("\n")[number - 1]
            self.bad_lines[number] = re.sub(r"\s*(?:export\s+)?(\w*).*", r"\1", line)

    def names(self) -> set[str]:
        """Return the names of all variables, without the ``_FILE`` of some."""
        given = {*self._variables, *self._file, *self.bad_lines.values()}
        return {name.removesuffix("_FILE") for name in given}

    def has(self, name: str) -> bool:
        """Whether a variable has a value, good or bad."""
        try:
            return self.get(name) is not None
        except Invalid:
            return True

    def get(self, name: str) -> Value | None:
        """Return a variable, None when it is unset or empty. Raises ``Invalid``."""
        indirect = f"{name}_FILE"
        read = f"pathlib.Path({str(self._dotenv)!r}).read_text('utf-8-sig')"
        layers = {"os.environ": self._variables}
        layers[f"parse_dotenv({read}, os.environ)[0]"] = self._file
        for source, layer in layers.items():
            if name not in layer and indirect not in layer:
                continue
            text, path = layer.get(name, "").strip(), layer.get(indirect, "").strip()
            if text and path:
                raise Invalid(f"{indirect} is set as well, set only one of the two")
            if not path:
                return Value(text, f"{source}[{name!r}].strip()") if text else None
            try:
                text = Path(path).read_text("utf-8").strip()
            except (OSError, ValueError) as error:
                reason = _reason(error)
                raise Invalid(f"the file that {indirect} names: {reason}") from None
            if not text:
                raise Invalid(f"the file that {indirect} names is empty")
            return Value(text, f"pathlib.Path({path!r}).read_text('utf-8').strip()")
        for number, begun in self.bad_lines.items():
            if begun in (name, indirect):
                expected = "expected NAME=value, a value in quotes with both of them"
                raise Invalid(f"{self._dotenv}, line {number}: {expected}")
        return None


def _reason(error: Exception) -> str:
    # Not str(error), which holds the path: a password that was put into the wrong
    # variable would be shown.
    return getattr(error, "strerror", None) or "it is not UTF-8"


def parse_dotenv(
    text: str, variables: Mapping[str, str] | None = None
) -> tuple[dict[str, str], list[int]]:
    """Return the variables of a ``.env`` file and the numbers of its bad lines.

    In the dialect that docker compose and python-dotenv share. ``${NAME}`` and
    ``${NAME:-default}`` are replaced by ``variables`` first, then by earlier lines.
    """
    # Self-contained, because ``--freeze`` copies this function.
    entry = re.compile(
        r"[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.-]*)[ \t]*(?:="
        r"(?:[ \t]*(?:\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)')[ \t]*(?:\#[^\n]*)?"
        r"|(?![ \t]*[\"'])([^\n]*)))?(?=\n|\Z)",
        re.DOTALL,
    )
    variable = r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}"
    escapes = dict(zip("abfnrtv\\\"'$", "\a\b\f\n\r\t\v\\\"'$", strict=True))
    values: dict[str, str] = {}
    bad_lines = []

    def replace(match: re.Match[str]) -> str:
        parts = match.groupdict()
        if parts.get("escaped"):
            return escapes.get(parts["escaped"], match[0])
        known = {**values, **(variables or {})}
        return known.get(parts["name"]) or parts["default"] or ""

    text, position = text.replace("\r\n", "\n"), 0
    while position < len(text):
        found = entry.match(text, position)
        if found is None:
            line = text[position:].partition("\n")[0]
            if line.strip() and not line.lstrip().startswith("#"):
                bad_lines.append(text.count("\n", 0, position) + 1)
            position += len(line) + 1
            continue
        position = found.end() + 1
        name, double, single, plain = found.groups()
        if double is not None:
            values[name] = re.sub(rf"(?s)\\(?P<escaped>.)|{variable}", replace, double)
        elif single is not None:
            values[name] = single.replace("\\'", "'")
        elif plain is not None:
            values[name] = re.sub(
                variable, replace, re.sub(r"\s#.*", "", plain).strip()
            )
    return values, bad_lines


class Location(NamedTuple):
    """The project's folder, the one on ``sys.path``, the one of the settings."""

    root: Path
    import_root: Path
    directory: Path

    def find_module(self, name: str) -> str | None:
        """Return the dotted name of the module ``name`` nearest to the settings.

        That is in their folder, or one above up to the import root; None without any.
        """
        for folder in _upwards(self.directory, self.import_root):
            if any(
                (folder / f"{name}{end}").is_file() for end in (".py", "/__init__.py")
            ):
                return ".".join((*folder.relative_to(self.import_root).parts, name))
        return None


def locate(settings: Mapping[str, Any]) -> Location | None:
    """Find the project of a settings module, of which these are the ``globals()``.

    Without ``PROJECT_ROOT`` it is the nearest folder with a ``manage.py``, up to the
    one above the import root; else the import root. None when nothing says where.
    """
    file, names = _module(settings)
    folder = file.parent if file else None
    import_root = _import_root(file, names) if file else None
    if "PROJECT_ROOT" in settings:
        given = settings["PROJECT_ROOT"]
        if not isinstance(given, (str, os.PathLike)) or not str(given):
            return None
        root = Path(os.path.abspath(given))
        return Location(root, import_root or root, folder or root)
    if folder is None or import_root is None or not folder.is_dir():
        return None
    for candidate in _upwards(folder, import_root.parent):
        if (candidate / "manage.py").is_file():
            return Location(candidate, import_root, folder)
    return Location(import_root, import_root, folder)


def _module(settings: Mapping[str, Any]) -> tuple[Path | None, list[str]]:
    """The file of the settings module, with the names it may have."""
    given = os.environ.get("DJANGO_SETTINGS_MODULE", "")
    file, names = settings.get("__file__"), [str(settings.get("__name__")), given]
    if file is None and given:
        with suppress(ImportError, ValueError, AttributeError):
            file = getattr(importlib.util.find_spec(given), "origin", None)
    # Links are kept as they are written.
    return (Path(os.path.abspath(file)), names) if file else (None, [])


def _import_root(path: Path, names: list[str]) -> Path:
    stem = path.parent if path.stem == "__init__" else path.with_suffix("")
    parts = [tuple(name.split(".")) for name in names]
    depth = max((len(n) for n in parts if n == stem.parts[-len(n) :]), default=0)
    if depth:
        return stem.parents[depth - 1]
    # A folder that is a package is not an import root.
    folder = path.parent
    while (folder / "__init__.py").is_file() and folder.parent != folder:
        folder = folder.parent
    return folder


def _upwards(start: Path, end: Path) -> Iterator[Path]:
    yield start
    yield from (folder for folder in start.parents if folder.is_relative_to(end))


def called_command() -> str | None:
    """Return the ``manage.py`` command that is being run, or None.

    Django's own view of the command line decides, because it may not be that of
    the process; before Django has one, a program named like ``manage.py`` does.
    """
    for frame in frames():
        name = frame.f_globals.get("__name__")
        if (frame.f_code.co_name, name) == ("execute", "django.core.management"):
            argv = getattr(frame.f_locals.get("self"), "argv", None) or [""]
            return str(argv[1]) if len(argv) > 1 else "help"
    main = getattr(sys.modules.get("__main__"), "__spec__", None)
    if getattr(main, "name", None) == "yourlabs.setup.__main__":
        return "setup"
    if os.path.basename("".join(sys.argv[:1])) in ("manage.py", "django-admin"):
        return sys.argv[1] if len(sys.argv) > 1 else "help"
    return None


def is_in_development() -> bool:
    """Whether the server of development is being run."""
    return called_command() in SERVE_COMMANDS


def is_serving() -> bool:
    """Whether an application is being made that answers requests.

    By a function of Django or a module named so, or by a server of development.
    """
    for frame in frames():
        package, _, name = str(frame.f_globals.get("__name__")).rpartition(".")
        is_module = frame.f_code.co_name == "<module>" or package == "django.core"
        if is_module and name in ("wsgi", "asgi"):
            return True
    return is_in_development()


def frames() -> Iterator[FrameType]:
    """Yield the frames of this thread, the caller's first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def lock(file: Any) -> None:
    """Wait until no other process has this file, or descriptor, locked."""
    # Some file systems have no locks.
    with suppress(OSError):
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
