"""What the shop sells, to whom."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.urls import reverse


class Category(models.Model):
    """A shelf."""

    name = models.CharField(max_length=50)
    slug = models.SlugField(unique=True)

    def __str__(self) -> str:
        return self.name


class Article(models.Model):
    """Something on a shelf."""

    category = models.ForeignKey(Category, models.CASCADE, related_name="articles")
    title = models.CharField(max_length=50)
    slug = models.SlugField()
    uuid = models.UUIDField(default=uuid.uuid4)
    is_public = models.BooleanField(default=True)
    on = models.DateField()

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        """The page of the article."""
        return reverse("shop:article", args=[self.category.slug, self.slug])


class Purchase(models.Model):
    """What somebody bought; nobody else sees it."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    article = models.ForeignKey(Article, models.CASCADE)
    code = models.CharField(max_length=10, unique=True)

    def __str__(self) -> str:
        return self.code


class Coupon(models.Model):
    """An empty table."""

    code = models.CharField(max_length=20, unique=True)
    is_active = models.BooleanField(default=False)
    category = models.ForeignKey(Category, models.CASCADE)

    def __str__(self) -> str:
        return self.code


class Locked(models.Model):
    """An empty table whose rows cannot be made."""

    name = models.CharField(max_length=20)

    def save(self, *args: object, **kwargs: object) -> None:
        """Refuse."""
        raise RuntimeError("Nobody can make one.")


class Ghost(models.Model):
    """A model of another program whose table is not here."""

    name = models.CharField(max_length=20)

    class Meta:
        managed = False
        db_table = "not_here"


class Shy(models.Model):
    """A model whose default manager is not called ``objects``."""

    name = models.CharField(max_length=20)

    things = models.Manager()


class Base(models.Model):
    """An abstract model."""

    class Meta:
        abstract = True
