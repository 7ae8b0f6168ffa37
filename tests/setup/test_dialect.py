"""The .env files of other tools, read as docker compose and python-dotenv do."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st

from yourlabs.setup import Setup
from yourlabs.setup.environment import parse_dotenv

MakeSetup = Callable[..., Setup]

SHARED = [
    "A='one\ntwo\nthree'\nB=1",
    'A="one\n\ntwo"\nB=1',
    'A="one\r\ntwo"\r\nB=1\r\n',
    "export A=1\n  export\tB = 2\n",
    "A=1 # comment\n# B=2\n  # C=3\n\nD=4",
    "A='x # y' # z\nB=\"x # y\" # z",
    'A="quote \\" and \\\\ and \\n and \\t"',
    "A='it\\'s'",
    'A="it\'s"\nB=\'say "x"\'',
    "A=it's\nB=can't",
    "A=\nB=''\nC=\"\"",
    "A=x=y==\nB=a:b,c",
    "A=postgres://u:p%23@h/db?x=y#z",
    "A.B=1\nA-B=2\nA_1=3",
    "A=one two  \t\nB=2",
    "A=1\nA=2",
    'A=x\nB=${A}y\nC="${A}-${A}"',
    "B=${MISSING:-default}\nC=${MISSING}x",
    "A=$x$y\nB='$x'\nC=pa$$word",
    'A={"json": [1]}\nB=`date`\nC=$(date)',
    'KEY="-----BEGIN KEY-----\nMIIE+/=\n-----END KEY-----\n"\nB=1',
    "A=é☃\nB='é\n☃'",
    "A=1\\n2\nB=C:\\new",
    "A='C:\\new'\nB=2",
]


@pytest.mark.parametrize("text", SHARED)
def test_same_as_python_dotenv(text: str) -> None:
    """What both tools read the same way is read that way here."""
    values = dotenv_values(stream=io.StringIO(text, newline=None))
    expected = {name: value for name, value in values.items() if value is not None}

    assert parse_dotenv(text) == (expected, [])


@pytest.mark.parametrize(
    ("text", "expected", "lines"),
    [
        ("HOME\nexport PATH\nA=1", {"A": "1"}, []),
        ("[section]\nA=1\nif true; then\nB=2", {"A": "1", "B": "2"}, [1, 3]),
        ('A=\'one\nB="2"', {"B": "2"}, [1]),
        ('A="one" two\nB=2', {"B": "2"}, [1]),
        ("a b=1\nB=2\n=3", {"B": "2"}, [1, 3]),
        ("A='one\ntwo'\n- x\nB=2", {"A": "one\ntwo", "B": "2"}, [3]),
        ("A='${B}'\nB=\"\\${A}\"", {"A": "${B}", "B": "${A}"}, []),
        ("A= # nothing", {"A": ""}, []),
    ],
)
def test_lines_of_others(text: str, expected: dict[str, str], lines: list[int]) -> None:
    """Names alone are left out, foreign lines are skipped and counted."""
    assert parse_dotenv(text) == (expected, lines)


def test_variables_of_the_process_come_first() -> None:
    """A value is put together from the environment first, then from earlier lines."""
    text = "USER=me\nHOST=file\nURL=postgres://${USER}:${PASSWORD}@${HOST}/db"

    values, _ = parse_dotenv(text, {"HOST": "process", "PASSWORD": "p"})

    assert values["URL"] == "postgres://me:p@process/db"


@given(st.text(alphabet=st.characters(exclude_characters="\r'\\", codec="utf-8")))
def test_any_text_in_single_quotes(value: str) -> None:
    """Whatever is in single quotes comes out as it was, lines and all."""
    assert parse_dotenv(f"A='{value}'\nB=1") == ({"A": value, "B": "1"}, [])


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    """Any text gives variables and lines that are none."""
    values, lines = parse_dotenv(text)

    assert all(isinstance(value, str) for value in values.values())
    assert lines == sorted(set(lines))


def test_foreign_lines_are_named_once(
    make_setup: MakeSetup, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines of others are one message with file and lines, and no error."""
    path = make_setup().root / ".env"
    path.write_text("[db]\nDEBUG=1\nmy key=hunter2\nif x; then\n")

    for _ in range(2):
        setup = make_setup()
        setup.full()

    said = capsys.readouterr().err
    assert said == f"[yourlabs] {path}: skipped line 1, 3, 4, no NAME=value\n"
    assert setup.settings["DEBUG"] is True
