"""The command's arguments, messages and exit codes, within one process."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.runner.failing import FAILING
from tests.runner.fakes import log, until
from yourlabs.runner import Runner, RunnerThread, task
from yourlabs.runner.management.commands.run_functions import Command

calls: list[str] = []


@task
def succeed() -> None:
    """Do nothing."""
    calls.append("succeed")


@task(name="failing")
def fail() -> None:
    """Fail."""
    calls.append("fail")
    raise ValueError("no")


@task(success_cooldown=0)
def three_times() -> None:
    """Succeed, and end the chain with the third time."""
    calls.append("healthy")
    if calls.count("healthy") == 3:
        os.kill(os.getpid(), signal.SIGTERM)
        until(lambda: threading.current_thread().is_ending())  # type: ignore[attr-defined]


THREE_TIMES = f"{__name__}.three_times"
SUCCEED = f"{__name__}.succeed"
FAIL = f"{__name__}.fail"


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    """RUN_ROOT of this test."""
    settings.RUN_ROOT = tmp_path
    settings.RUNNER = {"EMAIL": False}
    calls.clear()
    return tmp_path


def test_once(root: Path) -> None:
    """Each function runs once, in order, and the pidfile is named after them."""
    call_command("run_functions", SUCCEED, SUCCEED, once=True)

    assert calls == ["succeed", "succeed"]
    assert (root / "succeed_succeed.pid").exists()


def test_once_failed() -> None:
    """When a function fails, the others run and the exit code is 1."""
    with pytest.raises(SystemExit) as caught:
        call_command("run_functions", FAIL, SUCCEED, "--once")

    assert caught.value.code == 1
    assert calls == ["fail", "succeed"]


def test_name(root: Path) -> None:
    """A chain may be given a name."""
    call_command("run_functions", SUCCEED, "--once", "--name", "mailing")

    assert (root / "mailing.pid").exists()


def test_log() -> None:
    """The log of a first run is the documented one."""
    with log() as kept, pytest.raises(SystemExit):
        call_command("run_functions", FAIL, SUCCEED, "--once")

    assert kept.texts() == [
        "Did not find pidfile failing_succeed, continuing normally",
        "Wrote pidfile failing_succeed",
        "[failing] Execution failed",
        "[succeed] Execution successful",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.sync"], "There is no module 'nowhere'"),
        ([f"{__name__}.suceed"], "did you mean 'succeed'"),
        ([SUCCEED, "--name", "a/b"], "'a/b' cannot be the name of a chain"),
        ([], "the following arguments are required: module.function"),
        ([SUCCEED, "--takeover-timeout", "soon"], "'soon' is no number of seconds"),
        ([SUCCEED, "--takeover-timeout", "-1"], "'-1' is no number of seconds"),
        ([SUCCEED, "--takeover-timeout", "nan"], "'nan' is no number of seconds"),
        ([SUCCEED, "--takeover-timeout", "1e15"], "'1e15' is no number of seconds"),
    ],
)
def test_bad_arguments(arguments: list[str], message: str) -> None:
    """What is wrong is said in a line, without a traceback."""
    with pytest.raises(CommandError, match=message):
        call_command("run_functions", *arguments)
    assert calls == []


def test_bad_settings(settings: Any) -> None:
    """A bad setting is said in a line."""
    settings.RUNNER = {"FAIL_COOLDOWN": "soon"}

    with pytest.raises(CommandError, match="FAIL_COOLDOWN"):
        call_command("run_functions", SUCCEED)


def test_unusable_run_root(settings: Any) -> None:
    """A RUN_ROOT that cannot be used is said in a line."""
    settings.RUN_ROOT = "/dev/null/run"

    with pytest.raises(CommandError, match="RUN_ROOT /dev/null/run cannot be made"):
        call_command("run_functions", SUCCEED)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--no-killconcurrent"], 1), (["--takeover-timeout", "0.05"], 75)],
)
def test_owned(arguments: list[str], code: int) -> None:
    """A chain that another owns is left to it; the code and the message say so."""
    owner = Runner([SUCCEED])
    owner.concurrency_security()

    with pytest.raises(CommandError, match=f"process {os.getpid()} on ") as caught:
        call_command("run_functions", SUCCEED, *arguments)

    assert caught.value.returncode == code
    assert owner.thread.loop.claim.check()  # type: ignore[union-attr]
    owner.thread.loop.release()
    assert calls == []


def test_no_killconcurrent() -> None:
    """A chain that nobody owns is run."""
    call_command("run_functions", SUCCEED, "--once", "--no-killconcurrent")

    assert calls == ["succeed"]


def test_until_it_is_stopped() -> None:
    """Without `--once` it runs until it is asked to end."""

    def stop() -> None:
        until(lambda: calls)
        for thread in threading.enumerate():
            if thread.name == "succeed":
                thread.ask_to_stop()  # type: ignore[attr-defined]

    stopper = threading.Thread(target=stop)
    stopper.start()
    call_command("run_functions", SUCCEED)
    stopper.join(20)

    assert calls == ["succeed"]


def test_everything_that_can_be_raised(settings: Any, mailoutbox: list[Any]) -> None:
    """A chain of all exceptions completes three passes, and mails each once."""
    settings.RUNNER = {"EMAIL": True}
    settings.ADMINS = ["admin@example.com"]
    failing = [f"tests.runner.failing.raise_{name}" for name in FAILING]
    with log() as kept:
        call_command("run_functions", *failing, THREE_TIMES, "--name", "all")

    failed = Counter(
        getattr(record, "task", "")
        for record in kept.records
        if getattr(record, "action", "") == "task_failed"
    )
    assert failed == {f"raise_{name}": 3 for name in FAILING}
    until(lambda: len(mailoutbox) >= len(FAILING))
    subjects = [message.subject for message in mailoutbox]
    for name in FAILING:
        mine = [text for text in subjects if f"[raise_{name}]" in text]
        assert len(mine) == 1, name
        assert "First exception caught" in mine[0]
    assert len(subjects) == len(FAILING)
    for message in mailoutbox:
        sent = message.message()
        assert len(sent.as_bytes()) < 100_000
        assert sent["To"] == "admin@example.com"
        assert sent["Bcc"] is None
        assert len(sent.get_all("Subject")) == 1


def test_help() -> None:
    """Every option is explained."""
    parser = Command().create_parser("manage.py", "run_functions")

    text = parser.format_help()

    for option in ("--name", "--no-killconcurrent", "--takeover-timeout", "--once"):
        assert option in text
    assert "Default: 300" in text


def test_chain_that_ends_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code has whoever supervises the process start it again."""
    monkeypatch.setattr(RunnerThread, "run", RunnerThread._leave)

    assert Runner([SUCCEED]).run() == 70


class Hanging(logging.Handler):
    """A log handler that hangs at failures."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.hangs, self.go = threading.Event(), threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.hangs.set()
        assert self.go.wait(20)


def test_log_handler_that_hangs(settings: Any) -> None:
    """A signal ends the command all the same, when the function has ended."""
    settings.RUNNER = {"EMAIL": False, "STOP_TIMEOUT": 0.1}
    handler, process = Hanging(), Runner([FAIL])

    def stop() -> None:
        assert handler.hangs.wait(20)
        os.kill(os.getpid(), signal.SIGTERM)

    stopper = threading.Thread(target=stop)
    logger = logging.getLogger("runner")
    logger.addHandler(handler)
    try:
        stopper.start()
        assert process.run() == 0
        assert process.thread.is_alive()
    finally:
        handler.go.set()
        logger.removeHandler(handler)
        process.thread.join(20)
        stopper.join(20)
