"""What the steps share: the settings, whose each one is, and what is wrong."""

from __future__ import annotations

import copy
import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar, cast

from django.core.exceptions import ImproperlyConfigured

from yourlabs.setup import environment
from yourlabs.setup.values import Invalid, as_bool

FILE, ENVIRONMENT, DEFAULT = "file", "environment", "default"

T = TypeVar("T")
P = ParamSpec("P")
C = TypeVar("C", bound="Context")

latest: Context | None = None
"""What this process set up last."""

_said: set[str] = set()


# Here and in the modules this one imports, named tuples: importing dataclasses would
# double what a settings module pays for all of it.
class Written(NamedTuple):
    """A setting that a step wrote: the very object, and what was in it.

    By its identity it is known from an equal value that the project set, by the copy
    from one that the project changed in place.
    """

    value: Any
    copy: Any
    origin: str


def step(
    function: Callable[Concatenate[C, P], None],
) -> Callable[Concatenate[C, P], None]:
    """Make a function of a context a step: nothing without a project, problems once.

    A step that another step calls leaves its problems to that one.
    """

    @functools.wraps(function)
    def run(self: C, *args: P.args, **kwargs: P.kwargs) -> None:
        if not self.ready:
            return
        if not self.depth:
            self.adopt_caller()
        self.depth += 1
        try:
            function(self, *args, **kwargs)
        except BaseException:
            self.problems.clear()
            raise
        finally:
            self.depth -= 1
        self.done.setdefault(function.__name__, run)
        if not self.depth:
            self.finish()

    return cast("Callable[Concatenate[C, P], None]", run)


class Context:
    """The settings of a project and what is known of each.

    Not safe to share between threads; a settings module is imported by one.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        global latest
        self.settings = settings
        self.location = environment.locate(settings)
        self.ready = self.location is not None
        """Whether the project was found. Steps do nothing otherwise."""
        self.paths: list[str] = []
        """The folders that ``create_paths()`` makes."""
        self.said: dict[str, Any] = {}
        self.written: dict[str, Written] = {}
        self.claims: dict[str, tuple[str, ...]] = {}
        self.problems: dict[str, str] = {}
        self.done: dict[str, Callable[..., None]] = {}
        self.depth = 0
        if self.location is None:
            text = "Could not find your project root, not setting up"
            notice(text, once=False)
            return
        base = context_of(settings)
        if base is not None:
            # The module that this one imported all names from has a Setup too.
            for name in ("paths", "said", "written", "claims", "done"):
                setattr(self, name, copy.copy(getattr(base, name)))
        latest = self
        self.environment = environment.Environment(self.root / ".env")
        if "PROJECT_ROOT" not in settings:
            notice(f"Setting PROJECT_ROOT: {self.root}")
        if self.environment.bad_lines:
            lines = ", ".join(map(str, self.environment.bad_lines))
            notice(f"{self.root / '.env'}: skipped line {lines}, no NAME=value")
        self.set("PROJECT_ROOT", self.root)

    @property
    def root(self) -> Path:
        """The project's folder."""
        assert self.location is not None
        return self.location.root

    @property
    def var(self) -> Path:
        """The folder of what the project writes."""
        return self.folder("VAR_ROOT", self.root / "var")

    def adopt_caller(self) -> None:
        """Act on the module that is calling, where that has imported this object.

        In ``from .base import *``, what ``base`` made is called for another module.
        """
        for frame in environment.frames():
            if frame.f_code.co_name == "<module>":
                if any(value is self for value in tuple(frame.f_globals.values())):
                    self.settings = frame.f_globals
                return

    def is_ours(self, name: str, settings: Mapping[str, Any] | None = None) -> bool:
        """Whether a step wrote the value that a name has now."""
        settings = self.settings if settings is None else settings
        if name not in self.written or name not in settings:
            return False
        ours, value = self.written[name], settings[name]
        return ours.value is value and bool(ours.copy == value)

    def is_free(self, name: str) -> bool:
        """Whether a step may write a setting: the project has not set it."""
        return name not in self.settings or self.is_ours(name)

    def set(self, name: str, value: Any, origin: str = DEFAULT) -> None:
        """Write a setting, unless the project has set it."""
        if self.is_free(name):
            self.settings[name] = value
            self.written[name] = Written(value, copy.deepcopy(value), origin)

    def unset(self, *names: str) -> None:
        """Take back settings that steps wrote."""
        for name in names:
            if self.is_ours(name):
                del self.settings[name], self.written[name]

    def claim(self, variable: str, *names: str) -> bool:
        """Say which settings a variable is for; return whether all may be written."""
        self.claims[variable] = names
        if self.environment.problem:
            self.problems[".env"] = self.environment.problem
        return all(map(self.is_free, names))

    def variable(self, name: str, read: Callable[[str], T]) -> T | None:
        """Return a variable as ``read`` gives it, None when it is unset or bad.

        What is wrong is told at the end of the outermost step.
        """
        try:
            value = self.environment.get(name)
            return None if value is None else read(value.text)
        except Invalid as problem:
            self.problems[name] = str(problem)
            return None

    def set_from(self, name: str, read: Callable[[str], Any]) -> None:
        """Write a setting of the name of a variable, where that is set."""
        if self.claim(name, name):
            value = self.variable(name, read)
            if value is not None:
                self.set(name, value, ENVIRONMENT)

    def is_debug(self) -> bool:
        """Return ``DEBUG``, set from the environment where it is not set yet."""
        self.claim("DEBUG", "DEBUG")
        if "DEBUG" not in self.settings:
            self.set_from("DEBUG", as_bool)
        if "DEBUG" not in self.settings:
            self.set("DEBUG", environment.is_in_development())
        return bool(self.settings["DEBUG"])

    def again(self, *steps: str) -> None:
        """Do again those of the steps that were done, with what is known now."""
        for name in steps:
            if name in self.done:
                self.done[name](self)

    def finish(self) -> None:
        """Tell what is wrong, and which variables the settings file has overruled.

        Raises:
            ImproperlyConfigured: With a line for each problem.
        """
        if not self.problems:
            for remark in self.remarks(self.settings):
                notice(remark)
            return
        lines = [f"{name}: {problem}" for name, problem in self.problems.items()]
        self.problems.clear()
        if environment.called_command() != "setup":
            # Some who import settings hide why they could not: a shell, mypy.
            for line in lines:
                _say(line, once=True)
        raise ImproperlyConfigured("\n".join(lines))

    def remarks(self, settings: Mapping[str, Any]) -> Iterator[str]:
        """Yield what a person may not have meant, of this module or one on top."""
        lost = []
        for variable, names in self.claims.items():
            taken = [name for name in names if self._is_files(name, settings)]
            if taken and self.environment.has(variable):
                lost.append(f"{variable} ({', '.join(taken)})")
        if lost:
            yield f"Set, but the settings file has its own: {', '.join(lost)}"
        ours, value = self.written.get("DEBUG"), settings.get("DEBUG")
        if ours is not None and ours.value != value:
            yield (
                f"DEBUG is {value!r} by now, others are made for {ours.value!r}: "
                f"call setup.debug({value!r}) in the module that sets it"
            )

    def _is_files(self, name: str, settings: Mapping[str, Any]) -> bool:
        ours = self.written.get(name)
        # By identity: Django fills in what DATABASES leaves out.
        is_same = ours is not None and settings.get(name) is ours.value
        return name in settings and not (is_same and ours and ours.origin != FILE)

    def origin(self, name: str, settings: Mapping[str, Any] | None = None) -> str:
        """Return where a setting is from: ``file``, ``environment`` or ``default``."""
        return self.written[name].origin if self.is_ours(name, settings) else FILE

    def has_app(self, name: str, unknown: bool = False) -> bool:
        """Whether an app is installed; ``unknown`` where that is not set yet."""
        if "INSTALLED_APPS" not in self.settings:
            return unknown
        apps = self.settings["INSTALLED_APPS"]
        apps = apps if isinstance(apps, (list, tuple, set)) else ()
        return any(f"{app}.".startswith(f"{name}.") for app in apps)

    def folder(self, name: str, default: Path) -> Path:
        """Return the folder that a setting names, ``default`` when it names none."""
        value = self.settings.get(name)
        if isinstance(value, (str, os.PathLike)) and str(value):
            return Path(os.path.abspath(os.path.join(self.root, value)))
        return default

    def add_path(self, name: str) -> None:
        """Have ``create_paths()`` make the folder of a setting, or make it now."""
        if self.settings.get(name):
            path = str(self.folder(name, self.root))
            if path not in self.paths:
                self.paths.append(path)
            if "create_paths" in self.done:
                self.make_folder(path)

    def make_folder(self, path: str) -> None:
        """Make a folder; one that cannot be made is one warning."""
        private = (self.folder(n, self.var / "run") for n in ("RUN_ROOT", "LOG_ROOT"))
        mode = 0o750 if path in map(str, private) else 0o777
        try:
            os.makedirs(path, mode=mode, exist_ok=True)
        except OSError as error:
            self.warn(path, error)
            if path == str(self.folder("STATIC_ROOT", self.root)):
                self.said["static_root"] = False
                self.again("security")

    def warn(self, path: object, error: OSError) -> None:
        """Say once that the disk cannot be written, whatever was to be written."""
        if not self.said.get("disk"):
            self.said["disk"] = True
            warning(
                f"cannot write {path} ({error.strerror}): logs go to the console only, "
                "and a SECRET_KEY that is not in the environment lasts as long as "
                "this process"
            )


def context_of(settings: Mapping[str, Any]) -> Context | None:
    """Return what set a module up, or the module that it imported all names from."""
    if latest is None or settings is latest.settings:
        return latest
    # What one module made and another one imported is the very same object.
    for name, written in latest.written.items():
        is_object = isinstance(written.value, (list, dict, Path))
        if is_object and settings.get(name) is written.value:
            return latest
    return None


def notice(line: str, *, once: bool = True) -> None:
    """Say what was done, once a process, unless ``YOURLABS_QUIET`` is set."""
    if os.environ.get("YOURLABS_QUIET", "") in ("", "0"):
        _say(line, once=once)


def warning(line: str) -> None:
    """Say what is wrong, once a process."""
    _say(f"Warning: {line}", once=True)


def _say(line: str, *, once: bool) -> None:
    # The process that an autoreloader started is its second: the first has spoken.
    names = ("RUN_MAIN", "WERKZEUG_RUN_MAIN")
    is_child = any(os.environ.get(name) == "true" for name in names)
    if is_child or (once and line in _said):
        return
    _said.add(line)
    # A process without a usable stderr (a daemon, pythonw) must start as well. Not
    # print(): where there is no stderr, that would choose stdout.
    with suppress(AttributeError, OSError, ValueError):
        sys.stderr.write(f"[yourlabs] {line}\n")
        sys.stderr.flush()
