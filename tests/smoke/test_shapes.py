"""Tests of the shapes of URL patterns."""

from __future__ import annotations

import re
import sys

import pytest

from yourlabs.smoke import shapes


@pytest.mark.parametrize(
    "expression",
    [
        r"^$",
        r"^about/$",
        r"^(?P<pk>\d+)/$",
        r"^(?P<slug>[-\w]+)/(?P<page>[0-9]{2,4})/$",
        r"^(?:page-(?P<page>\d+)/)?$",
        r"^(blog|news)/(?P<year>\d{4})/$",
        r"^(?P<path>.*)$",
        r"^(\d+)/(\w+)/$",
        r"^a(?:b|c(?P<x>d|e))f/?$",
        r"^(?P<code>[A-Z]{3})-(?P<n>\d+)\.(?P<format>[a-z0-9]+)/?$",
        r"^((?:[\w\-]+/)*)$",
        r"^(?P<u>[^/.]+)/(?!x)(?P<v>[^\d]+)$",
        r"(?i)^Foo/(?P<bar>[\w.@+-]+)$",
        r"^(?P<any>.)/(?P<other>[^a])/(?P<lazy>a+?)$",
        r"^(?P<no_word>\W)/(?P<no_space>\S)/(?P<no_digit>\D+)$",
        r"^(?P<letter>[^\W\d_])(?P<space>\s)$",
        r"^(?:x/(?P<a>\d)|y/(?P<b>[a-c]))?$",
        r"^(?:(?:(?P<deep>\d)-)?z)?$",
        r"^(?:a(?P<twice>\d)){2}$",
        r"^(?P<code>(?:a|b){2})/(?P<flag>x?y)/(?P<three>[ab]{3})$",
        r"^(?P<word>\bend\b)(?<=d)$",
        r"^(?P<outer>(x+)y)/(?P<either>(?:ab|c+)d)$",
        r"^(?i:Foo(?P<scoped>b))$",
        pytest.param(
            r"^(?>ab)(?P<n>\d++)/(?:(?>c(?P<m>\d))/)?$",
            marks=pytest.mark.skipif(
                sys.version_info < (3, 11), reason="These groups are newer."
            ),
        ),
    ],
)
def test_samples_match(expression: str) -> None:
    """Every shape, filled with its own samples, matches its expression."""
    found = shapes.shapes_of(expression)

    assert found
    for shape in found:
        values = {slot.name: slot.sample for slot in shapes.slots(shape)}
        assert re.search(expression, shapes.fill(shape, values))


def test_optional_group_gives_two_shapes() -> None:
    """A captured group that may be left out is a shape with it and one without."""
    found = shapes.shapes_of(r"^list/(?:page-(?P<page>\d+)/)?$")

    assert [("list/",), ("list/page-", shapes.Slot("page", "1"), "/")] == found


def test_closed_choices_are_listed() -> None:
    """A group of a few fixed texts knows them all."""
    (shape,) = shapes.shapes_of(r"^(?P<app_label>auth|admin|sites)/$")

    assert [("auth", "admin", "sites")] == [s.choices for s in shapes.slots(shape)]


@pytest.mark.parametrize(
    ("expression", "choices"),
    [
        (r"(?P<x>a|b)", ("a", "b")),
        (r"(?P<x>[ab])", ("a", "b")),
        (r"(?P<x>[ab]{2})", ("aa", "ab", "ba", "bb")),
        (r"(?P<x>s?)", ("", "s")),
        (r"(?P<x>(?:new|old)(?=/))/", ("new", "old")),
        (r"(?P<x>(a)|b)", ("a", "b")),
        (r"(?P<x>[a-z])", ()),
        (r"(?P<x>[ab]{3})", ()),
        (r"(?P<x>[abcde][abcde])", ()),
        (r"(?P<x>a+)", ()),
    ],
)
def test_few_texts_are_choices(expression: str, choices: tuple[str, ...]) -> None:
    """A group that matches a few texts offers them all, and one of many none."""
    (shape,) = shapes.shapes_of(expression)

    assert [choices] == [slot.choices for slot in shapes.slots(shape)]


def test_group_that_matches_nothing_is_a_choice() -> None:
    """A group that can only be empty is filled with nothing."""
    (shape,) = shapes.shapes_of(r"^(?P<space>[_]{0})start$")

    assert shapes.fill(shape, {s.name: s.choices[0] for s in shapes.slots(shape)}) == (
        "start"
    )


def test_unnamed_groups_are_numbered_over_the_whole_route() -> None:
    """Unnamed groups of nested patterns are called by their position."""
    several = [shapes.shapes_of(r"^(\d+)/"), shapes.shapes_of(r"^(\w+)/$")]

    (shape,) = shapes.combine(several)

    assert ["0", "1"] == [slot.name for slot in shapes.slots(shape)]


def test_named_groups_hide_unnamed_ones() -> None:
    """An unnamed group beside a named one is plain text, as Django drops it."""
    (shape,) = shapes.combine([shapes.shapes_of(r"^(\d)/(?P<pk>\d)/$")])

    assert ["pk"] == [slot.name for slot in shapes.slots(shape)]
