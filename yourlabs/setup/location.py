"""Where the project is, from what a settings module knows of itself."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Location(NamedTuple):
    """The folders of a project. Symbolic links are kept as they are written."""

    root: Path
    """The project's folder, where ``manage.py`` usually is."""

    import_root: Path
    """The folder on ``sys.path`` that holds the settings module or its package."""

    directory: Path
    """The folder of the settings module itself."""

    def find_module(self, name: str) -> str | None:
        """Return the dotted name of the module ``name`` nearest to the settings.

        Looks in the folder of the settings, then upwards to the import root.
        None when there is no such module.
        """
        for folder in _upwards(self.directory, self.import_root):
            if (folder / f"{name}.py").is_file() or (
                folder / name / "__init__.py"
            ).is_file():
                parts = folder.relative_to(self.import_root).parts
                return ".".join((*parts, name))
        return None


def locate(settings: Mapping[str, Any]) -> Location | None:
    """Find the project of a settings module.

    ``PROJECT_ROOT`` in the settings decides. Else it is the nearest folder with a
    ``manage.py``, from the module's own up to the one above its import root; else
    the import root: two folders up for ``package/settings.py``.

    Args:
        settings: The ``globals()`` of the settings module.

    Returns:
        None when nothing says where the module is, or that is no folder.
    """
    module = _module(settings)
    if "PROJECT_ROOT" in settings:
        root = _given(settings["PROJECT_ROOT"])
        if root is None:
            return None
        if module is None:
            return Location(root, root, root)
        return Location(root, _import_root(module), module.path.parent)
    if module is None or not module.path.parent.is_dir():
        return None
    folder, import_root = module.path.parent, _import_root(module)
    for candidate in _upwards(folder, import_root.parent):
        if (candidate / "manage.py").is_file():
            return Location(candidate, import_root, folder)
    return Location(import_root, import_root, folder)


def called_command() -> str | None:
    """Return the ``manage.py`` command that is being run, or None.

    Django's own view of the command line decides, because it may not be that of
    the process; before Django has one, a program named like ``manage.py`` does.
    ``python -m yourlabs.setup`` is the command ``setup``.
    """
    frame = sys._getframe()
    while frame is not None:
        if (
            frame.f_code.co_name == "execute"
            and frame.f_globals.get("__name__") == "django.core.management"
        ):
            argv = getattr(frame.f_locals.get("self"), "argv", None) or [""]
            return str(argv[1]) if len(argv) > 1 else "help"
        frame = frame.f_back  # type: ignore[assignment]
    main = getattr(sys.modules.get("__main__"), "__spec__", None)
    if getattr(main, "name", None) == "yourlabs.setup.__main__":
        return "setup"
    program = os.path.basename(sys.argv[0]) if sys.argv else ""
    if program in ("manage.py", "django-admin", "django-admin.py"):
        return sys.argv[1] if len(sys.argv) > 1 else "help"
    return None


def _given(value: object) -> Path | None:
    if isinstance(value, (str, os.PathLike)) and str(value):
        return Path(os.path.abspath(value))
    return None


class _Module(NamedTuple):
    path: Path
    names: tuple[str, ...]
    is_imported: bool


def _module(settings: Mapping[str, Any]) -> _Module | None:
    """The file of the settings module, with the names it may have."""
    spec = settings.get("__spec__")
    given = os.environ.get("DJANGO_SETTINGS_MODULE", "")
    names = [getattr(spec, "name", None), settings.get("__name__"), given]
    file = settings.get("__file__")
    if file is None and given:
        try:
            found = importlib.util.find_spec(given)
        except (ImportError, ValueError, AttributeError):
            found = None
        file = found.origin if found else None
        names = [given]
    if not isinstance(file, str):
        return None
    return _Module(
        Path(os.path.abspath(file)),
        tuple(name for name in names if isinstance(name, str) and name),
        spec is not None,
    )


def _import_root(module: _Module) -> Path:
    path = module.path
    stem = path.parent if path.stem == "__init__" else path.with_suffix("")
    names = [tuple(name.split(".")) for name in module.names]
    depth = max((len(n) for n in names if n == stem.parts[-len(n) :]), default=0)
    if depth > 1 or (depth and module.is_imported):
        return stem.parents[depth - 1]
    # Read by something else than an import (runpy, exec) a module does not know
    # its package: a folder that is a package is not an import root.
    folder = path.parent
    while (folder / "__init__.py").is_file() and folder.parent != folder:
        folder = folder.parent
    return folder


def _upwards(start: Path, end: Path) -> Iterator[Path]:
    """``start`` and its parents up to and with ``end``."""
    yield start
    for folder in start.parents:
        if not folder.is_relative_to(end):
            return
        yield folder
