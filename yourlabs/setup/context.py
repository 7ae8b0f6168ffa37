"""What the steps share: the settings, whose each one is, and what is wrong."""

from __future__ import annotations

import copy
import functools
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from yourlabs.setup import environment
from yourlabs.setup.values import Invalid, as_bool

FILE, ENVIRONMENT, DEFAULT = "file", "environment", "default"

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., None])

latest: Context | None = None
"""What this process set up last."""

_said: set[str] = set()


# Named tuples: importing dataclasses costs as much as importing all of this.
class Written(NamedTuple):
    """A setting that a step wrote: known by its identity, and whole by the copy."""

    value: Any
    copy: Any
    origin: str


def step(function: F) -> F:
    """Make a function a step: nothing without a project, problems once, at the end."""

    @functools.wraps(function)
    def run(self: Context, *args: Any, **kwargs: Any) -> None:
        if self.location is None:
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

    return cast("F", run)


class Context:
    """The settings of a project and what is known of each, for one thread."""

    def __init__(self, settings: dict[str, Any]) -> None:
        global latest
        self.settings = settings
        self.location = environment.locate(settings)
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
        self.root = self.location.root
        base = context_of(settings)
        self.earlier = None if base else latest
        if base is not None:
            # The module that this one imported all names from has a Setup too.
            for name in ("said", "written", "claims", "done"):
                setattr(self, name, copy.copy(getattr(base, name)))
        latest = self
        self.environment = environment.Environment(self.root / ".env")
        if "PROJECT_ROOT" not in settings:
            notice(f"Setting PROJECT_ROOT: {self.root}")
        if self.environment.bad_lines:
            lines = ", ".join(map(str, self.environment.bad_lines))
            notice(f"{self.root / '.env'}: skipped line {lines}, no NAME=value")
        self.set("PROJECT_ROOT", self.root)

    def adopt_caller(self) -> None:
        """Act on the module that is calling, where that has all names of this one."""
        for frame in environment.frames():
            if frame.f_code.co_name == "<module>":
                found = frame.f_globals
                if context_of(found) is self or any(
                    v is self for v in [*found.values()]
                ):
                    self.settings = found
                return

    def is_ours(self, name: str, settings: Mapping[str, Any] | None = None) -> bool:
        """Whether a step wrote the value that a name has now."""
        settings = self.settings if settings is None else settings
        ours = self.written.get(name)
        if ours is None or name not in settings:
            return False
        return settings[name] is ours.value and bool(settings[name] == ours.copy)

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
        for name in filter(self.is_ours, names):
            del self.settings[name], self.written[name]

    def claim(self, variable: str, *names: str) -> bool:
        """Say which settings a variable is for; return whether all may be written."""
        self.claims[variable] = names
        if self.environment.problem:
            self.problems[".env"] = self.environment.problem
        return all(map(self.is_free, names))

    def variable(self, name: str, read: Callable[[str], T]) -> T | None:
        """Return a variable as ``read`` gives it, None when it is unset or bad."""
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
        self.said["made_for"] = bool(self.settings["DEBUG"])
        return bool(self.settings["DEBUG"])

    def again(self, *steps: str) -> None:
        """Do again those of the steps that were done, with what is known now."""
        for name in steps:
            if name in self.done:
                self.done[name](self)

    def finish(self) -> None:
        """Raise ``ImproperlyConfigured`` for what is wrong, else remark on the rest."""
        if not self.problems:
            for remark in self.remarks(self.settings):
                notice(remark)
            return
        lines = [f"{name}: {problem}" for name, problem in self.problems.items()]
        self.problems.clear()
        if environment.called_command() != "setup":
            # Some who import settings hide why they could not: a shell, mypy.
            for line in lines:
                _say(line)
        from django.core.exceptions import ImproperlyConfigured

        raise ImproperlyConfigured("\n".join(lines))

    def remarks(self, settings: Mapping[str, Any]) -> Iterator[str]:
        """Yield what a person may not have meant, of this module or one on top."""

        def is_files(name: str) -> bool:
            value, _, origin = self.written.get(name, (None, None, FILE))
            # By identity: Django fills in what DATABASES leaves out.
            is_ours = origin != FILE and settings.get(name) is value
            return name in settings and not is_ours

        lost = []
        for variable, names in self.claims.items():
            taken = ", ".join(filter(is_files, names))
            if taken and self.environment.has(variable):
                lost.append(f"{variable} ({taken})")
        if lost:
            yield f"Set, but the settings file has its own: {', '.join(lost)}"
        if self.earlier and self.earlier.settings is settings:
            said = (n for n, (*_, of) in self.earlier.written.items() if of == FILE)
            if lost := [n for n in said if self.origin(n, settings) != FILE]:
                yield (
                    f"{', '.join(lost)}: replaced by a module with a Setup of its own, "
                    "imported after the steps: import it before them"
                )
        value = bool(settings.get("DEBUG"))
        if self.said.get("made_for", value) != value:
            yield (
                f"DEBUG is {value!r} by now, others are made for {not value!r}: "
                f"call setup.debug({value!r}) in the module that sets it"
            )

    def origin(self, name: str, settings: Mapping[str, Any] | None = None) -> str:
        """Return where a setting is from: ``file``, ``environment`` or ``default``."""
        return self.written[name].origin if self.is_ours(name, settings) else FILE

    def has_app(self, name: str) -> bool:
        """Whether an app is installed, by its name or by that of its class."""
        apps = str(self.settings.get("INSTALLED_APPS"))
        return bool(re.search(rf"'{re.escape(name)}['.]", apps))

    def default_folder(self, name: str) -> Path:
        """Return where the folder of a setting is when nothing says where."""
        folder = self.folder("VAR_ROOT") if name != "VAR_ROOT" else self.root
        return folder / name.removesuffix("_ROOT").lower()

    def folder(self, name: str) -> Path:
        """Return the folder that a setting names."""
        value = self.settings.get(name)
        if isinstance(value, (str, os.PathLike)) and str(value):
            return Path(os.path.abspath(os.path.join(self.root, value)))
        return self.default_folder(name)

    def make_folder(self, name: str) -> None:
        """Make the folder of a setting; one that cannot be made is one warning."""
        path = self.folder(name)
        try:
            os.makedirs(
                path, 0o750 if name in ("LOG_ROOT", "RUN_ROOT") else 0o777, True
            )
        except OSError as error:
            self.warn(path, error)
            if name == "STATIC_ROOT":
                self.said["static_root"] = False
                self.again("security")

    def warn(self, path: object, error: OSError) -> None:
        """Say once that the disk cannot be written, whatever was to be written."""
        if not self.said.get("disk"):
            self.said["disk"] = True
            warning(
                f"cannot write {path} ({error.strerror}): logs go to the console only, "
                "and a SECRET_KEY that is not in the environment ends with this process"
            )


def context_of(settings: Mapping[str, Any]) -> Context | None:
    """Return what set a module up, or the module that it imported all names from."""
    if latest is None or settings is latest.settings:
        return latest
    # What one module made and another one imported is the very same object.
    for name, (value, _, _) in latest.written.items():
        if isinstance(value, (list, dict, Path)) and settings.get(name) is value:
            return latest
    return None


def notice(line: str, *, once: bool = True) -> None:
    """Say what was done, once a process, unless ``YOURLABS_QUIET`` is set."""
    if os.environ.get("YOURLABS_QUIET", "") in ("", "0"):
        _say(line, once=once)


def warning(line: str) -> None:
    """Say what is wrong, once a process."""
    _say(f"Warning: {line}")


def _say(line: str, *, once: bool = True) -> None:
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
