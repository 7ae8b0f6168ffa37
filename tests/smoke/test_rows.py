"""Tests of finding rows and what of them goes into a URL."""

from __future__ import annotations

import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from django.urls.converters import IntConverter, SlugConverter, UUIDConverter

from yourlabs.smoke import naming
from yourlabs.smoke import rows as finding

pytestmark = pytest.mark.usefixtures("rows")


@pytest.fixture
def shop() -> Any:
    """Two rows that hang together, and the models."""
    from tests.smoke.project.shop import models

    purchase = models.Purchase.objects.get(code="P-1")
    return SimpleNamespace(
        models=models, purchase=purchase, article=purchase.article, owner=purchase.owner
    )


@pytest.mark.parametrize(
    ("start", "target", "path"),
    [
        ("Purchase", "Article", "article"),
        ("Purchase", "Category", "article__category"),
        ("Category", "Purchase", None),
    ],
)
def test_relations_are_followed_forwards(
    shop: Any, start: str, target: str, path: str | None
) -> None:
    """The shortest way between two models leads over forward relations."""
    models = shop.models

    found = finding.relation_path(getattr(models, start), getattr(models, target))

    assert path == found


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("code", "P-1"),
        ("code__iexact", "P-1"),
        ("article__category__slug", "hats"),
        ("article__category__articles__slug", "one-0"),
        ("nothing", None),
        ("nothing__at_all", None),
    ],
)
def test_path_is_walked_from_a_row(shop: Any, path: str, value: Any) -> None:
    """A path of fields leads to a value, over rows and over their managers."""
    assert value == finding.follow(shop.purchase, path)


def test_related_row_that_is_missing_ends_a_path(shop: Any) -> None:
    """A relation to nowhere is no value."""
    assert finding.follow(shop.models.Purchase(), "article__slug") is None


def test_row_that_refers_to_one_is_found(shop: Any) -> None:
    """A row is found that refers to another one, also among many to many."""
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Group

    group = Group.objects.create(name="readers")
    shop.owner.groups.add(group)

    assert shop.purchase == finding.reverse_row(shop.article, shop.models.Purchase)
    assert shop.owner == finding.reverse_row(group, get_user_model())
    assert finding.reverse_row(group, shop.models.Article) is None


@pytest.mark.parametrize(
    ("parameter", "converter", "first"),
    [
        ("pk", None, "pk"),
        ("article_id", IntConverter(), "pk"),
        ("number", IntConverter(), "pk"),
        ("ref", UUIDConverter(), "uuid"),
        ("slug", SlugConverter(), "slug"),
        ("article_slug", SlugConverter(), "slug"),
        ("title", None, "title"),
        ("category", None, "category_id"),
        ("anything", None, "slug"),
    ],
)
def test_parameter_means_a_field(
    shop: Any, parameter: str, converter: Any, first: str
) -> None:
    """The likeliest value of a parameter is the field that its name says."""
    found = finding.values_of(shop.article, parameter, converter, digits=False)

    assert getattr(shop.article, first) == found[0]


def test_value_that_cannot_be_compared_is_a_text() -> None:
    """A field that holds a list gives its text."""
    from tests.smoke.project.ways.models import Everything

    found = finding.values_of(Everything(data=[1]), "data", None, digits=False)

    assert "[1]" == found[0]


@pytest.mark.parametrize("value", ["a_b/c", 'q":?#', "a b+c,d;e", "ü<>%\\\n", "plain"])
def test_keys_are_quoted_as_the_admin_does(installed: None, value: str) -> None:
    """A key in a path of the admin is the one that the admin reads back."""
    from django.contrib.admin.utils import quote, unquote

    text = finding.url_text(value, None, is_admin=True)

    assert quote(value) == text
    assert value == unquote(text)


def test_row_is_given_to_its_user(shop: Any) -> None:
    """A row gets the owner that it can have, and a user no other one."""
    from django.contrib.auth import get_user_model

    other = get_user_model().objects.get(email="chief@example.com")

    finding.give_to(shop.purchase, other)
    finding.give_to(shop.article, other)
    finding.give_to(shop.owner, other)
    shop.purchase.refresh_from_db()

    assert other == shop.purchase.owner


def test_rows_of_a_table_that_is_not_there_are_none(shop: Any) -> None:
    """A model without a table has no rows, and the next query works."""
    assert [] == finding.rows_of(shop.models.Ghost)
    assert shop.models.Article.objects.exists()


def test_rows_are_the_oldest_and_the_newest(shop: Any) -> None:
    """Of many rows a few of both ends are taken."""
    models = shop.models
    several = [models.Shy.things.create(name=str(number)) for number in range(9)]

    found = finding.rows_of(models.Shy)

    assert ["shy", "0", "1", "8", "7"] == [row.name for row in found]
    assert several[-1] in found


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["article"], "Article"),
        (["articles"], "Article"),
        (["edit", "categories", "view"], "Category"),
        (["bad", "text"], "BadText"),
        (["content", "type"], "ContentType"),
        (["nothing"], ""),
        ([], ""),
    ],
)
def test_words_name_a_model(words: list[str], name: str) -> None:
    """A model is found by its name, in the plural too."""
    found = naming.models_named(words, "tests.smoke.project.shop.views")

    assert name == (found[0].__name__ if found else "")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("categories", "category"),
        ("boxes", "box"),
        ("classes", "class"),
        ("branches", "branch"),
        ("articles", "article"),
        ("address", "address"),
        ("ties", "tie"),
    ],
)
def test_singular(word: str, expected: str) -> None:
    """The singular of a word is good enough to compare names by."""
    assert expected == naming.singular(word)


def test_uuid_is_written_by_its_converter() -> None:
    """A value is written as the converter of its place does."""
    value = uuid.uuid4()

    assert str(value) == finding.url_text(value, UUIDConverter())
