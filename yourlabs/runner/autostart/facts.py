"""What can be seen of this process: the facts that decide where chains start."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from django.apps import apps
from django.core.exceptions import AppRegistryNotReady
from django.core.management import get_commands

from yourlabs.runner.autostart.kinds import (
    FORKING_SERVERS,
    SERVING_COMMANDS,
    Facts,
    UwsgiFacts,
    belongs,
)
from yourlabs.runner.failures.frames import frame_of


def collect(autostart: bool | str = "auto") -> Facts:
    """Return what can be seen of this process now, for `classify.decide`."""
    frames = list(_frames())
    command, arguments = _command(frames)
    worker = (_locals_of(frames, "gunicorn.arbiter", "spawn_worker") or {}).get(
        "worker"
    )
    variables = set(SERVING_COMMANDS.values())
    main = getattr(sys.modules.get("__main__"), "__spec__", None)
    return Facts(
        stack=tuple((_module(frame), frame.f_code.co_name) for frame in frames),
        apps_ready=apps.ready,
        command=command,
        arguments=arguments,
        is_of_django=_is_of_django(command),
        environ={name: os.environ[name] for name in variables if name in os.environ},
        autostart=autostart,
        main=getattr(main, "name", ""),
        uwsgi=_uwsgi_facts(),
        worker_classes=tuple(c.__module__ for c in type(worker).__mro__),
        changes_user=_changes_user(worker),
        forks=not sys.modules.keys().isdisjoint(FORKING_SERVERS),
        green=_green(),
    )


def _frames() -> Iterator[FrameType]:
    """The frames of the caller, innermost first, and those of the main thread."""
    main = threading.main_thread().ident
    is_elsewhere = main is not None and main != threading.get_ident()
    for frame in (sys._getframe(1), frame_of(main) if is_elsewhere else None):
        while frame is not None:
            yield frame
            frame = frame.f_back


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _command(frames: list[FrameType]) -> tuple[str, tuple[str, ...]]:
    """The management command that the frames are below of, and its arguments."""
    called = _locals_of(frames, "django.core.management", "execute")
    if called is None:
        return "", ()
    argv = list(getattr(called.get("self"), "argv", sys.argv))
    return (argv[1] if len(argv) > 1 else "help"), tuple(argv[2:])


def _is_of_django(command: str) -> bool:
    try:
        app = get_commands().get(command) if command else None
    except AppRegistryNotReady:
        # Declared while models are imported.
        return False
    return isinstance(app, str) and belongs(app, ("django",))


def _locals_of(frames: list[FrameType], module: str, name: str) -> Any:
    """Return the local variables of the innermost call of a function. None: none."""
    for frame in frames:
        if (_module(frame), frame.f_code.co_name) == (module, name):
            return frame.f_locals
    return None


def _changes_user(worker: Any) -> bool:
    configuration = getattr(worker, "cfg", None)
    uid = getattr(configuration, "uid", 0)
    gid = getattr(configuration, "gid", os.getegid())
    return os.geteuid() == 0 and (uid, gid) != (0, os.getegid())


def uwsgi_module() -> Any:
    """Return the module that exists inside of uWSGI only, or None."""
    module = sys.modules.get("uwsgi")
    if module is None and _has_uwsgi():
        module = importlib.import_module("uwsgi")
    return module if hasattr(module, "worker_id") else None


@functools.lru_cache(maxsize=1)
def _has_uwsgi() -> bool:
    return importlib.util.find_spec("uwsgi") is not None


def _uwsgi_facts() -> UwsgiFacts | None:
    uwsgi = uwsgi_module()
    if uwsgi is None:
        return None

    def ask(name: str) -> int:
        function = getattr(uwsgi, name, None)
        return int(function() or 0) if callable(function) else 0

    return UwsgiFacts(
        worker_id=ask("worker_id"),
        mule_id=ask("mule_id"),
        spooler=bool(ask("i_am_the_spooler")),
        threads=bool(getattr(uwsgi, "has_threads", True)),
    )


def _green() -> str:
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched("threading"):
        return "gevent"
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        return "eventlet"
    return ""
