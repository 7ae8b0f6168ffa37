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

MAX_FILE_SIZE = 1024 * 1024
"""Bytes read from a file named by a variable: more is no setting."""

SERVE_COMMANDS = frozenset({"runserver", "runserver_plus"})
"""Commands of development: ``DEBUG`` is on unless something says otherwise."""


class Value(NamedTuple):
    """The text of a variable, and a Python expression that gives it as well."""

    text: str
    source: str


class Environment:
    """Variables by name, of the process first, of a ``.env`` file second.

    A variable is also read from the file that ``NAME_FILE`` names. A variable that
    is set in the environment, if only to nothing, hides what ``.env`` says of it.
    Nothing is written to ``os.environ``. Not changed after it is made, so safe to
    share between threads.

    Args:
        dotenv: The path of the ``.env`` file. It need not exist.
        variables: Those of the process, ``os.environ`` when None.
    """

    def __init__(
        self, dotenv: Path, *, variables: Mapping[str, str] | None = None
    ) -> None:
        self.problem: str | None = None
        """Why the ``.env`` file cannot be read, or None."""
        self.bad_lines: dict[int, str] = {}
        """The numbers of its lines that are none, with the names they begin with."""
        self._dotenv = dotenv
        self._variables = os.environ if variables is None else variables
        self._file: dict[str, str] = {}
        # A folder called .env is somebody's virtual environment.
        if dotenv.is_file():
            self._read_dotenv()

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
        """Return the value of a variable, None when it is unset or empty.

        Raises:
            Invalid: When both ``NAME`` and ``NAME_FILE`` are set, when the file that
                ``NAME_FILE`` names cannot be read, or the line of ``.env``.
        """
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
            if path:
                return _read(path, indirect)
            return Value(text, f"{source}[{name!r}].strip()") if text else None
        for number, begun in self.bad_lines.items():
            if begun in (name, indirect):
                expected = "expected NAME=value, a value in quotes with both of them"
                raise Invalid(f"{self._dotenv}, line {number}: {expected}")
        return None

    def _read_dotenv(self) -> None:
        try:
            text = self._dotenv.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            self.problem = f"cannot be read: {reason}"
            return
        self._file, numbers = parse_dotenv(text, self._variables)
        for number in numbers:
            line = text.split("\n")[number - 1]
            self.bad_lines[number] = re.sub(r"\s*(?:export\s+)?(\w*).*", r"\1", line)


def _read(path: str, indirect: str) -> Value:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(MAX_FILE_SIZE + 1)
    except (OSError, ValueError) as error:
        # Neither the path nor str(error), which holds it: a password that was put
        # into the wrong variable would be shown.
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise Invalid(f"the file that {indirect} names: {reason}") from None
    if len(text) > MAX_FILE_SIZE or not text.strip():
        size = "larger than 1 MiB" if text.strip() else "empty"
        raise Invalid(f"the file that {indirect} names is {size}")
    return Value(text.strip(), f"pathlib.Path({path!r}).read_text('utf-8').strip()")


def parse_dotenv(
    text: str, variables: Mapping[str, str] | None = None
) -> tuple[dict[str, str], list[int]]:
    """Return the variables of a ``.env`` file and the numbers of its bad lines.

    The dialect that docker compose and python-dotenv share: ``NAME=value``, with or
    without ``export``; a value in quotes may have several lines, in double quotes
    ``\\n``, ``\\"``, ``\\\\`` and ``\\$`` as well; one without quotes ends before
    `` #``. ``${NAME}`` and ``${NAME:-default}`` are replaced, but in single quotes,
    by ``variables`` and by earlier lines. A name alone is left to ``variables``.
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
    """The project's folder, the one on ``sys.path``, the one of the settings.

    Symbolic links are kept as they are written.
    """

    root: Path
    import_root: Path
    directory: Path

    def find_module(self, name: str) -> str | None:
        """Return the dotted name of the module ``name`` nearest to the settings.

        Looks in the folder of the settings, then upwards to the import root.
        None when there is no such module.
        """
        for folder in _upwards(self.directory, self.import_root):
            files = (folder / f"{name}.py", folder / name / "__init__.py")
            if any(file.is_file() for file in files):
                return ".".join((*folder.relative_to(self.import_root).parts, name))
        return None


def locate(settings: Mapping[str, Any]) -> Location | None:
    """Find the project of a settings module, of which these are the ``globals()``.

    ``PROJECT_ROOT`` in the settings decides. Else it is the nearest folder with a
    ``manage.py``, from the module's own up to the one above its import root; else
    the import root: two folders up for ``package/settings.py``. None when nothing
    says where the module is, or that is no folder.
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
    spec, file = settings.get("__spec__"), settings.get("__file__")
    given = os.environ.get("DJANGO_SETTINGS_MODULE", "")
    names = [getattr(spec, "name", None), settings.get("__name__"), given]
    if file is None and given:
        with suppress(ImportError, ValueError, AttributeError):
            file = getattr(importlib.util.find_spec(given), "origin", None)
        names = [given]
    if not isinstance(file, str):
        return None, []
    known = [name for name in names if isinstance(name, str) and name]
    # One that was not imported (runpy, exec) does not know whether it is in a package.
    return Path(os.path.abspath(file)), [n for n in known if spec or "." in n]


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
    """``start`` and its parents up to and with ``end``."""
    yield start
    yield from (folder for folder in start.parents if folder.is_relative_to(end))


def called_command() -> str | None:
    """Return the ``manage.py`` command that is being run, or None.

    Django's own view of the command line decides, because it may not be that of
    the process; before Django has one, a program named like ``manage.py`` does.
    ``python -m yourlabs.setup`` is the command ``setup``.
    """
    for frame in frames():
        name = frame.f_globals.get("__name__")
        if (frame.f_code.co_name, name) == ("execute", "django.core.management"):
            argv = getattr(frame.f_locals.get("self"), "argv", None) or [""]
            return str(argv[1]) if len(argv) > 1 else "help"
    main = getattr(sys.modules.get("__main__"), "__spec__", None)
    if getattr(main, "name", None) == "yourlabs.setup.__main__":
        return "setup"
    program = os.path.basename(sys.argv[0]) if sys.argv else ""
    if program in ("manage.py", "django-admin", "django-admin.py"):
        return sys.argv[1] if len(sys.argv) > 1 else "help"
    return None


def is_in_development() -> bool:
    """Whether the server of development is being run."""
    return called_command() in SERVE_COMMANDS


def is_serving() -> bool:
    """Whether an application is being made that answers requests.

    That is: ``get_wsgi_application()`` or ``get_asgi_application()`` was called, a
    module of one of these names is being imported, or a server of development runs.
    """
    for frame in frames():
        name = str(frame.f_globals.get("__name__"))
        is_module = frame.f_code.co_name == "<module>"
        if name in ("django.core.wsgi", "django.core.asgi") or (
            is_module and name.rpartition(".")[2] in ("wsgi", "asgi")
        ):
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
