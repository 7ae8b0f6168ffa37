"""
System checks of the settings.

Servers do not run checks; what cannot work is an error at start as well, from `conf`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from yourlabs.runner import conf
from yourlabs.runner.chain.loading import load_task
from yourlabs.runner.chain.task import OPTIONS

TAG = "yourlabs_runner"

DURATIONS = (
    "SUCCESS_COOLDOWN",
    "FAIL_COOLDOWN",
    "NON_RECOVERABLE_DOWNTIME",
    "MAX_DURATION",
)


def register() -> None:
    """Register every check."""
    for check in (check_keys, check_values, check_tasks, check_run_root, check_admins):
        checks.register(check, TAG)


def check_keys(**_: Any) -> list[checks.CheckMessage]:
    """Find keys of ``RUNNER`` that do not exist."""
    try:
        setting = conf.runner_setting()
    except ImproperlyConfigured as exc:
        return [_error(str(exc), "Make it a dict, or leave it out.", "E001")]
    return [
        _error(
            f"RUNNER has the unknown key {key!r}.",
            f"{_did_you_mean(str(key), list(conf.DEFAULTS))}"
            f"The keys are {', '.join(conf.DEFAULTS)}.",
            "E002",
        )
        for key in setting
        if key not in conf.DEFAULTS
    ]


def check_values(**_: Any) -> list[checks.CheckMessage]:
    """Find values in ``RUNNER`` that cannot be used."""
    return list(_bad_values()) if _is_readable() else []


def _is_readable() -> bool:
    """Say whether there are keys and values at all; what is wrong is E001."""
    try:
        conf.runner_setting()
    except ImproperlyConfigured:
        return False
    return True


def _bad_values() -> Iterator[checks.CheckMessage]:
    for key in DURATIONS:
        yield from _problem(
            lambda key=key: conf.setting_option(  # type: ignore[misc]
                f"RUNNER[{key!r}]", key.lower(), conf.get(key)
            ),
            "Give a timedelta or a number of seconds.",
            "E003",
        )
    yield from _problem(
        conf.stop_timeout, "Give a timedelta or a number of seconds.", "E003"
    )
    yield from _problem(
        conf.max_new_exceptions, "Give a whole number, 0 or more.", "E004"
    )
    yield from _problem(conf.autostart, "Use 'auto', True or False.", "E005")
    yield from _problem(
        conf.release, "Give the version or the commit, as text.", "E014"
    )
    if conf.get("EMAIL") not in (True, False):
        # Mails are better than silence: it counts as true or false all the same.
        yield _error(
            f"RUNNER['EMAIL'] is {conf.get('EMAIL')!r}, which counts as "
            f"{conf.email()}: expected True or False.",
            "Use True or False.",
            "E013",
        )


def check_tasks(**_: Any) -> list[checks.CheckMessage]:
    """Find entries of ``RUNNER["TASKS"]`` that lead nowhere or cannot be used."""
    return list(_bad_tasks()) if _is_readable() else []


def _bad_tasks() -> Iterator[checks.CheckMessage]:
    try:
        tasks = conf.task_settings()
    except ImproperlyConfigured as exc:
        yield _error(
            str(exc), "Make it a dict: {dotted path: {option: value}}.", "E006"
        )
        return
    for path, options in tasks.items():
        try:
            load_task(path)
        except Exception as exc:
            yield _error(
                f"RUNNER['TASKS'] has {path!r}, which cannot be found: {exc}",
                "Give the dotted path of a function, like 'tasks.send_mail'.",
                "E007",
            )
        yield from _bad_options(path, options)


def _bad_options(path: str, options: Any) -> Iterator[checks.CheckMessage]:
    hint = f"The options are {', '.join(OPTIONS)}; give a timedelta or seconds."
    problems = list(
        _problem(lambda: conf.check_task_options(path, options), hint, "E008")
    )
    yield from problems
    if problems:
        return
    where = f"RUNNER['TASKS'][{path!r}]"
    for name, value in options.items():
        yield from _problem(
            lambda name=name, value=value: conf.setting_option(  # type: ignore[misc]
                where, name, value
            ),
            hint,
            "E008",
        )


def check_run_root(**_: Any) -> list[checks.CheckMessage]:
    """Find a RUN_ROOT in which no pidfile can be made."""
    hint = (
        "Set RUN_ROOT to a directory on a local file system that only the user who "
        "runs the chains can write to."
    )
    try:
        root = conf.run_root()
    except ImproperlyConfigured as exc:
        return [_error(str(exc), hint, "E009")]
    place = root
    try:
        while not place.exists() and place != place.parent:
            place = place.parent
    except OSError as exc:
        return [_error(f"RUN_ROOT {root}: {exc.strerror}.", hint, "E009")]
    if not place.is_dir():
        return [_error(f"RUN_ROOT {root}: {place} is no directory.", hint, "E009")]
    if not os.access(place, os.W_OK | os.X_OK):
        return [_error(f"RUN_ROOT {root}: {place} cannot be written to.", hint, "E009")]
    kind = _file_system(place)
    if kind.startswith(("nfs", "cifs", "smb", "9p", "fuse")):
        return [
            checks.Warning(
                f"RUN_ROOT {root} is on a {kind} file system, where locks may be lost.",
                hint=hint,
                id=f"{TAG}.W012",
            )
        ]
    if place == root and os.stat(root).st_mode & 0o002:
        return [
            checks.Warning(
                f"RUN_ROOT {root} can be written to by everybody.",
                hint=hint,
                id=f"{TAG}.W010",
            )
        ]
    return []


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


def check_admins(**_: Any) -> list[checks.CheckMessage]:
    """Find that nobody would be told of a failure."""
    if not _is_readable() or not conf.email() or conf.admins():
        return []
    return [
        checks.Warning(
            "ADMINS is empty: nobody is told when a function fails.",
            hint="Set ADMINS, or RUNNER['EMAIL'] to False when that is meant.",
            id=f"{TAG}.W011",
        )
    ]


def _problem(
    read: Callable[[], Any], hint: str, number: str
) -> Iterator[checks.CheckMessage]:
    try:
        read()
    except ImproperlyConfigured as exc:
        yield _error(str(exc), hint, number)


def _error(message: str, hint: str, number: str) -> checks.CheckMessage:
    return checks.Error(message, hint=hint, id=f"{TAG}.{number}")


def _did_you_mean(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"Did you mean {close[0]!r}? " if close else ""
