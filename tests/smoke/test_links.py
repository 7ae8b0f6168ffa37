"""Tests of finding links in answers."""

from __future__ import annotations

import pytest

from yourlabs.smoke.links import MAX_LINKS, links_in, script_links_in

BASE = "http://example.com/a/"
PAGE = b"""
<a href="/b/?x=1&amp;y=2">b</a> <a href='c/'>c</a> <a href="https://other.example/">o</a>
<a href="#top">top</a> <a href="mailto:a@example.com">mail</a>
<a href="/row/__pk__/">template</a> <a href="/row/${row.id}/">template</a>
<div data-menu="{&quot;url&quot;: &quot;/menu/&quot;}"></div>
"""


def test_links_of_a_page_lead_to_its_own_host() -> None:
    """Links are paths of the page's host; templates of links are none."""
    assert links_in(PAGE, "text/html", BASE) == ["/b/?x=1&y=2", "/a/c/"]


def test_links_of_scripts_are_kept_apart() -> None:
    """Paths in attributes of scripts are found, and templates are not."""
    assert "/menu/" in script_links_in(PAGE, "text/html", BASE)
    assert "/row/__pk__/" not in script_links_in(PAGE, "text/html", BASE)


def test_links_of_json_are_its_texts() -> None:
    """Texts of a JSON answer that are URLs or paths are links."""
    body = b'{"next": "http://example.com/a/?page=2", "name": "no link"}'

    assert links_in(body, "application/json", BASE) == ["/a/?page=2"]


def test_link_that_is_none_is_left_out() -> None:
    """What cannot be read as a URL is no link."""
    page = b'<a href="http://[broken/">broken</a> <a href="/fine/">fine</a>'

    assert links_in(page, "text/html", BASE) == ["/fine/"]


def test_links_of_a_long_page_are_bounded() -> None:
    """Of very many links the first ones are looked at."""
    page = b"".join(b'<a href="/%d/">' % number for number in range(MAX_LINKS + 9))

    assert len(links_in(page, "text/html", BASE)) == MAX_LINKS


@pytest.mark.parametrize("kind", ["text/plain", "image/png", ""])
def test_other_answers_have_no_links(kind: str) -> None:
    """Only pages, JSON and XML are read for links."""
    assert links_in(PAGE, kind, BASE) == []
    assert script_links_in(PAGE, kind, BASE) == []
