"""What is wrong with the settings is found before anything is started."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import ERROR, CheckMessage, registry, run_checks
from django.core.management import call_command

from yourlabs.runner import checks
from yourlabs.runner.ownership.root import Problem
from yourlabs.runner.tasks import divide_by_zero

PATH = f"{divide_by_zero.__module__}.divide_by_zero"


def sync() -> None:
    """Do nothing."""


@pytest.fixture(autouse=True)
def sane(settings: Any, tmp_path: Path) -> None:
    """Settings with which there is nothing wrong."""
    settings.RUN_ROOT = tmp_path
    settings.ADMINS = ["admin@example.com"]
    settings.RUNNER = {}
    tmp_path.chmod(0o750)


def found() -> list[CheckMessage]:
    """What the checks of the runner find, as ``manage.py check`` runs them."""
    return [
        message
        for message in run_checks(tags=[checks.TAG])
        if str(message.id).startswith(checks.TAG)
    ]


def test_registered() -> None:
    """The app registers its checks under a tag of its own."""
    assert checks.TAG in {
        tag for check in registry.registry.get_checks() for tag in check.tags
    }


def test_nothing(settings: Any) -> None:
    """Nothing is found where nothing is wrong."""
    settings.RUNNER = {
        "SUCCESS_COOLDOWN": 60,
        "FAIL_COOLDOWN": timedelta(hours=1),
        "NON_RECOVERABLE_DOWNTIME": timedelta(days=1),
        "MAX_DURATION": None,
        "TASKS": {PATH: {"fail_cooldown": 5, "max_duration": None}},
        "AUTOSTART": False,
        "EMAIL": True,
        "MAX_NEW_EXCEPTIONS": 0,
        "RELEASE": "1.2",
        "STOP_TIMEOUT": 5,
        "BACKEND": "project.chains",
        "REDACT": ["html.escape", str.upper],
    }

    assert found() == []


def test_no_setting(settings: Any) -> None:
    """Without the setting there is nothing to find."""
    del settings.RUNNER

    assert found() == []


CASES = [
    ({"RUNNER": 5}, "E001", "RUNNER is 5: expected a dict"),
    (
        {"RUNNER": {"FAIL_COOLDOW": 5}},
        "E002",
        "RUNNER has the unknown key 'FAIL_COOLDOW'.",
    ),
    ({"RUNNER": {7: 5}}, "E002", "RUNNER has the unknown key 7."),
    ({"RUNNER": {"FAIL_COOLDOWN": "5"}}, "E003", "fail_cooldown is '5'"),
    ({"RUNNER": {"SUCCESS_COOLDOWN": -1}}, "E003", "success_cooldown is -1"),
    ({"RUNNER": {"NON_RECOVERABLE_DOWNTIME": 0}}, "E003", "non_recoverable_downtime"),
    ({"RUNNER": {"MAX_DURATION": 0}}, "E003", "max_duration is 0"),
    ({"RUNNER": {"STOP_TIMEOUT": "x"}}, "E003", "stop_timeout is 'x'"),
    ({"RUNNER": {"MAX_NEW_EXCEPTIONS": -1}}, "E004", "MAX_NEW_EXCEPTIONS'] is -1"),
    ({"RUNNER": {"AUTOSTART": "x"}}, "E005", "AUTOSTART'] is 'x'"),
    ({"RUNNER": {"RELEASE": [1]}}, "E014", "RUNNER['RELEASE'] is [1]: expected text"),
    ({"RUNNER": {"RELEASE": True}}, "E014", "RUNNER['RELEASE'] is True"),
    ({"RUNNER": {"EMAIL": "false"}}, "E013", "'false', which counts as True"),
    ({"RUNNER": {"BACKEND": "no path"}}, "E015", "RUNNER['BACKEND'] is 'no path'"),
    ({"RUNNER": {"BACKEND": None}}, "E015", "RUNNER['BACKEND'] is None"),
    ({"RUNNER": {"REDACT": ["no.such"]}}, "E016", "'no.such', which cannot be imp"),
    ({"RUNNER": {"REDACT": [5]}}, "E016", "has 5: expected a function of a text"),
    ({"RUNNER": {"REDACT": None}}, "E016", "has None: expected a function of a text"),
    ({"RUNNER": {"TASKS": 5}}, "E006", "RUNNER['TASKS'] is 5"),
    (
        {"RUNNER": {"TASKS": {"yourlabs.runner.tasks.divide": {}}}},
        "E007",
        "which cannot be found: There is no function 'divide' in the module",
    ),
    ({"RUNNER": {"TASKS": {5: {}}}}, "E006", "RUNNER['TASKS'] has 5: expected a dot"),
    ({"RUNNER": {"TASKS": {PATH: 5}}}, "E008", "is 5: expected a dict of"),
    (
        {"RUNNER": {"TASKS": {PATH: {"nam": 5}}}},
        "E008",
        "has 'nam', which is no op",
    ),
    (
        {"RUNNER": {"TASKS": {PATH: {"fail_cooldown": "x"}}}},
        "E008",
        "fail_cooldown is 'x'",
    ),
    ({"RUN_ROOT": "/dev/null"}, "E009", "RUN_ROOT /dev/null: /dev/null is no dir"),
    ({"RUN_ROOT": "/dev/null/run"}, "E009", "/dev/null is no directory"),
    ({"RUN_ROOT": 5}, "E009", "RUN_ROOT is 5: expected the path of a directory"),
    ({"RUN_ROOT": "a\0b"}, "E009", "RUN_ROOT is 'a\\x00b': expected the path"),
    ({"RUN_ROOT": "/tmp/" + 300 * "x"}, "E009", "xxx: File name too long"),
    ({"ADMINS": []}, "W011", "ADMINS is empty: nobody is told"),
    ({"ADMINS": ["", ()]}, "W011", "ADMINS is empty"),
]


@pytest.mark.parametrize(("changes", "number", "text"), CASES)
def test_found(settings: Any, changes: Any, number: str, text: str) -> None:
    """What is wrong is one message, which says what to do and has its own id."""
    for name, value in changes.items():
        setattr(settings, name, value)

    messages = found()

    assert [message.id for message in messages] == [f"{checks.TAG}.{number}"]
    assert text in str(messages[0].msg)
    assert messages[0].hint
    assert (messages[0].level >= ERROR) == number.startswith("E")


def test_all_at_once(settings: Any) -> None:
    """Every mistake is found in one go."""
    settings.RUNNER = {"FAIL_COOLDOWN": "x", "MAX_DURATION": "y", "EMIAL": True}

    assert sorted(str(message.id)[-4:] for message in found()) == [
        "E002",
        "E003",
        "E003",
    ]


def test_did_you_mean(settings: Any) -> None:
    """A key that was misspelt is told with the one that may be meant."""
    settings.RUNNER = {"FAIL_COOLDOW": 5, "QQQ": 1}

    hints = [message.hint for message in found()]

    assert hints[0].startswith("Did you mean 'FAIL_COOLDOWN'? The keys are ")
    assert hints[1].startswith("The keys are ")


def test_broken_module(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that fails at import is told with its own error."""
    (tmp_path / "checks_broken.py").write_text("raise OSError('no such disk')\n")
    monkeypatch.syspath_prepend(tmp_path)
    settings.RUNNER = {"TASKS": {"checks_broken.sync": {}}}

    [message] = found()

    assert message.id == "yourlabs_runner.E007"
    assert "no such disk" in message.msg


def test_run_root_is_made(settings: Any, tmp_path: Path) -> None:
    """A RUN_ROOT that is missing is no mistake where it can be made."""
    settings.RUN_ROOT = tmp_path / "deep" / "down"

    assert found() == []
    assert not settings.RUN_ROOT.exists()


def test_run_root_for_everybody(tmp_path: Path) -> None:
    """A RUN_ROOT that everybody can write to is an error, with the remedy."""
    tmp_path.chmod(0o777)

    [message] = found()

    assert message.id == "yourlabs_runner.E009"
    assert "can be written to by everybody" in message.msg
    assert message.hint == f"To mend it: chmod o-w {tmp_path}"


def test_run_root_for_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A RUN_ROOT that a group of several can write to is warned of."""
    problem = Problem("warning", "by its group", "chmod g-w there")
    monkeypatch.setattr(checks, "examine_root", lambda root: [problem])

    [message] = found()

    assert message.id == "yourlabs_runner.W010"
    assert message.hint == "To mend it: chmod g-w there"


@pytest.mark.parametrize(("kind", "ids"), [("nfs4", ["W012"]), ("ext4", [])])
def test_run_root_far_away(
    settings: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    ids: list[str],
) -> None:
    """A RUN_ROOT on a file system of another machine is warned of."""
    mounts = f"/dev/sda1 / ext4 rw 0 0\nserver:/x {tmp_path} {kind} rw 0 0\n"
    read = Path.read_text
    monkeypatch.setattr(
        Path,
        "read_text",
        lambda path, *args, **kwargs: (
            mounts if str(path) == "/proc/self/mounts" else read(path, *args, **kwargs)
        ),
    )

    assert [str(message.id)[-4:] for message in found()] == ids


def test_no_mounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file systems cannot be told, nothing is said of them."""

    def refuse(*_: Any, **__: Any) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", refuse)

    assert found() == []


def test_no_mails(settings: Any) -> None:
    """Nobody has to be told where mails are off."""
    settings.ADMINS = []
    settings.RUNNER = {"EMAIL": False}

    assert found() == []


def test_admins_as_pairs(settings: Any) -> None:
    """The older form of ADMINS is understood."""
    settings.ADMINS = [("Admin", "admin@example.com")]

    assert found() == []


def test_first_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container without an init is warned of."""
    monkeypatch.setattr(os, "getpid", lambda: 1)

    [message] = found()

    assert message.id == f"{checks.TAG}.W017"
    assert "docker run --init" in str(message.hint)


def test_ids_are_unique() -> None:
    """Each kind of mistake has an id of its own: a letter is never reused."""
    source = Path(checks.__file__).read_text()
    ids = set(re.findall(r"\b[EW]\d{3}\b", source))

    assert len({number[1:] for number in ids}) == len(ids)


def test_command(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """``manage.py check`` shows what is found."""
    settings.RUNNER = {"EMAIL": False}

    call_command("check", "--tag", checks.TAG)

    assert "no issues" in capsys.readouterr().out


def test_unwritable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A RUN_ROOT that this user cannot write to is an error."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)

    [message] = found()

    assert message.id == "yourlabs_runner.E009"
    assert "cannot be written to" in message.msg
