"""How steps write settings: whose a name is, where a value is from, what is wrong."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar, cast

from yourlabs.setup import messages
from yourlabs.setup.constants import SERVE_COMMANDS
from yourlabs.setup.environment import Environment, Invalid, Value, as_bool
from yourlabs.setup.location import Location, called_command, locate

FILE, ENVIRONMENT, DEFAULT = "file", "environment", "default"

T = TypeVar("T")
P = ParamSpec("P")
S = TypeVar("S", bound="Base")


# Here and in the modules this one imports, named tuples: importing dataclasses would
# double what a settings module pays for all of it.
class Written(NamedTuple):
    """A value that a step wrote."""

    value: Any
    """The very object, to know it from an equal one that the project set."""

    copy: Any
    """What it was: a project may change the value in place."""

    origin: str
    """``file``, ``environment`` or ``default``."""

    secrets: Mapping[str, str]
    """Texts never to be printed, each with an expression that gives it."""


latest: Base | None = None
"""The ``Setup`` that this process made last, for the listing of settings."""


def step(
    method: Callable[Concatenate[S, P], None],
) -> Callable[Concatenate[S, P], None]:
    """Make a method a step: nothing where there is no project, problems told once.

    A step that another step calls leaves its problems to that one.
    """

    @functools.wraps(method)
    def run(self: S, *args: P.args, **kwargs: P.kwargs) -> None:
        if not self.ready:
            return
        self._depth += 1
        try:
            method(self, *args, **kwargs)
        except BaseException:
            self._problems.clear()
            raise
        finally:
            self._depth -= 1
        self._done.setdefault(method.__name__)
        if not self._depth:
            self._raise_problems()

    return cast("Callable[Concatenate[S, P], None]", run)


class Base:
    """The settings of a project and what is known of each.

    Not safe to share between threads; a settings module is imported by one.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        global latest
        self.settings = settings
        self.location: Location | None = locate(settings)
        self.ready = self.location is not None
        """Whether the project was found. Steps do nothing otherwise."""
        self.paths: list[str] = []
        """The folders that ``create_paths()`` makes."""
        self._written: dict[str, Written] = {}
        self._problems: dict[str, str] = {}
        self._done: dict[str, None] = {}
        self._depth = 0
        self._is_warned = False
        self._has_static_root = True
        if self.location is None:
            messages.notice(
                "Could not find your project root, not setting up", once=False
            )
            return
        latest = self
        messages.notice(f"Setting PROJECT_ROOT: {self.location.root}")
        self.environment = Environment(self.location.root / ".env")
        self._set("PROJECT_ROOT", self.location.root)

    @property
    def root(self) -> Path:
        """The project's folder."""
        assert self.location is not None
        return self.location.root

    def origin(self, name: str) -> str:
        """Return where a setting is from: ``file``, ``environment`` or ``default``."""
        return self._written[name].origin if self._is_ours(name) else FILE

    def secrets(self, name: str) -> Mapping[str, str]:
        """Return the secret texts in a setting, each with an expression for it."""
        return self._written[name].secrets if name in self._written else {}

    def _is_ours(self, name: str) -> bool:
        """Whether a step wrote the value that a name has now."""
        if name not in self._written or name not in self.settings:
            return False
        ours, value = self._written[name], self.settings[name]
        return ours.value is value and bool(ours.copy == value)

    def _is_free(self, name: str) -> bool:
        return name not in self.settings or self._is_ours(name)

    def _set(
        self,
        name: str,
        value: Any,
        origin: str = DEFAULT,
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        """Write a setting, unless the project has set it."""
        if self._is_free(name):
            self.settings[name] = value
            before = copy.deepcopy(value)
            self._written[name] = Written(value, before, origin, secrets or {})

    def _unset(self, *names: str) -> None:
        for name in names:
            if self._is_ours(name):
                del self.settings[name], self._written[name]

    def _variable(
        self, name: str, read: Callable[[str], T]
    ) -> tuple[T | None, Value | None]:
        """Return a variable as ``read`` gives it. None twice when it is unset or bad.

        What is wrong is told at the end of the outermost step.
        """
        if self.environment.problem:
            self._problems[".env"] = self.environment.problem
        try:
            value = self.environment.get(name)
            return (None, None) if value is None else (read(value.text), value)
        except Invalid as problem:
            self._problems[name] = str(problem)
            return None, None

    def _set_from(self, name: str, read: Callable[[str], Any]) -> None:
        """Write a setting of the name of a variable, where that is set."""
        if self._is_free(name):
            value, source = self._variable(name, read)
            if source is not None:
                self._set(name, value, ENVIRONMENT)

    def _is_debug(self) -> bool:
        """Return ``DEBUG``, set from the environment where it is not set yet."""
        if "DEBUG" not in self.settings:
            value, source = self._variable("DEBUG", as_bool)
            if source is not None:
                self._set("DEBUG", value, ENVIRONMENT)
            else:
                self._set("DEBUG", called_command() in SERVE_COMMANDS)
        return bool(self.settings["DEBUG"])

    def _raise_problems(self) -> None:
        if self._problems:
            lines = [f"{name}: {problem}" for name, problem in self._problems.items()]
            self._problems.clear()
            from django.core.exceptions import ImproperlyConfigured

            raise ImproperlyConfigured("\n".join(lines))

    def _again(self, *steps: str) -> None:
        """Do again those of the steps that were done, with what is known now."""
        for name in steps:
            if name in self._done:
                getattr(self, name)()

    @property
    def _var(self) -> Path:
        return self._path("VAR_ROOT", self.root / "var")

    def _path(self, name: str, default: Path) -> Path:
        """Return the folder that a setting names, ``default`` when it names none."""
        value = self.settings.get(name)
        if isinstance(value, (str, os.PathLike)) and str(value):
            return Path(os.path.abspath(os.path.join(self.root, value)))
        return default

    def _add_path(self, name: str) -> None:
        """Have ``create_paths()`` make the folder of a setting, or make it now."""
        value = self.settings.get(name)
        if isinstance(value, (str, os.PathLike)) and str(value):
            # Django takes its own from the current folder, where they are relative.
            is_djangos = name in ("MEDIA_ROOT", "STATIC_ROOT")
            path = os.path.abspath(value if is_djangos else self._path(name, self.root))
            if path not in self.paths:
                self.paths.append(path)
            if "create_paths" in self._done:
                self._make_folder(path)

    def _make_folder(self, path: str) -> None:
        private = (self._path(n, self._var / "run") for n in ("RUN_ROOT", "LOG_ROOT"))
        mode = 0o750 if path in map(str, private) else 0o777
        try:
            os.makedirs(path, mode=mode, exist_ok=True)
        except OSError as error:
            self._warn(path, error)
            if path == str(self._path("STATIC_ROOT", self.root)):
                self._has_static_root = False
                self._again("security")

    def _warn(self, path: object, error: OSError) -> None:
        """Say once that the disk cannot be written, whatever was to be written."""
        if not self._is_warned:
            self._is_warned = True
            messages.disk_warning(
                f"cannot write {path} ({error.strerror}): logs go to the console only, "
                "and a SECRET_KEY that is not in the environment lasts as long as "
                "this process",
                always=True,
            )
