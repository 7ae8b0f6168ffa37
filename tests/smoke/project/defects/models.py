"""A model whose admin and serializer are broken in many ways."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Profile(models.Model):
    """Something that only some people have."""

    person = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE)


class Device(models.Model):
    """A row with an optional part."""

    name = models.CharField(max_length=20)
    picture = models.FileField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name


class BadColumn(Device):
    """For an admin whose column raises."""

    class Meta:
        proxy = True


class BadSearch(Device):
    """For an admin that searches a field that is not there."""

    class Meta:
        proxy = True


class BadFilter(Device):
    """For an admin with a filter that raises when used."""

    class Meta:
        proxy = True


class BadOrdering(Device):
    """For an admin that orders by a field that is not there."""

    class Meta:
        proxy = True


class BadForm(Device):
    """For an admin whose form raises."""

    class Meta:
        proxy = True


class BadFacets(Device):
    """For an admin whose facets raise."""

    class Meta:
        proxy = True


class BadText(models.Model):
    """A row without a text."""

    name = models.CharField(max_length=20)

    def __str__(self) -> str:
        return self.name + 1  # type: ignore[operator]
