"""The way out: the same settings as a plain module."""

from __future__ import annotations

import datetime
import enum
import os
import re
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.conf import Settings, global_settings
from django.core.management import CommandError, call_command
from django.core.management.commands import diffsettings
from django.test import override_settings
from django.utils.translation import gettext_lazy, pgettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from tests.setup.conftest import Project, clean_environment
from yourlabs.setup import Setup
from yourlabs.setup.__main__ import CannotFreeze, freeze

ENVIRONMENTS: dict[str, dict[str, str]] = {
    "hosts": {"ALLOWED_HOSTS": "example.com,.example.org"},
    "debug": {"DEBUG": "1"},
    "key": {"ALLOWED_HOSTS": "x.org", "SECRET_KEY": "k'\"\\" * 20},
    "fallbacks": {"DEBUG": "1", "SECRET_KEY_FALLBACKS": "one, two\nthree"},
    "postgres": {"DEBUG": "0", "ALLOWED_HOSTS": "x", "DATABASE_URL": "postgres://u:%23%3F%2F%40%25%2B%3A@h:5/db?pool=true"},
    "postgres socket": {"DEBUG": "1", "DATABASE_URL": "postgres://u:p@%2Frun/db"},
    "same words": {"DEBUG": "1", "DATABASE_URL": "postgres://db:db@db/db"},
    "mysql": {"DEBUG": "1", "DATABASE_URL": "mysql://u:é@h/db?charset=utf8mb4"},
    "sqlite": {"DEBUG": "1", "DATABASE_URL": "sqlite:///x.db?timeout=0.5"},
    "redis": {"DEBUG": "1", "CACHE_URL": "redis://:p%40@h:6379/1?timeout=3&db=2"},
    "redis comma": {"DEBUG": "1", "CACHE_URL": " redis://:a,b@h"},
    "locmem": {"DEBUG": "1", "CACHE_URL": "locmem://name?version=2"},
    "smtps": {"ALLOWED_HOSTS": "x", "EMAIL_URL": "smtps://a%40b:p%3Aw@h?timeout=3"},
    "smtp": {"DEBUG": "1", "EMAIL_URL": "smtp+tls://u:p@h"},
    "mails in files": {"DEBUG": "1", "EMAIL_URL": "file:///tmp/mails"},
    "logs": {"DEBUG": "1", "LOG_LEVEL": "DEBUG", "LOG_FORMAT": "json"},
    "admins": {"ALLOWED_HOSTS": "x", "ADMINS": "Me <me@x.org>,you@x.org"},
    "origins": {"ALLOWED_HOSTS": "x", "CSRF_TRUSTED_ORIGINS": "https://*.x.org"},
    "dotenv": {".env": "export DEBUG='1'\nSECRET_KEY=\"a\\nb\"\nEMAIL_URL=smtp://u:p@h"},
    "replica": {"DEBUG": "1", "REPLICA_DATABASE_URL": "postgres://u:p%2Fw@h1:1,h2:2/db"},
    "password": {
        "DEBUG": "1", "DATABASE_URL": "mysql://h/db", "DATABASE_PASSWORD": "hunter2"
    },
    "redis hosts": {"DEBUG": "1", "CACHE_URL": "redis://:p%2Fw@h1:1,h2/1?ssl=x&timeout=3"},
    "memcached": {"DEBUG": "1", "CACHE_URL": "memcached://h1,h2:1?no_delay=true"},
    "storage": {"ALLOWED_HOSTS": "x", "STORAGE_URL": "s3://key:p%2Fw@bucket/x?for=both"},
    "folder": {"DEBUG": "1", "STORAGE_URL": "file:///srv/files?for=both"},
    "dotenv of others": {".env": "[x]\nP='it\\'s'\nA\nDEBUG=1\nDATABASE_URL=\"postgres://u:${{Q:-p}}@h/db\"\nSECRET_KEY='one\ntwo'"},
    "files": {
        "DEBUG": "1",
        "SECRET_KEY_FILE": "{root}/key",
        "DATABASE_URL_FILE": "{root}/database url",
    },
}  # fmt: skip


@pytest.fixture
def prepared(project: Project) -> Iterator[Project]:
    """A project with the files that environments name; its modules are forgotten."""
    project.write("key", "from a file\n")
    project.write("database url", "postgres://u:f%2Fp@h/db\n")
    zone = os.environ.get("TZ")
    yield project
    # Django sets the zone of the process from the settings.
    os.environ.pop("TZ") if zone is None else os.environ.update(TZ=zone)
    time.tzset()
    for name in ("package", "package.settings", "frozen"):
        sys.modules.pop(name, None)


def set_environment(
    project: Project, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> dict[str, str]:
    """Set an environment of the table; return its variables."""
    variables = {n: v.format(root=project.root) for n, v in environ.items()}
    project.write(".env", variables.pop(".env", ""))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def differences(module: str) -> list[str]:
    """``diffsettings --all``, but for the name of the module and the app of setup."""
    settings = Settings(module)
    apps = [name for name in settings.INSTALLED_APPS if name != "yourlabs.setup"]
    user = {**diffsettings.module_to_dict(settings), "INSTALLED_APPS": repr(apps)}
    del user["SETTINGS_MODULE"]
    default = diffsettings.module_to_dict(global_settings)
    return diffsettings.Command().output_hash(user, default, all=True)


@pytest.mark.parametrize("environ", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_same_settings(
    prepared: Project, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    """The frozen module has the settings of the three lines, and no secret."""
    monkeypatch.syspath_prepend(str(prepared.root))
    set_environment(prepared, monkeypatch, environ)
    expected = differences("package.settings")
    settings = vars(sys.modules["package.settings"])

    source = freeze(settings)
    prepared.write("frozen.py", source)

    assert differences("frozen") == expected
    assert settings["SECRET_KEY"] not in source
    assert "hunter2" not in source
    for name in (
        "DATABASE_URL",
        "REPLICA_DATABASE_URL",
        "CACHE_URL",
        "EMAIL_URL",
        "STORAGE_URL",
    ):
        if len(environ.get(name, "").partition("@")[2]) > 1:
            assert environ[name].partition("@")[0] not in source


def test_frozen_project(prepared: Project) -> None:
    """diffsettings of a project says the same before and after it is frozen."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        variables = set_environment(prepared, monkeypatch, ENVIRONMENTS["files"])
    before = prepared.manage("diffsettings", "--all", **variables).stdout
    frozen = prepared.python("-m", "yourlabs.setup", "--freeze", **variables).stdout
    prepared.write("package/settings.py", frozen)

    after = prepared.manage("diffsettings", "--all", **variables)

    assert "'yourlabs.setup'" not in frozen
    assert after.stdout == before.replace(", 'yourlabs.setup']", "]")
    assert after.stderr == ""


class Colour(enum.Enum):
    RED = 1


def module_of(values: dict[str, Any], name: str = "somewhere") -> dict[str, Any]:
    return {**vars(ModuleType(name)), **values}


def thaw(source: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {}
    exec(compile(source, "frozen", "exec"), namespace)
    return namespace


@pytest.mark.parametrize(
    "value",
    [
        Path("/a b/'c'"),
        datetime.timedelta(days=1, seconds=5),
        datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc),
        datetime.date(2026, 1, 2),
        Decimal("1.50"),
        UUID(int=5),
        ZoneInfo("Europe/Paris"),
        re.compile("^/robots.txt$" * 30, re.IGNORECASE | re.DOTALL),
        Colour.RED,
        os.path.join,
        OrderedDict,
        len,
        {"a": [(), (1,), (1, 2), set(), {1}, frozenset(), frozenset({2})]},
        [b"bytes", None, True, 1.5, -1, 10**30, "'\"\n\\\x00é"],
        {"long": ["x" * 30, "y" * 30, ("z" * 60,)], 5: {}},
        ["os.environ", "Path(", "re.compile("],
        datetime.timezone.utc,
    ],
    ids=lambda value: repr(value).partition(" at 0x")[0],
)
def test_values(value: object) -> None:
    """Values that settings are made of are written as source."""
    source = freeze(module_of({"VALUE": value, "lower": object(), "_HIDDEN": 1}))

    assert thaw(source)["VALUE"] == value
    assert type(thaw(source)["VALUE"]) is type(value)
    assert "lower" not in source
    assert "_HIDDEN" not in source


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
        lambda values: (
            st.lists(values) | st.tuples(values) | st.dictionaries(st.text(), values)
        ),
        max_leaves=20,
    )
)
def test_plain_values(value: Any) -> None:
    """Any value of plain types comes out of the source as it was."""
    assert repr(thaw(freeze(module_of({"VALUE": value})))["VALUE"]) == repr(value)


def test_translations() -> None:
    """A translation stays one."""
    settings = module_of({"LANGUAGES": [("en", gettext_lazy("English"))]})

    source = freeze(settings)

    assert "gettext_lazy('English')" in source
    assert repr(thaw(source)["LANGUAGES"]) == repr(settings["LANGUAGES"])


@pytest.mark.parametrize(
    "value",
    [
        object(),
        lambda request: True,
        OrderedDict(a=1),
        float("inf"),
        pgettext_lazy("context", "x"),
    ],
    ids=["object", "lambda", "OrderedDict", "inf", "pgettext"],
)
def test_values_that_cannot_be_written(value: object) -> None:
    """A value without a source is an error that names its setting."""
    with pytest.raises(CannotFreeze, match="MINE cannot be written as source"):
        freeze(module_of({"FIRST": 1, "MINE": [value]}))


def test_secrets_in_what_the_file_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password stays unwritten when the file changes what is around it."""
    monkeypatch.setenv("DATABASE_URL", "postgres://u:hunter2@h/db")
    monkeypatch.setenv("STRIPE_KEY", "hunter2-stripe")
    setup = Setup({"PROJECT_ROOT": tmp_path, "STRIPE_KEY": "hunter2-stripe"})
    setup.database()
    setup.settings["DATABASES"]["default"]["CONN_MAX_AGE"] = 5

    source = freeze(setup.settings)

    assert "hunter2" not in source
    assert "STRIPE_KEY = os.environ['STRIPE_KEY']" in source
    assert thaw(source)["DATABASES"] == setup.settings["DATABASES"]


def test_function_of_the_settings() -> None:
    """A function that the settings module itself defines cannot be moved."""
    with pytest.raises(CannotFreeze):
        freeze(module_of({"SHOW": test_function_of_the_settings}, name=__name__))


def test_command_that_cannot_freeze(
    prepared: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command ends with the error, and prints no half of a module."""
    monkeypatch.syspath_prepend(str(prepared.root))
    prepared.write("frozen.py", "MINE = object()\n")
    from yourlabs.setup.management.commands.setup import Command

    with override_settings(SETTINGS_MODULE="frozen"), pytest.raises(CommandError):
        call_command(Command(), freeze=True)


def test_key_that_lasts_as_long_as_the_process(tmp_path: Path) -> None:
    """A key that could not be kept is frozen as one that is made."""
    (tmp_path / "var").touch()
    setup = Setup(module_of({"PROJECT_ROOT": tmp_path}))
    setup.debug(True)
    setup.security()

    source = freeze(setup.settings)

    assert "import secrets" in source
    assert "SECRET_KEY = secrets.token_urlsafe(48)" in source


def test_frozen_module_does_not_import_setup(project: Project) -> None:
    """A frozen project runs without setup being imported by its settings."""
    frozen = project.manage("setup", "--freeze", DEBUG="1").stdout
    project.write("plain.py", frozen)
    program = "import plain, sys; print('yourlabs.setup' in sys.modules)"

    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=project.root,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )

    assert result.stdout == "False\n"
