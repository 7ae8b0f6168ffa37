"""Tests of the verdicts on the project that was written for them."""

from __future__ import annotations

import pytest

from tests.smoke.helpers import Finished

SKIPPED = {
    "shop:locked": "no row of shop.Locked",
    "shop:nobody": "forbidden for all roles",
    "shop:query": "needs a query string",
    "shop:unknown": "value for `riddle` unknown",
    "shop:excluded": "excluded",
    "shop:secret": "excluded",
    "shop:shadowed": "shadowed by away",
}
FAILED = {
    "shop:missing": "answered 404 to every role",
    "shop:key": "MultiValueDictKeyError: 'key'",
}
DOUBTFUL = {"shop:ghost": "not_here"}
OK_STATUSES = {
    "home": 200,
    "login": 200,
    "logout": 405,
    "password_change": 200,
    "password_reset": 200,
    "password_reset_confirm": 302,
    "section": 200,
    "jsi18n": 200,
    "token": 200,
    "set_language": 302,
    "api-root": 200,
    "article-list": 200,
    "article-detail": 200,
    "article-price": 200,
    "article-buy": 405,
    "purchase-list": 200,
    "purchase-detail": 200,
    "coupon-list": 200,
    "coupon-detail": 200,
    "hello": 200,
    "hello_one": 200,
    "admin:index": 200,
    "admin:autocomplete": 200,
    "admin:view_on_site": 302,
    "admin:app_list": 200,
    "admin:shop_article_changelist": 200,
    "admin:shop_article_change": 200,
    "admin:shop_article_delete": 200,
    "admin:shop_article_history": 200,
    "admin:people_person_changelist": 200,
    "shop:articles": 200,
    "shop:new": 200,
    "shop:edit": 200,
    "shop:uuid": 200,
    "shop:month": 200,
    "shop:day": 200,
    "shop:shelf": 200,
    "shop:article": 200,
    "shop:capital": 200,
    "shop:either": 200,
    "shop:optional": 200,
    "shop:unnamed": 200,
    "shop:nested": 200,
    "shop:alternation": 200,
    "shop:object": 200,
    "shop:partial": 200,
    "shop:option": 200,
    "shop:hidden": 200,
    "shop:source": 200,
    "shop:purchase": 200,
    "shop:coupon": 200,
    "shop:shy": 200,
    "shop:members": 200,
    "shop:staff": 200,
    "shop:chiefs": 200,
    "shop:allowed": 200,
    "shop:post": 405,
    "shop:script": 200,
    "shop:search": 200,
    "shop:linked": 200,
    "shop:again": 200,
    "shop:magic": 200,
    "shop:gone": 410,
    "shop:teapot": 418,
    "shop:away": 302,
    "shop:elsewhere": 302,
    "shop:quick": 200,
    "shop:asynchronous": 200,
    "shop:stream": 200,
    "shop:endless": 200,
    "shop:events": 200,
    "shop:download": 200,
    "shop:chatty": 200,
    "shop:many": 200,
}
ROLES = {
    "home": "anonymous",
    "shop:members": "user",
    "shop:purchase": "user",
    "shop:staff": "staff",
    "shop:chiefs": "superuser",
    "shop:allowed": "superuser",
    "coupon-list": "staff",
}


@pytest.mark.parametrize("name", OK_STATUSES)
def test_healthy_patterns_are_ok(whole_run: Finished, name: str) -> None:
    """A healthy pattern is ok, with the status that its view answers."""
    row = whole_run.by_name()[name]

    assert ("ok", OK_STATUSES[name]) == (row["outcome"], row["status"]), row


@pytest.mark.parametrize("name", SKIPPED)
def test_skipped_patterns_have_one_reason(whole_run: Finished, name: str) -> None:
    """A pattern that cannot be judged says why, with one reason."""
    row = whole_run.by_name()[name]

    assert ("skipped", SKIPPED[name]) == (row["outcome"], row["reason"]), row


@pytest.mark.parametrize("name", FAILED)
def test_failed_patterns(whole_run: Finished, name: str) -> None:
    """A view that raises, or answers 404 to everybody without a value, has failed."""
    row = whole_run.by_name()[name]

    assert ("failed", FAILED[name]) == (row["outcome"], row["reason"]), row


def test_made_up_values_are_doubted(whole_run: Finished) -> None:
    """A view that fails with a made-up value is doubtful and not failed."""
    row = whole_run.by_name()["shop:ghost"]

    assert row["outcome"] == "doubtful"
    assert DOUBTFUL["shop:ghost"] in row["reason"]


def test_nothing_else_is_accused(whole_run: Finished) -> None:
    """Every pattern that is not ok is one that is expected not to be."""
    unexpected = [
        row
        for name, row in whole_run.by_name().items()
        if row["outcome"] != "ok" and name not in {**SKIPPED, **FAILED, **DOUBTFUL}
    ]

    assert unexpected == []


@pytest.mark.parametrize("name", ROLES)
def test_weakest_role_is_told(whole_run: Finished, name: str) -> None:
    """A result names the weakest role that the view let in."""
    assert ROLES[name] == whole_run.by_name()[name]["role"]


def test_every_leaf_is_listed_once(whole_run: Finished) -> None:
    """There is a result for every leaf of the resolver, and at least 80 of them."""
    rows = [row for row in whole_run.report["results"] if not row["listed"]]
    keys = [(row["name"], row["pattern"]) for row in rows]

    assert len(keys) == len(set(keys))
    assert len(keys) >= 120


def test_groups_add_up(whole_run: Finished) -> None:
    """The groups of the summary add up to all patterns."""
    report = whole_run.report
    summary = report["summary"]
    groups = ("ok", "exists", "failed", "doubtful", "skipped")

    assert len(report["results"]) == sum(summary[group] for group in groups)
    assert len(report["results"]) == summary["patterns"]


def test_each_language_is_requested(whole_run: Finished) -> None:
    """Patterns below ``i18n_patterns`` are requested in each language."""
    urls = [row["url"] for row in whole_run.report["results"] if row["name"] == "hello"]

    assert urls == ["/en/hello/", "/fr/hello/"]


def test_failures_make_exit_code_1(whole_run: Finished) -> None:
    """A run that found failures ends with 1, and writes nothing but its report."""
    assert whole_run.code == 1
    assert "this must not be in the report" not in whole_run.stdout


def test_listed_urls_are_requested_as_their_own_client(whole_run: Finished) -> None:
    """What an app lists is requested with its own client, and keeps its tags."""
    rows = [row for row in whole_run.report["results"] if row["listed"]]

    assert [
        ("/search/?q=shoe", "ok", []),
        ("/staff/", "ok", []),
        ("/search/?q=crash", "failed", ["search", "important"]),
    ] == [(row["url"], row["outcome"], row["tags"]) for row in rows]


def test_queries_and_missing_variables_are_shown(whole_run: Finished) -> None:
    """A result shows repeated queries and the template variables not found."""
    row = whole_run.by_name()["shop:many"]

    assert row["queries"] >= 13
    assert row["identical_queries"] == 10
    assert row["missing_variables"] == [
        "object in page.html",
        "not_there in page.html",
    ]


def test_each_failure_is_logged_once(whole_run: Finished) -> None:
    """Each failure is one ERROR of the logger ``smoke``."""
    assert whole_run.stderr.count(" failed: ") == whole_run.report["summary"]["failed"]
