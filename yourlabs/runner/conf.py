"""
The settings of the runner. Of Django's own, `notify.mail` reads those of mails.

They are read at each access, so that `override_settings` works, and every bad one
is an `ImproperlyConfigured` that names it.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import Error
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from yourlabs.runner.chain.task import OPTIONS, Options, as_option
from yourlabs.runner.exceptions import InvalidTask

TAG = "yourlabs_runner"
"""Of the system checks."""

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
    "REDACT": (),
    "STOP_TIMEOUT": timedelta(seconds=10),
    "BACKEND": "yourlabs.runner.storage.file",
    "PAGE": {},
    "DATABASE": None,
}
"""Every key that the setting ``RUNNER`` may have, with its default."""

CLUSTER = "yourlabs.runner.cluster"
"""The backend, and the app, for chains of several machines."""

AUTOSTART_WORDS: dict[str, bool | str] = {
    "auto": "auto",
    "": "auto",
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
"""The values of the environment variable ``RUNNER_AUTOSTART``."""


def get(key: str) -> Any:
    """Return the value of `key` in ``RUNNER``, else its default."""
    return runner_setting().get(key, DEFAULTS[key])


def runner_setting() -> Mapping[str, Any]:
    """Return the setting ``RUNNER`` as it stands."""
    value = getattr(settings, "RUNNER", None)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _unusable("RUNNER", value, "a dict, for example {'EMAIL': False}")
    return value


def _unusable(where: str, value: object, expected: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{where} is {value!r}: expected {expected}.")


def require_app() -> None:
    """Check that failures will be mailed, which takes the app."""
    if email() and apps.apps_ready and not apps.is_installed("yourlabs.runner"):
        msg = (
            "'yourlabs.runner' is missing from INSTALLED_APPS, so nobody would be told "
            "when a function fails, and no check would run. Add it; or set "
            "RUNNER['EMAIL'] to False, if nobody is to be told."
        )
        raise ImproperlyConfigured(msg)


def validate() -> None:
    """Check every key and value, as far as no task must be imported for it."""
    for problem in problems():
        # An odd `EMAIL` counts as true or false: mails are better than silence.
        if problem.id != f"{TAG}.E013":
            raise ImproperlyConfigured(f"{problem.msg} {problem.hint}")


def error(number: str, message: object, hint: str) -> Error:
    """Return an error of a system check."""
    return Error(str(message), hint=hint, id=f"{TAG}.{number}")


def problems() -> Iterator[Error]:
    """Yield all that is wrong in ``RUNNER``, as far as no task must be imported."""
    try:
        setting = runner_setting()
    except ImproperlyConfigured as exc:
        yield error("E001", exc, "Make it a dict, or leave it out.")
        return
    for key in setting:
        if key not in DEFAULTS:
            close = difflib.get_close_matches(str(key), DEFAULTS, n=1)
            hint = f"Did you mean {close[0]!r}? " if close else ""
            hint += f"The keys are {', '.join(DEFAULTS)}."
            yield error("E002", f"RUNNER has the unknown key {key!r}.", hint)
    readers, hint = [*VALUES], f"The options are {', '.join(OPTIONS)}."
    with suppress(ImproperlyConfigured):
        for path, options in task_settings().items():
            readers.append(("E008", hint, partial(check_task, path, options)))
    for number, hint, read in readers:
        try:
            read()
        except ImproperlyConfigured as exc:
            yield error(number, exc, hint)


def option(name: str) -> timedelta | None:
    """Return the value of an option for tasks that have none of their own."""
    key = name.upper()
    return duration(f"RUNNER[{key!r}]", name, get(key))


def duration(where: str, name: str, value: Any) -> timedelta | None:
    """Return an option's value from a setting; `where` is for the error message."""
    try:
        return as_option(name, value)
    except InvalidTask as exc:
        msg = f"{where}: {exc}"
        raise ImproperlyConfigured(msg) from None


def task_settings() -> Mapping[str, Any]:
    """Return ``RUNNER["TASKS"]``; raise `ImproperlyConfigured` where it is unusable."""
    tasks = get("TASKS")
    if not isinstance(tasks, Mapping):
        raise _unusable("RUNNER['TASKS']", tasks, "{dotted path: {option: …}}")
    for path in tasks:
        if not isinstance(path, str):
            msg = f"RUNNER['TASKS'] has {path!r}: expected a dotted path as text."
            raise ImproperlyConfigured(msg)
    return tasks


def check_task(path: str, options: Any) -> dict[str, timedelta | None]:
    """Return the durations in ``RUNNER["TASKS"][path]``, if all of it is usable."""
    where = f"RUNNER['TASKS'][{path!r}]"
    if not isinstance(options, Mapping):
        raise _unusable(where, options, f"a dict of {', '.join(OPTIONS)}")
    for name in options:
        if name not in OPTIONS:
            raise ImproperlyConfigured(f"{where} has {name!r}, which is no option.")
    return {name: duration(where, name, value) for name, value in options.items()}


def run_root() -> Path:
    """Return the directory of the pidfiles: ``RUN_ROOT``, else BASE_DIR/var/run."""
    value = getattr(settings, "RUN_ROOT", None)
    if not value:
        value = os.path.join(getattr(settings, "BASE_DIR", None) or "", "var", "run")
    if not isinstance(value, (str, os.PathLike)) or "\0" in str(value):
        raise _unusable("RUN_ROOT", value, "the path of a directory")
    # A task, or a server that becomes a daemon, may change the working directory.
    return Path(value).absolute()


def autostart() -> bool | str:
    """Return ``"auto"``, True or False, from the environment, else from the setting."""
    word = os.environ.get("RUNNER_AUTOSTART")
    if word is not None:
        if word.strip().lower() not in AUTOSTART_WORDS:
            raise _unusable("RUNNER_AUTOSTART", word, "auto, 1 or 0")
        return AUTOSTART_WORDS[word.strip().lower()]
    value: bool | str = get("AUTOSTART")
    if not isinstance(value, bool) and value != "auto":
        raise _unusable("RUNNER['AUTOSTART']", value, "'auto', True or False")
    return value


def admins() -> list[str]:
    """Return the addresses in ``ADMINS``, in whatever form; none when it is no list."""
    value = getattr(settings, "ADMINS", None)
    if not isinstance(value, (list, tuple)):
        return []
    last = [
        item[-1] if isinstance(item, (list, tuple)) and item else item for item in value
    ]
    return [address for address in last if isinstance(address, str) and address]


def email() -> bool:
    """Return whether mails are sent to the admins."""
    return bool(get("EMAIL"))


def _check_email() -> None:
    value = get("EMAIL")
    if value not in (True, False):
        msg = f"RUNNER['EMAIL'] is {value!r}, which counts as {email()}."
        raise ImproperlyConfigured(msg)


def backend() -> str:
    """Return the dotted path of the class, or its module, that keeps the chains."""
    value = get("BACKEND")
    if not isinstance(value, str) or not all(
        part.isidentifier() for part in value.split(".")
    ):
        raise _unusable("RUNNER['BACKEND']", value, "a dotted path")
    if value == CLUSTER and apps.apps_ready and not apps.is_installed(CLUSTER):
        msg = f"RUNNER['BACKEND'] is {CLUSTER!r}, which is missing in INSTALLED_APPS."
        raise ImproperlyConfigured(msg)
    return value


def database() -> str | None:
    """Return the database that the leases are in. None: the routers decide."""
    value: str | None = get("DATABASE")
    if value is not None and value not in settings.DATABASES:
        msg = f"RUNNER['DATABASE'] is {value!r}, which is not in DATABASES."
        raise ImproperlyConfigured(msg)
    return value


PAGE_KEYS = ("VIEW", "CONTROL", "TOKEN")
"""Every key that ``RUNNER["PAGE"]`` may have."""


def page() -> dict[str, Any]:
    """Return what gives access to the pages: functions of a request, and a token."""
    value = get("PAGE")
    if not isinstance(value, Mapping) or not set(value) <= set(PAGE_KEYS):
        raise _unusable("RUNNER['PAGE']", value, f"a dict of {', '.join(PAGE_KEYS)}")
    found = {key: value.get(key) for key in PAGE_KEYS}
    for key in ("VIEW", "CONTROL"):
        if found[key] is not None:
            where = f"RUNNER['PAGE'] has {found[key]!r}"
            found[key] = _function(where, found[key], "a function of a request")
    if found["TOKEN"] is not None and not isinstance(found["TOKEN"], str):
        raise ImproperlyConfigured("RUNNER['PAGE']['TOKEN'] is no text.")
    return found


def redactors() -> list[Callable[[str], str]]:
    """Return the functions that texts pass through before they are sent."""
    value = get("REDACT")
    return [
        _function(f"RUNNER['REDACT'] has {one!r}", one, "a function of a text")
        for one in (value if isinstance(value, (list, tuple)) else [value])
    ]


def _function(where: str, value: object, expected: str) -> Callable[..., Any]:
    """Return the function that a setting has, or has the dotted path of."""
    try:
        found = import_string(value) if isinstance(value, str) else value
    except ImportError as exc:
        msg = f"{where}, which cannot be imported: {exc}."
        raise ImproperlyConfigured(msg) from exc
    if not callable(found):
        raise ImproperlyConfigured(f"{where}: expected {expected}.")
    return found  # type: ignore[no-any-return]


def max_new_exceptions() -> int:
    """Return how many new exceptions are mailed in one `non_recoverable_downtime`."""
    value = get("MAX_NEW_EXCEPTIONS")
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _unusable("RUNNER['MAX_NEW_EXCEPTIONS']", value, "a whole number")
    return value


def release() -> str | None:
    """Return the name of the release that runs. None: it is to be found out."""
    value = get("RELEASE")
    if value is None:
        return None
    is_plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    says_what_it_is = getattr(type(value), "__str__", None) != object.__str__
    if not is_plain and not says_what_it_is:
        raise _unusable("RUNNER['RELEASE']", value, "text, a number or None")
    return str(value)


def stop_timeout() -> timedelta:
    """Return how long a host that ends waits for its chains."""
    value = duration("RUNNER['STOP_TIMEOUT']", "stop_timeout", get("STOP_TIMEOUT"))
    assert value is not None
    return value


DURATION_HINT = "For example 60, or datetime.timedelta(minutes=1)."

VALUES: tuple[tuple[str, str, Callable[[], object]], ...] = (
    *(("E003", DURATION_HINT, partial(option, name)) for name in OPTIONS),
    ("E003", DURATION_HINT, stop_timeout),
    ("E004", "0 tells of none of them; the default is 5.", max_new_exceptions),
    ("E005", "'auto' starts chains where requests are served.", autostart),
    ("E014", "Give the version or the commit.", release),
    ("E013", "Use True or False.", _check_email),
    ("E015", f"The default is {DEFAULTS['BACKEND']!r}.", backend),
    ("E016", "Give paths of functions that take and return a text.", redactors),
    ("E018", "For example {'TOKEN': os.environ.get('RUNNER_TOKEN')}.", page),
    ("E025", "Give an alias, or None for that of the routers.", database),
    ("E006", "For example {'tasks.send_mail': {'fail_cooldown': 60}}.", task_settings),
)
"""How each value is read: number of the system check, hint, reader."""
