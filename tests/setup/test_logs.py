"""Logging: the console always, files where they can be written."""

from __future__ import annotations

import copy
import json
import logging
import logging.config
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.setup.conftest import Project, clean_environment
from yourlabs.setup import Setup
from yourlabs.setup.handlers import JsonFormatter, RotatingFileHandler

MakeSetup = Callable[..., Setup]


@pytest.fixture
def configure() -> Iterator[Callable[[dict[str, Any]], None]]:
    """Configure logging, and put it back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    made: list[dict[str, Any]] = []

    def apply(setting: dict[str, Any]) -> None:
        made.append(setting)
        logging.config.dictConfig(copy.deepcopy(setting))

    yield apply
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level = handlers, level
    for setting in made:
        for name in setting["loggers"]:
            logger = logging.getLogger(name)
            for handler in logger.handlers[:]:
                handler.close()
                logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)
            logger.propagate = True


def test_files_rotate(make_setup: MakeSetup, tmp_path: Path) -> None:
    """Files hold 16 MiB, and five of the ones before are kept."""
    setup = make_setup()

    setup.logging()

    file = setup.settings["LOGGING"]["handlers"]["log_file"]
    assert file["filename"] == str(tmp_path / "var/log/django.log")
    assert file["maxBytes"] == 16 * 1024 * 1024
    assert file["backupCount"] == 5


@pytest.mark.parametrize("order", [("add", "logging"), ("logging", "add"), ("add",)])
def test_add_logger(
    make_setup: MakeSetup,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    configure: Callable[[dict[str, Any]], None],
    order: tuple[str, ...],
) -> None:
    """A logger added before or after has a file and the console, each line once."""
    setup = make_setup()
    for call in order:
        if call == "add":
            setup.add_logger("mine.app", level="info", formatter="verbose")
        else:
            setup.logging()
    configure(setup.settings["LOGGING"])
    capfd.readouterr()

    logging.getLogger("mine.app.part").info("one line")
    logging.getLogger("mine.app").debug("too little")

    output, error = capfd.readouterr()
    assert output == ""
    assert error == "INFO one line\n"
    assert (tmp_path / "var/log/mine.app.log").read_text().count("one line") == 1
    assert not (tmp_path / "var/log/django.log").exists()


@pytest.mark.parametrize(
    "arguments", [{"level": "loud"}, {"formatter": "pretty"}], ids=str
)
def test_bad_logger(make_setup: MakeSetup, arguments: dict[str, str]) -> None:
    """A level or a formatter that does not exist is an error at once."""
    with pytest.raises(ValueError, match="unknown"):
        make_setup().add_logger("mine", **arguments)


def test_logging_of_the_file(
    make_setup: MakeSetup, capsys: pytest.CaptureFixture[str]
) -> None:
    """A LOGGING of the file's own gets no logger added, which is said."""
    setup = make_setup(
        LOGGING={"version": 1}, DEBUG=True, INSTALLED_APPS=["yourlabs.runner"]
    )

    setup.full()
    assert "ignored" not in capsys.readouterr().err
    setup.add_logger("mine")

    assert setup.settings["LOGGING"] == {"version": 1}
    assert "add_logger() ignored" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        (["yourlabs.runner"], {"runner"}),
        (("yourlabs.smoke.apps.SmokeConfig", "yourlabs.runner"), {"runner", "smoke"}),
        (["yourlabs.setup", "other.yourlabs.runner", "yourlabs.runners"], set()),
        (None, set()),
        (..., {"runner", "smoke"}),
    ],
)
def test_loggers_of_applications(
    make_setup: MakeSetup, installed: Any, expected: set[str]
) -> None:
    """Installed apps have loggers, and both before it is known what is installed."""
    given = {} if installed is ... else {"INSTALLED_APPS": installed}
    setup = make_setup(DEBUG=True, **given)

    setup.full()

    loggers = setup.settings["LOGGING"]["loggers"]
    assert {"runner", "smoke"} & set(loggers) == expected
    for name in expected:
        assert loggers[name]["level"] == "DEBUG"
        assert "console" in loggers[name]["handlers"]


def test_own_level_of_an_application(make_setup: MakeSetup) -> None:
    """A logger that the file added is not added again."""
    setup = make_setup(INSTALLED_APPS=["yourlabs.runner"], DEBUG=True)

    setup.add_logger("runner", level="warning")
    setup.full()

    assert setup.settings["LOGGING"]["loggers"]["runner"]["level"] == "WARNING"


@pytest.mark.parametrize("level", ["debug", "WARNING", "Critical"])
def test_level(
    make_setup: MakeSetup, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    """LOG_LEVEL is the level of the root logger and of Django's."""
    monkeypatch.setenv("LOG_LEVEL", level)
    setup = make_setup()

    setup.logging()

    logging_setting = setup.settings["LOGGING"]
    assert logging_setting["root"]["level"] == level.upper()
    assert logging_setting["loggers"]["django"]["level"] == level.upper()


def test_json_lines(
    make_setup: MakeSetup,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    configure: Callable[[dict[str, Any]], None],
) -> None:
    """With LOG_FORMAT=json every line, of console and files, is an object."""
    monkeypatch.setenv("LOG_FORMAT", "JSON")
    setup = make_setup()
    setup.add_logger("mine", formatter="verbose")
    setup.logging()
    configure(setup.settings["LOGGING"])
    capfd.readouterr()

    try:
        raise RuntimeError("two\nlines \ud800 \x00")
    except RuntimeError:
        logging.getLogger("mine").exception("failed: %s", "é\n", extra={"code": 7})
    logging.getLogger("other").warning("x", stack_info=True, extra={"o": object()})

    lines = capfd.readouterr().err.splitlines()
    entries = [json.loads(line) for line in lines]
    assert entries[0]["message"] == "failed: é\n"
    assert entries[0]["level"] == "ERROR"
    assert entries[0]["logger"] == "mine"
    assert entries[0]["code"] == 7
    assert "RuntimeError: two" in entries[0]["exception"]
    assert "stack" in entries[1]
    assert "o" not in entries[1]
    assert (tmp_path / "var/log/mine.log").read_text() == f"{lines[0]}\n"
    assert (tmp_path / "var/log/django.log").read_text() == f"{lines[1]}\n"


def test_json_time() -> None:
    """The time of an object is UTC, with an offset."""
    record = logging.makeLogRecord({"created": 0.5, "msg": "x"})

    assert json.loads(JsonFormatter().format(record))["time"] == (
        "1970-01-01T00:00:00.500+00:00"
    )


def test_no_folder(
    make_setup: MakeSetup, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a folder for the files there is the console and one warning."""
    (tmp_path / "log").touch()
    setup = make_setup(LOG_ROOT=tmp_path / "log", INSTALLED_APPS=["yourlabs.runner"])

    setup.create_paths()
    setup.logging()
    setup.applications()

    setting = setup.settings["LOGGING"]
    assert set(setting["handlers"]) == {"console", "mail_admins"}
    assert setting["loggers"]["runner"]["handlers"] == ["console"]
    assert capsys.readouterr().err.count("Warning") == 1


def test_unwritable_folder(
    make_setup: MakeSetup,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A folder that is there but cannot be written is the same."""
    setup = make_setup()
    setup.create_paths()
    monkeypatch.setattr("os.access", lambda *args, **kwargs: False)
    monkeypatch.setattr("os.supports_effective_ids", set())

    setup.logging()

    assert "log_file" not in setup.settings["LOGGING"]["handlers"]
    assert "Permission denied" in capsys.readouterr().err


def record(text: str) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": text, "levelno": 20, "levelname": "INFO"})


def test_full_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A disk that is full is one warning a process, and no error."""
    (tmp_path / "django.log").symlink_to("/dev/full")
    (tmp_path / "runner.log").symlink_to("/dev/full")
    files = [
        RotatingFileHandler(tmp_path / name, maxBytes=100, backupCount=1, delay=True)
        for name in ("django.log", "runner.log")
    ]

    for handler in files * 3:
        handler.handle(record("a line"))
    for handler in files:
        handler.close()

    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == (
        f"[yourlabs] Warning: cannot write logs to {tmp_path} "
        "(No space left on device)\n"
    )


def test_disk_that_has_space_again(tmp_path: Path) -> None:
    """A file that could not be written is tried again."""
    path = tmp_path / "missing/django.log"
    handler = RotatingFileHandler(path, delay=True, encoding="utf-8")
    handler.handle(record("lost"))
    path.parent.mkdir()

    handler.handle(record("kept"))
    handler.close()

    assert path.read_text() == "kept\n"


def test_error_that_is_not_the_disks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A record that cannot be formatted is told as the standard library does."""
    handler = RotatingFileHandler(tmp_path / "x.log", delay=True)

    handler.handle(logging.makeLogRecord({"msg": "%d", "args": ("x",)}))
    handler.handle(record("the next one"))
    handler.close()

    assert "Logging error" in capsys.readouterr().err
    assert (tmp_path / "x.log").read_text() == "the next one\n"


def test_rotated_by_another_process(tmp_path: Path) -> None:
    """A file that another process rotated is written under its name again."""
    path = tmp_path / "x.log"
    first = RotatingFileHandler(path, maxBytes=100, backupCount=2, delay=True)
    second = RotatingFileHandler(path, maxBytes=100, backupCount=2, delay=True)

    first.handle(record("1" * 80))
    second.handle(record("2" * 80))
    first.handle(record("3" * 10))
    first.close()
    second.close()

    assert path.read_text() == "2" * 80 + "\n" + "3" * 10 + "\n"
    assert (tmp_path / "x.log.1").read_text() == "1" * 80 + "\n"


def test_rotation_by_many_processes(tmp_path: Path) -> None:
    """Processes that rotate one file at once lose no line that is kept."""
    program = (
        "import sys, logging\n"
        "from yourlabs.setup.handlers import RotatingFileHandler\n"
        "handler = RotatingFileHandler(sys.argv[1], maxBytes=2000, backupCount=100,"
        " delay=True)\n"
        "for number in range(200):\n"
        "    handler.handle(logging.makeLogRecord("
        "{'msg': '%s %d', 'args': (sys.argv[2], number)}))\n"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "x.log"), name],
            env=clean_environment(),
        )
        for name in "abcd"
    ]
    for child in children:
        assert child.wait(60) == 0

    lines = [
        line for path in tmp_path.iterdir() for line in path.read_text().splitlines()
    ]
    assert sorted(lines) == sorted(f"{n} {i}" for n in "abcd" for i in range(200))


def test_traceback_of_a_500(project: Project) -> None:
    """With DEBUG off the traceback of a 500 is on stderr and in the file."""
    program = (
        "import django; django.setup()\n"
        "from django.test import Client\n"
        "client = Client(raise_request_exception=False)\n"
        "assert client.get('/boom/', secure=True).status_code == 500\n"
    )

    result = project.python(
        "-c",
        program,
        DJANGO_SETTINGS_MODULE="package.settings",
        ALLOWED_HOSTS="testserver",
        ADMINS="admin@example.com",
        EMAIL_URL="smtp://127.0.0.1:9?timeout=1",
    )

    assert result.stdout == ""
    assert "RuntimeError: the view broke" in result.stderr
    assert "Logging error" not in result.stderr
    log = (project.root / "var/log/django.log").read_text()
    assert log.count("RuntimeError: the view broke") == 1
