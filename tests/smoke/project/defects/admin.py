"""Broken admin pages, and a healthy one."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin

from tests.smoke.project.defects import models


@admin.register(models.Device)
class DeviceAdmin(admin.ModelAdmin):
    """Healthy."""

    search_fields = ("name",)
    list_filter = ("name",)


@admin.register(models.BadColumn)
class BadColumnAdmin(admin.ModelAdmin):
    """A column that raises."""

    list_display = ("name", "size")

    def size(self, device: Any) -> str:
        """Fail."""
        return device.picture.size


@admin.register(models.BadSearch)
class BadSearchAdmin(admin.ModelAdmin):
    """A search in a field that is not there."""

    search_fields = ("title",)


class Broken(admin.SimpleListFilter):
    """A filter that raises when used."""

    title = "broken"
    parameter_name = "broken"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        """One choice."""
        return [("1", "one")]

    def queryset(self, request: Any, queryset: Any) -> Any:
        """Fail when chosen."""
        return queryset.filter(nothing=1) if self.value() else queryset


@admin.register(models.BadFilter)
class BadFilterAdmin(admin.ModelAdmin):
    """A broken filter."""

    list_filter = (Broken,)


@admin.register(models.BadOrdering)
class BadOrderingAdmin(admin.ModelAdmin):
    """A column that orders by a field that is not there."""

    list_display = ("shown",)

    @admin.display(ordering="nothing")
    def shown(self, device: Any) -> str:
        """Answer."""
        return device.name


class BrokenForm(forms.ModelForm):
    """A form that raises."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["nothing"].required = False


@admin.register(models.BadForm)
class BadFormAdmin(admin.ModelAdmin):
    """A broken form."""

    form = BrokenForm


class Facets(Broken):
    """A filter that raises when its choices are counted."""

    def queryset(self, request: Any, queryset: Any) -> Any:
        """Do nothing."""
        return queryset

    def get_facet_counts(self, pk_attname: str, filtered_qs: Any) -> Any:
        """Fail."""
        raise RuntimeError("facets")


@admin.register(models.BadFacets)
class BadFacetsAdmin(admin.ModelAdmin):
    """Broken facets."""

    list_filter = (Facets,)


admin.site.register(models.BadText)
