"""Models whose rows are hard to make, and users of other kinds."""

from __future__ import annotations

import functools
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import models, transaction


class Everything(models.Model):
    """A field of each kind, none with a default."""

    kind = models.CharField(max_length=9, choices=[("", "none"), ("a", "A")])
    group = models.CharField(max_length=9, choices=[("Letters", [("b", "B")])])
    token = models.UUIDField()
    email = models.EmailField(unique=True)
    homepage = models.URLField()
    code = models.CharField(max_length=9, unique=True)
    text = models.TextField()
    slug = models.SlugField(null=True)
    file = models.FileField()
    path = models.FilePathField(path="/", max_length=20)
    at = models.DateTimeField()
    on = models.DateField(null=True)
    noon = models.TimeField()
    lasts = models.DurationField()
    price = models.DecimalField(max_digits=5, decimal_places=2)
    is_public = models.BooleanField(default=False)
    is_deleted = models.BooleanField()
    number = models.IntegerField(unique=True)
    weight = models.FloatField()
    address = models.GenericIPAddressField()
    data = models.JSONField()
    raw = models.BinaryField()
    changed = models.DateTimeField(auto_now=True)
    note = models.CharField(max_length=9, null=True)
    above = models.ForeignKey("self", models.CASCADE, null=True)
    doubled = models.GeneratedField(
        expression=models.F("number") * 2,
        output_field=models.IntegerField(),
        db_persist=True,
    )


class Endless(models.Model):
    """A row that needs another one of its kind, which needs another one."""

    above = models.OneToOneField("self", models.CASCADE)


class Above(models.Model):
    """A row that is part of those of another table."""

    name = models.CharField(max_length=20)


class Below(Above):
    """A row in two tables, of which the second has one for each pair of values."""

    above = models.ForeignKey(Above, models.CASCADE, null=True, related_name="more")
    number = models.IntegerField()
    letter = models.CharField(max_length=9)

    class Meta:
        unique_together = [("above", "number")]
        constraints = [models.UniqueConstraint(fields=["letter"], name="letters")]


class Durable(models.Model):
    """A row that is saved in a transaction that must be the outermost."""

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Open the transaction."""
        with transaction.atomic(durable=True):
            super().save(*args, **kwargs)


class Marking(models.Manager["Marked"]):
    """Reads more than the table has."""

    def get_queryset(self) -> models.QuerySet[Marked]:
        """Rows with a mark."""
        return super().get_queryset().annotate(mark=models.F("pk"))


class Marked(models.Model):
    """A row that has a page only when read by its own manager."""

    objects = Marking()

    def get_absolute_url(self) -> str:
        """The page, from what the manager read."""
        return f"/marked/{self.mark}/"  # type: ignore[attr-defined]


class Operator(AbstractBaseUser):
    """Users with a switch of their own, and a manager that makes none."""

    code = models.CharField(max_length=20, unique=True)
    is_admin = models.BooleanField(default=False)

    objects = models.Manager()
    USERNAME_FIELD = "code"


class Administrator(AbstractBaseUser):
    """Users with a switch beside Django's own, which the project never sets."""

    code = models.CharField(max_length=20, unique=True)
    is_superuser = models.BooleanField(default=False)
    is_administrator = models.BooleanField(default=False)

    objects = models.Manager()
    USERNAME_FIELD = "code"


class Note(models.Model):
    """An empty table whose rows may be of a shelf."""

    category = models.ForeignKey("shop.Category", models.CASCADE, null=True)


class Badge(models.Model):
    """An empty table whose rows may be of one article each."""

    article = models.OneToOneField("shop.Article", models.CASCADE, null=True)


class Plain(AbstractBaseUser):
    """Users without any switch."""

    code = models.CharField(max_length=20, unique=True)

    objects = models.Manager()
    USERNAME_FIELD = "code"


class Sealed(AbstractBaseUser):
    """Users that nobody can make, with a property that raises."""

    code = models.CharField(max_length=20, unique=True)

    objects = models.Manager()
    USERNAME_FIELD = "code"

    @property
    def is_staff(self) -> bool:
        """Raise."""
        raise RuntimeError("Ask somebody else.")

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Refuse."""
        raise RuntimeError("Nobody can make one.")


class Elsewhere(AbstractBaseUser):
    """Users of another program, whose table is not here."""

    is_superuser = functools.cached_property(lambda self: self.pk == 1)
    objects = models.Manager()
    USERNAME_FIELD = "id"

    class Meta:
        managed = False
