"""Any text is made fit to be shown."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yourlabs.runner.failures.text import cut, one_line, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\tb\nc", "a\tb\nc"),
        ("a\r\nb", "a\nb"),
        ("a\rb\0c\x1bd", r"a\rb\x00c\x1bd"),
        ("a\ud800b\u2028c", r"a\ud800b\u2028c"),
        ("a\u200bb\u202ec\ufeffd\xade", r"a\u200bb\u202ec\ufeffd\xade"),
        ("snow \u2603", "snow \u2603"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    """What cannot be shown is spelled out; line feeds and tabs stay."""
    assert printable(text) == shown


@given(st.text(), st.integers(2, 50))
def test_one_line(text: str, limit: int) -> None:
    """Any text is one short printable line."""
    line = one_line(text, limit)

    assert len(line) <= limit
    assert line.splitlines() in ([line], [])


def test_one_line_says_that_it_was_cut() -> None:
    """A line that was cut ends with an ellipsis."""
    assert one_line("one\n two  three", 9) == "one two…"


@given(st.text(), st.integers(100, 300), st.floats(0, 1))
def test_cut(text: str, limit: int, head: float) -> None:
    """What is cut has no more bytes than the limit, whatever they encode."""
    text = printable(text * 20)

    assert len(cut(text, limit, head=head).encode()) <= limit


def test_cut_keeps_both_ends() -> None:
    """Both ends stay, and what is missing is said."""
    shown = cut("a" * 500 + "b" * 500, 160)

    assert shown.startswith("a" * 50 + "\n[… 900 characters left out …]\n")
    assert shown.endswith("b" * 50)


def test_megabytes_are_cut_without_a_copy() -> None:
    """No more of a long text is encoded than is kept."""
    text = "é" * 5_000_000
    tracemalloc.start()
    try:
        cut(text, 1_000)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_what_is_short_is_not_cut() -> None:
    """A text within the limit stays as it is, in whatever alphabet."""
    assert cut("\u2603" * 40, 120) == "\u2603" * 40
