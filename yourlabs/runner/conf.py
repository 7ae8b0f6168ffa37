"""
The settings of the runner. No other module reads `django.conf.settings`.

They are read at each access, so that `override_settings` works, and every bad one
is an `ImproperlyConfigured` that names it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from yourlabs.runner.chain.loading import is_path_of
from yourlabs.runner.chain.task import OPTIONS, Options, Task, as_option
from yourlabs.runner.exceptions import InvalidTask

DEFAULTS: dict[str, Any] = {
    "SUCCESS_COOLDOWN": Options().success_cooldown,
    "FAIL_COOLDOWN": Options().fail_cooldown,
    "NON_RECOVERABLE_DOWNTIME": Options().non_recoverable_downtime,
    "MAX_DURATION": Options().max_duration,
    "TASKS": {},
    "AUTOSTART": "auto",
    "EMAIL": True,
    "MAX_NEW_EXCEPTIONS": 5,
    "RELEASE": None,
    "STOP_TIMEOUT": timedelta(seconds=10),
}
"""Every key that the setting ``RUNNER`` may have, with its default."""

AUTOSTART_WORDS: dict[str, bool | str] = {
    "auto": "auto",
    "": "auto",
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
"""What the environment's ``RUNNER_AUTOSTART`` may say."""


def get(key: str) -> Any:
    """
    Return what ``RUNNER`` says of `key`, else its default.

    Raises:
        ImproperlyConfigured: ``RUNNER`` is no mapping.
    """
    return runner_setting().get(key, DEFAULTS[key])


def runner_setting() -> Mapping[str, Any]:
    """Return the setting ``RUNNER`` as it stands."""
    value = getattr(settings, "RUNNER", None)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        msg = f"RUNNER is {value!r}: expected a dict, for example {{'EMAIL': False}}."
        raise ImproperlyConfigured(msg)
    return value


def validate() -> None:
    """
    Check every key and value, as far as no task must be imported for it.

    Raises:
        ImproperlyConfigured: One is unknown or cannot be used.
    """
    for key in runner_setting():
        if key not in DEFAULTS:
            msg = f"RUNNER has the unknown key {key!r}: expected {', '.join(DEFAULTS)}."
            raise ImproperlyConfigured(msg)
    for name in OPTIONS:
        setting_option(f"RUNNER[{name.upper()!r}]", name, get(name.upper()))
    for path, options in task_settings().items():
        check_task_options(path, options)
        for name, value in options.items():
            setting_option(f"RUNNER['TASKS'][{path!r}]", name, value)
    max_new_exceptions()
    stop_timeout()
    autostart()
    release()


def options_for(task: Task) -> Options:
    """
    Return the options of `task` that are in force on this server.

    ``RUNNER["TASKS"]`` wins over the decorator, which wins over ``RUNNER``, which
    wins over the defaults.

    Raises:
        ImproperlyConfigured: A setting is no duration, or not known.
    """
    adjusted = _adjusted(task)
    values = {name: _option(name, task, adjusted) for name in OPTIONS}
    return _shared(Options(**values))  # type: ignore[arg-type]


@functools.lru_cache(maxsize=256)
def _shared(options: Options) -> Options:
    """Return the same object for equal options: most tasks have the default ones."""
    return options


def _option(name: str, task: Task, adjusted: Mapping[str, Any]) -> timedelta | None:
    if name in adjusted:
        return setting_option(f"RUNNER['TASKS'][{task.path!r}]", name, adjusted[name])
    if name in task.declared:
        return task.declared[name]
    key = name.upper()
    return setting_option(f"RUNNER[{key!r}]", name, get(key))


def setting_option(where: str, name: str, value: Any) -> timedelta | None:
    """
    Return the value of an option that a setting gives.

    Raises:
        ImproperlyConfigured: It is no good; `where` says which setting it is.
    """
    try:
        return as_option(name, value)
    except InvalidTask as exc:
        msg = f"{where}: {exc}"
        raise ImproperlyConfigured(msg) from None


def _adjusted(task: Task) -> Mapping[str, Any]:
    for path, options in task_settings().items():
        if is_path_of(path, task):
            check_task_options(path, options)
            return options  # type: ignore[no-any-return]
    return {}


def task_settings() -> Mapping[str, Any]:
    """
    Return ``RUNNER["TASKS"]``.

    Raises:
        ImproperlyConfigured: It is no mapping of dotted paths.
    """
    tasks = get("TASKS")
    if not isinstance(tasks, Mapping):
        msg = f"RUNNER['TASKS'] is {tasks!r}: expected {{dotted path: {{option: …}}}}."
        raise ImproperlyConfigured(msg)
    for path in tasks:
        if not isinstance(path, str):
            msg = f"RUNNER['TASKS'] has {path!r}: expected a dotted path as text."
            raise ImproperlyConfigured(msg)
    return tasks


def check_task_options(path: str, options: Any) -> None:
    """
    Check the names in ``RUNNER["TASKS"][path]``.

    Raises:
        ImproperlyConfigured: It is no mapping, or has an option that does not exist.
    """
    where = f"RUNNER['TASKS'][{path!r}]"
    if not isinstance(options, Mapping):
        msg = f"{where} is {options!r}: expected a dict of {', '.join(OPTIONS)}."
        raise ImproperlyConfigured(msg)
    for name in options:
        if name not in OPTIONS:
            msg = f"{where} has {name!r}: the options are {', '.join(OPTIONS)}."
            raise ImproperlyConfigured(msg)


def run_root() -> Path:
    """
    Return the directory of the pidfiles: ``RUN_ROOT``, else BASE_DIR/var/run.

    Raises:
        ImproperlyConfigured: It is no path.
    """
    value = getattr(settings, "RUN_ROOT", None)
    if not value:
        value = os.path.join(getattr(settings, "BASE_DIR", None) or "", "var", "run")
    if not isinstance(value, (str, os.PathLike)) or "\0" in str(value):
        msg = f"RUN_ROOT is {value!r}: expected the path of a directory."
        raise ImproperlyConfigured(msg)
    # A task, or a server that becomes a daemon, may go to another folder.
    return Path(value).absolute()


def autostart() -> bool | str:
    """
    Return ``"auto"``, True or False: the environment's word, else the setting's.

    Raises:
        ImproperlyConfigured: It is none of these.
    """
    word = os.environ.get("RUNNER_AUTOSTART")
    if word is not None:
        try:
            return AUTOSTART_WORDS[word.strip().lower()]
        except KeyError:
            msg = f"RUNNER_AUTOSTART is {word!r}: expected auto, 1 or 0."
            raise ImproperlyConfigured(msg) from None
    value = get("AUTOSTART")
    if isinstance(value, bool) or value == "auto":
        return value  # type: ignore[no-any-return]
    msg = f"RUNNER['AUTOSTART'] is {value!r}: expected 'auto', True or False."
    raise ImproperlyConfigured(msg)


def admins() -> list[str]:
    """Return the addresses in ``ADMINS``, in whatever form; none when it is no list."""
    value = getattr(settings, "ADMINS", None)
    if not isinstance(value, (list, tuple)):
        return []
    last = [
        item[-1] if isinstance(item, (list, tuple)) and item else item for item in value
    ]
    return [address for address in last if isinstance(address, str) and address]


def mail_sender() -> str:
    """Return the address that mails to the admins come from."""
    return str(settings.SERVER_EMAIL)


def mail_prefix() -> str:
    """Return what Django puts before the subject of every mail to the admins."""
    return str(settings.EMAIL_SUBJECT_PREFIX)


def email() -> bool:
    """Say whether the admins are told by mail."""
    return bool(get("EMAIL"))


def max_new_exceptions() -> int:
    """
    Return how many new exceptions are told in one `non_recoverable_downtime`.

    Raises:
        ImproperlyConfigured: It is no whole number, or negative.
    """
    value = get("MAX_NEW_EXCEPTIONS")
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        msg = f"RUNNER['MAX_NEW_EXCEPTIONS'] is {value!r}: expected a whole number."
        raise ImproperlyConfigured(msg)
    return value


def release() -> str | None:
    """
    Return the name of the release that runs, or None: to be found out.

    Raises:
        ImproperlyConfigured: It is no text, and no number.
    """
    value = get("RELEASE")
    if value is None:
        return None
    is_plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    says_what_it_is = getattr(type(value), "__str__", None) != object.__str__
    if not is_plain and not says_what_it_is:
        msg = f"RUNNER['RELEASE'] is {value!r}: expected text, a number or None."
        raise ImproperlyConfigured(msg)
    return str(value)


def stop_timeout() -> timedelta:
    """Return how long a host that ends waits for its chains."""
    value = setting_option(
        "RUNNER['STOP_TIMEOUT']", "stop_timeout", get("STOP_TIMEOUT")
    )
    assert value is not None
    return value
