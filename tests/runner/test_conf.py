"""Settings are read when they are needed, and every bad one is named."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.runner.fakes import make
from yourlabs.runner import conf, start_chain
from yourlabs.runner.chain.decorator import task
from yourlabs.runner.chain.loading import load_task
from yourlabs.runner.chain.task import Options, Task


@task(success_cooldown=10, fail_cooldown=20)
def sync() -> None:
    """Do nothing."""


@task
def bare() -> None:
    """Do nothing."""


SYNC: Task = sync.runner_task  # type: ignore[attr-defined]
BARE: Task = bare.runner_task  # type: ignore[attr-defined]
PATH = f"{__name__}.sync"


def test_defaults(settings: Any) -> None:
    """Without settings the documented defaults are in force."""
    del settings.RUNNER

    assert BARE.options == Options(
        success_cooldown=timedelta(minutes=5),
        fail_cooldown=timedelta(minutes=20),
        non_recoverable_downtime=timedelta(hours=12),
        max_duration=None,
    )
    assert conf.autostart() == "auto"
    assert conf.email() is True
    assert conf.max_new_exceptions() == 5
    assert conf.release() is None
    assert conf.stop_timeout() == timedelta(seconds=10)


def test_order(settings: Any) -> None:
    """``RUNNER["TASKS"]`` wins over the decorator, that over ``RUNNER``'s options."""
    settings.RUNNER = {
        "SUCCESS_COOLDOWN": 1,
        "FAIL_COOLDOWN": timedelta(seconds=2),
        "MAX_DURATION": 3,
        "TASKS": {PATH: {"success_cooldown": timedelta(days=1, minutes=1)}},
    }

    assert SYNC.success_cooldown.total_seconds() == 86_460
    assert SYNC.fail_cooldown == timedelta(seconds=20)
    assert SYNC.max_duration == timedelta(seconds=3)
    assert SYNC.non_recoverable_downtime == timedelta(hours=12)
    assert BARE.success_cooldown == timedelta(seconds=1)
    assert BARE.fail_cooldown == timedelta(seconds=2)


def test_none_in_tasks(settings: Any) -> None:
    """None for a task takes the limit off that all others have."""
    settings.RUNNER = {"MAX_DURATION": 60, "TASKS": {PATH: {"max_duration": None}}}

    assert SYNC.max_duration is None
    assert BARE.max_duration == timedelta(minutes=1)


def test_read_at_each_access(settings: Any) -> None:
    """Settings that change are in force with the next access."""
    settings.RUNNER = {"SUCCESS_COOLDOWN": 1}
    assert BARE.success_cooldown == timedelta(seconds=1)

    settings.RUNNER = {"SUCCESS_COOLDOWN": 2}

    assert BARE.success_cooldown == timedelta(seconds=2)


def test_options_of_a_chain(settings: Any) -> None:
    """A chain, and who tells of it, keep to the options that it was made with."""
    settings.RUNNER = {"SUCCESS_COOLDOWN": 1, "EMAIL": False}
    thread = make(bare)

    settings.RUNNER = {"SUCCESS_COOLDOWN": 2}

    assert thread.tasks[0].options.success_cooldown == timedelta(seconds=1)
    assert BARE.success_cooldown == timedelta(seconds=2)


def test_reexported(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task is adjusted by any path that leads to its function."""
    (tmp_path / "shop_front.py").write_text(f"from {__name__} import sync\n")
    monkeypatch.syspath_prepend(tmp_path)
    settings.RUNNER = {"TASKS": {"shop_front.sync": {"fail_cooldown": 7}}}

    assert SYNC.fail_cooldown == timedelta(seconds=7)


def test_method(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A method is adjusted by the path that it is loaded by."""
    code = "class Till:\n    def count(self): pass\n\ntill, other = Till(), Till()\n"
    (tmp_path / "shop_till.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    settings.RUNNER = {"TASKS": {"shop_till.till.count": {"fail_cooldown": 7}}}

    assert load_task("shop_till.till.count").fail_cooldown == timedelta(seconds=7)
    assert load_task("shop_till.other.count").fail_cooldown == timedelta(minutes=20)


def test_broken_neighbour(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry whose module cannot be imported does not stop other tasks."""
    (tmp_path / "shop_back.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    settings.RUNNER = {
        "TASKS": {
            "shop_back.sync": {"fail_cooldown": 8},
            "nowhere.sync": {"fail_cooldown": 9},
            PATH: {"fail_cooldown": 10},
        }
    }

    assert SYNC.fail_cooldown == timedelta(seconds=10)


BAD = [
    ([], "RUNNER is \\[\\]: expected a dict"),
    ("auto", "RUNNER is 'auto': expected a dict"),
    (
        {"FAIL_COOLDOW": 5},
        "RUNNER has the unknown key 'FAIL_COOLDOW'. Did you mean",
    ),
    ({"FAIL_COOLDOWN": "1h"}, "RUNNER\\['FAIL_COOLDOWN'\\]: fail_cooldown is '1h'"),
    ({"SUCCESS_COOLDOWN": None}, "RUNNER\\['SUCCESS_COOLDOWN'\\]: .*is None"),
    ({"NON_RECOVERABLE_DOWNTIME": 0}, "must be longer than zero"),
    ({"MAX_DURATION": -5}, "RUNNER\\['MAX_DURATION'\\]: .*cannot be negative"),
    ({"STOP_TIMEOUT": "soon"}, "RUNNER\\['STOP_TIMEOUT'\\]: stop_timeout is 'soon'"),
    ({"STOP_TIMEOUT": None}, "RUNNER\\['STOP_TIMEOUT'\\]: stop_timeout is None"),
    ({"MAX_NEW_EXCEPTIONS": -1}, "RUNNER\\['MAX_NEW_EXCEPTIONS'\\] is -1"),
    ({"MAX_NEW_EXCEPTIONS": True}, "RUNNER\\['MAX_NEW_EXCEPTIONS'\\] is True"),
    ({"MAX_NEW_EXCEPTIONS": 2.5}, "RUNNER\\['MAX_NEW_EXCEPTIONS'\\] is 2.5"),
    ({"AUTOSTART": "maybe"}, "RUNNER\\['AUTOSTART'\\] is 'maybe': expected 'auto'"),
    ({"AUTOSTART": None}, "RUNNER\\['AUTOSTART'\\] is None"),
    ({"AUTOSTART": 1}, "RUNNER\\['AUTOSTART'\\] is 1: expected"),
    ({"TASKS": [PATH]}, "RUNNER\\['TASKS'\\] is \\['.*sync'\\]: expected"),
    ({"TASKS": {PATH: 60}}, "RUNNER\\['TASKS'\\]\\['.*sync'\\] is 60: expected a dict"),
    (
        {"TASKS": {PATH: {"name": "x"}}},
        "RUNNER\\['TASKS'\\].* has 'name', which is",
    ),
    ({"TASKS": {PATH: {"fail_cooldown": "x"}}}, "\\['TASKS'\\].*: fail_cooldown is 'x"),
    ({"TASKS": {5: {"fail_cooldown": 1}}}, "RUNNER\\['TASKS'\\] has 5: expected a dot"),
    (
        {"TASKS": {bare: {}}},
        "RUNNER\\['TASKS'\\] has <function bare .*: expected a dot",
    ),
]


@pytest.mark.parametrize(("value", "message"), BAD, ids=[repr(v)[:25] for v, _ in BAD])
def test_bad_setting(settings: Any, value: Any, message: str) -> None:
    """A bad setting is an error at start that names it, and nothing is started."""
    settings.RUNNER = value

    with pytest.raises(ImproperlyConfigured, match=message):
        start_chain([sync], name="never")


def test_bad_setting_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A word in the environment that means nothing is an error at start."""
    monkeypatch.setenv("RUNNER_AUTOSTART", "perhaps")

    with pytest.raises(ImproperlyConfigured, match="RUNNER_AUTOSTART is 'perhaps'"):
        start_chain([sync], name="never")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("1", True),
        ("true", True),
        ("YES", True),
        (" on ", True),
        ("0", False),
        ("False", False),
        ("no", False),
        ("off", False),
        ("auto", "auto"),
        ("", "auto"),
    ],
)
def test_autostart_of_the_environment(
    settings: Any, monkeypatch: pytest.MonkeyPatch, word: str, expected: bool | str
) -> None:
    """The environment's word on where chains start wins over the setting's."""
    settings.RUNNER = {"AUTOSTART": expected is not True}
    monkeypatch.setenv("RUNNER_AUTOSTART", word)

    assert conf.autostart() == expected


@pytest.mark.parametrize("value", ["auto", True, False])
def test_autostart(settings: Any, monkeypatch: pytest.MonkeyPatch, value: Any) -> None:
    """Without a word of the environment the setting says where chains start."""
    monkeypatch.delenv("RUNNER_AUTOSTART", raising=False)
    settings.RUNNER = {"AUTOSTART": value}

    assert conf.autostart() is value


def test_run_root(settings: Any) -> None:
    """The pidfiles are in RUN_ROOT, which may be a text."""
    settings.RUN_ROOT = "/run/shop"

    assert conf.run_root() == Path("/run/shop")


def test_relative_run_root(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative RUN_ROOT stays where it is when the process goes elsewhere."""
    monkeypatch.chdir(tmp_path)
    settings.RUN_ROOT = "run"

    root = conf.run_root()
    monkeypatch.chdir("/")

    assert root == tmp_path / "run"
    assert root.is_absolute()


def test_run_root_of_the_project(settings: Any) -> None:
    """Without RUN_ROOT the pidfiles are below the project."""
    settings.BASE_DIR = "/srv/shop"
    del settings.RUN_ROOT

    assert conf.run_root() == Path("/srv/shop/var/run")


def test_run_root_of_nothing(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a project's folder either, they are below the working directory."""
    monkeypatch.chdir(tmp_path)
    del settings.BASE_DIR
    settings.RUN_ROOT = None

    assert conf.run_root() == tmp_path / "var" / "run"


def test_other_values(settings: Any) -> None:
    """Further settings are read as they are meant."""
    settings.RUNNER = {
        "EMAIL": False,
        "RELEASE": 42,
        "MAX_NEW_EXCEPTIONS": 0,
        "STOP_TIMEOUT": 2.5,
    }

    assert conf.email() is False
    assert conf.release() == "42"
    assert conf.max_new_exceptions() == 0
    assert conf.stop_timeout() == timedelta(seconds=2.5)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["a@example.com", "b@example.com"], ["a@example.com", "b@example.com"]),
        ([("A", "a@example.com")], ["a@example.com"]),
        ([["A", "a@example.com"]], ["a@example.com"]),
        ((), []),
        (None, []),
        ("a@example.com", []),
        ([5, "", (), None], []),
    ],
)
def test_admins(settings: Any, value: Any, expected: list[str]) -> None:
    """The addresses in ADMINS are found in whatever form they are given."""
    settings.ADMINS = value

    assert conf.admins() == expected
