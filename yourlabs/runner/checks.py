"""
System checks of the settings.

Servers do not run checks; what cannot work is an error at start as well, from `conf`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from yourlabs.runner import conf
from yourlabs.runner.chain.loading import load_task
from yourlabs.runner.conf import TAG as TAG
from yourlabs.runner.conf import error
from yourlabs.runner.ownership.root import Problem, examine_root


@checks.register(TAG)
def check_setting(**_: Any) -> list[checks.CheckMessage]:
    """Find keys and values of ``RUNNER`` that cannot be used."""
    return list(conf.problems())


@checks.register(TAG)
def check_tasks(**_: Any) -> list[checks.CheckMessage]:
    """Find paths in ``RUNNER["TASKS"]`` that lead nowhere."""
    try:
        paths = list(conf.task_settings())
    except ImproperlyConfigured:
        return []
    hint = "Give the dotted path of a function, like 'tasks.send_mail'."
    found: list[checks.CheckMessage] = []
    for path in paths:
        try:
            load_task(path)
        except Exception as exc:
            message = f"RUNNER['TASKS'] has {path!r}, which cannot be found: {exc}"
            found.append(error("E007", message, hint))
    return found


@checks.register(TAG)
def check_run_root(**_: Any) -> list[checks.CheckMessage]:
    """Find a RUN_ROOT in which no pidfile can be made."""
    hint = (
        "Set RUN_ROOT to a directory on a local file system that only the user who "
        "runs the chains can write to."
    )
    try:
        root = conf.run_root()
    except ImproperlyConfigured as exc:
        return [error("E009", exc, hint)]
    place = root
    try:
        while not place.exists() and place != place.parent:
            place = place.parent
    except OSError as exc:
        return [error("E009", f"RUN_ROOT {root}: {exc.strerror}.", hint)]
    if not place.is_dir():
        return [error("E009", f"RUN_ROOT {root}: {place} is no directory.", hint)]
    if not os.access(place, os.W_OK | os.X_OK):
        return [error("E009", f"RUN_ROOT {root}: {place} cannot be written to.", hint)]
    kind = _file_system(place)
    if kind.startswith(("nfs", "cifs", "smb", "9p", "fuse")):
        text = f"RUN_ROOT {root} is on a {kind} file system, where locks may be lost."
        return [_warning("W012", text, hint)]
    return [_shared(problem) for problem in examine_root(root)]


def _shared(problem: Problem) -> checks.CheckMessage:
    hint = f"To mend it: {problem.command}"
    if problem.severity == "error":
        return error("E009", problem.text, hint)
    return _warning("W010", problem.text, hint)


def _file_system(place: Path) -> str:
    """Return the kind of file system that `place` is on; empty where it is unknown."""
    try:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return ""
    found = ("", "")
    resolved = place.resolve()
    for point, kind in (line.split(" ")[1:3] for line in mounts):
        if len(point) >= len(found[0]) and resolved.is_relative_to(point):
            found = (point, kind)
    return found[1]


@checks.register(TAG)
def check_admins(**_: Any) -> list[checks.CheckMessage]:
    """Find that no failure would be mailed to anybody."""
    try:
        if not conf.email() or conf.admins():
            return []
    except ImproperlyConfigured:
        # That is for `check_setting`.
        return []
    text = "ADMINS is empty: nobody is told when a function fails."
    hint = "Set ADMINS, or RUNNER['EMAIL'] to False when that is meant."
    return [_warning("W011", text, hint)]


@checks.register(TAG)
def check_first_process(**_: Any) -> list[checks.CheckMessage]:
    """Find that a container has no init to end the processes that tasks leave."""
    if os.getpid() != 1:
        return []
    text = (
        "This process is pid 1: in such a container nobody ends the processes that "
        "tasks leave behind."
    )
    hint = "Run the container with an init, as with docker run --init."
    return [_warning("W017", text, hint)]


def _warning(number: str, message: str, hint: str) -> checks.CheckMessage:
    return checks.Warning(message, hint=hint, id=f"{TAG}.{number}")
