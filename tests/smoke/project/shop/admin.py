"""The shop's admin pages."""

from __future__ import annotations

from django.contrib import admin

from tests.smoke.project.shop.models import Article, Category, Coupon


@admin.register(Category)
class CategoryAdmin(admin.ModelAdmin):
    """Shelves."""

    search_fields = ("name",)


@admin.register(Article)
class ArticleAdmin(admin.ModelAdmin):
    """Articles."""

    list_filter = ("category", "is_public")
    list_display = ("title", "category")
    search_fields = ("title",)
    autocomplete_fields = ("category",)


admin.site.register(Coupon)
