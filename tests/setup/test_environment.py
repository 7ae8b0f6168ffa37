"""Variables, files named by variables, and the .env file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from yourlabs.setup import Setup
from yourlabs.setup.environment import Environment, parse_dotenv
from yourlabs.setup.values import Invalid

MakeSetup = Callable[..., Setup]


def environment(dotenv: Path, **variables: str) -> Environment:
    return Environment(dotenv, variables=variables)


def text(env: Environment, name: str) -> str | None:
    value = env.get(name)
    return None if value is None else value.text


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("A=1", {"A": "1"}),
        ("export A=1", {"A": "1"}),
        ("  A = 1  ", {"A": "1"}),
        ("A=", {"A": ""}),
        ("A= # comment", {"A": ""}),
        ("A=one # comment", {"A": "one"}),
        ("A=one#two", {"A": "one#two"}),
        ("A=#one", {"A": "#one"}),
        ("A='one # two'", {"A": "one # two"}),
        ("A='$B \\n'", {"A": "$B \\n"}),
        ('A="one # two" # comment', {"A": "one # two"}),
        (r'A="one\ntwo\t\"\\\$"', {"A": 'one\ntwo\t"\\$'}),
        ("A=postgres://u:p%23@h/db?x=y", {"A": "postgres://u:p%23@h/db?x=y"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("A=1\nA=2", {"A": "2"}),
        ("# A=1\n\n", {}),
    ],
)
def test_dotenv_lines(line: str, expected: dict[str, str]) -> None:
    """A line of .env is a name and a value, quoted or not."""
    assert parse_dotenv(line) == (expected, [])


@pytest.mark.parametrize(
    "line", ["1A=1", "=1", "A='1", 'A="1"2', "[section]", "A B", "source x.sh", "A+=1"]
)
def test_bad_dotenv_lines(line: str) -> None:
    """A line that is none is told by its number, the others are kept."""
    assert parse_dotenv(f"B=1\n{line}\nC=2") == ({"B": "1", "C": "2"}, [2])


def test_environment_wins_over_dotenv(tmp_path: Path) -> None:
    """What .env says is used only where the environment says nothing, not even ''."""
    dotenv = tmp_path / ".env"
    dotenv.write_text("A=file\nB=file\nC=file\nD_FILE=/nonexistent")
    env = environment(dotenv, A="environment", B="", C_FILE="", D="environment")

    assert text(env, "A") == "environment"
    assert text(env, "B") is None
    assert text(env, "C") is None
    assert text(env, "D") == "environment"


def test_dotenv_leaves_os_environ_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables of .env are not written to the environment of the process."""
    (tmp_path / ".env").write_text("DEBUG=1")
    settings: dict[str, Any] = {"PROJECT_ROOT": tmp_path}

    Setup(settings).full()

    import os

    assert settings["DEBUG"] is True
    assert "DEBUG" not in os.environ


def test_dotenv_that_is_a_folder(tmp_path: Path) -> None:
    """A virtual environment called .env is not read."""
    (tmp_path / ".env").mkdir()

    assert environment(tmp_path / ".env").problem is None


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"\xff", "not UTF-8"), (b"A=1\nDATABASE_URL='x", r"\.env, line 2: expected")],
    ids=["binary", "quote"],
)
def test_bad_dotenv(
    make_setup: MakeSetup, tmp_path: Path, content: bytes, expected: str
) -> None:
    """What is wrong with .env is told by the step that needs it."""
    (tmp_path / ".env").write_bytes(content)

    with pytest.raises(ImproperlyConfigured, match=expected):
        make_setup().database()


def test_unreadable_dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A .env of another user is a problem, told with the reason."""

    def refuse(*args: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / ".env").touch()
    monkeypatch.setattr(Path, "read_text", refuse)

    assert environment(tmp_path / ".env").problem == "cannot be read: Permission denied"


def test_file_variable(tmp_path: Path) -> None:
    """NAME_FILE names a file whose text is the value, without the last newline."""
    (tmp_path / "secret").write_text("p4ss word\n")

    assert text(environment(tmp_path, A_FILE=str(tmp_path / "secret")), "A") == (
        "p4ss word"
    )


def test_file_variable_that_is_empty(tmp_path: Path) -> None:
    """An empty NAME_FILE is as good as none."""
    assert text(environment(tmp_path, A="1", A_FILE=""), "A") == "1"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "No such file"),
        (b"", "is empty"),
        (b"\xff\xfe", "not UTF-8"),
    ],
    ids=["missing", "empty", "binary"],
)
def test_bad_file_variable(
    tmp_path: Path, content: bytes | None, expected: str
) -> None:
    """A file that cannot be used is an error that names the variable, not the path."""
    path = tmp_path / "s3cr3t"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(Invalid, match=expected) as error:
        environment(tmp_path, A_FILE=str(path)).get("A")

    assert "A_FILE" in str(error.value)
    assert "s3cr3t" not in str(error.value)


def test_both_variables(tmp_path: Path) -> None:
    """NAME and NAME_FILE together are an error: one of them would be ignored."""
    with pytest.raises(Invalid, match="A_FILE is set as well"):
        environment(tmp_path, A="1", A_FILE="/x").get("A")


@pytest.mark.parametrize("word", ["1", "true", "TRUE", "Yes", "on", " y "])
def test_debug_on(
    monkeypatch: pytest.MonkeyPatch, make_setup: MakeSetup, word: str
) -> None:
    """DEBUG is on for the words of yes."""
    monkeypatch.setenv("DEBUG", word)
    setup = make_setup()

    setup.debug()

    assert setup.settings["DEBUG"] is True


@pytest.mark.parametrize("word", ["0", "false", "False", "NO", "off", "n", ""])
def test_debug_off(
    monkeypatch: pytest.MonkeyPatch, make_setup: MakeSetup, word: str
) -> None:
    """DEBUG is off for the words of no, and by default."""
    monkeypatch.setenv("DEBUG", word)
    setup = make_setup()

    setup.debug()

    assert setup.settings["DEBUG"] is False


def test_lists(monkeypatch: pytest.MonkeyPatch, make_setup: MakeSetup) -> None:
    """Lists are separated by commas, with or without white space."""
    monkeypatch.setenv("ALLOWED_HOSTS", "example.com, .example.org,[::1],*")
    monkeypatch.setenv("CSRF_TRUSTED_ORIGINS", "https://example.com,https://*.x.org:8")
    monkeypatch.setenv("SECRET_KEY_FALLBACKS", "old,older\noldest")
    setup = make_setup()

    setup.security()

    assert setup.settings["ALLOWED_HOSTS"] == [
        "example.com",
        ".example.org",
        "[::1]",
        "*",
    ]
    assert setup.settings["CSRF_TRUSTED_ORIGINS"] == [
        "https://example.com",
        "https://*.x.org:8",
    ]
    assert setup.settings["SECRET_KEY_FALLBACKS"] == ["old", "older", "oldest"]


def test_all_problems_at_once(
    monkeypatch: pytest.MonkeyPatch, make_setup: MakeSetup, tmp_path: Path
) -> None:
    """All that is wrong is one error, a line each, without any of the values."""
    (tmp_path / ".env").write_bytes(b"hunter2=\xff")
    bad = {
        "DEBUG": "hunter2",
        "ALLOWED_HOSTS": "https://hunter2/",
        "CSRF_TRUSTED_ORIGINS": "hunter2",
        "DATABASE_URL": "postgres://u:hunter2#@h/db",
        "CACHE_URL": "hunter2",
        "EMAIL_URL": "smtp://u:hunter2@h:port",
        "LOG_LEVEL": "hunter2",
        "LOG_FORMAT": "hunter2",
        "ADMINS": "hunter2",
        "SECRET_KEY_FILE": "/hunter2",
    }
    for name, value in bad.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ImproperlyConfigured) as error:
        make_setup().full()

    lines = str(error.value).splitlines()
    expected = {name.removesuffix("_FILE") for name in bad} | {".env"}
    assert {line.split(":")[0] for line in lines} == expected
    assert len(lines) == len(expected)
    assert "hunter2" not in str(error.value)
    assert error.value.__cause__ is None


@pytest.mark.parametrize("command", ["collectstatic", "clearsessions", "mine"])
def test_commands_need_no_hosts(
    monkeypatch: pytest.MonkeyPatch, make_setup: MakeSetup, command: str
) -> None:
    """A command that serves nothing runs before there is a name to serve."""
    monkeypatch.setattr("sys.argv", ["manage.py", command])
    setup = make_setup()

    setup.full()

    assert "ALLOWED_HOSTS" not in setup.settings


def test_runserver_is_development(
    monkeypatch: pytest.MonkeyPatch, make_setup: MakeSetup
) -> None:
    """Under runserver DEBUG is on, unless something says otherwise."""
    monkeypatch.setattr("sys.argv", ["manage.py", "runserver"])
    on, off = make_setup(), make_setup(DEBUG=False, ALLOWED_HOSTS=["example.com"])

    on.full()
    off.full()

    assert on.settings["DEBUG"] is True
    assert off.settings["DEBUG"] is False


def test_what_the_file_sets_is_not_read(
    monkeypatch: pytest.MonkeyPatch, make_setup: MakeSetup
) -> None:
    """A variable of a setting that the file has may hold anything."""
    for name in ("DEBUG", "DATABASE_URL", "CACHE_URL", "EMAIL_URL", "ALLOWED_HOSTS"):
        monkeypatch.setenv(name, "!!!")
    given: dict[str, Any] = {
        "DEBUG": True,
        "DATABASES": {},
        "CACHES": {},
        "EMAIL_HOST": "mail",
        "ALLOWED_HOSTS": [],
    }

    make_setup(**given).full()
