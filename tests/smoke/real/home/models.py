"""A kind of page, a snippet and a setting."""

from __future__ import annotations

from django.db import models
from wagtail.contrib.settings.models import BaseSiteSetting, register_setting
from wagtail.models import Page
from wagtail.snippets.models import register_snippet


class HomePage(Page):
    """A page with a text."""

    body = models.TextField(blank=True)
    template = "registration/logged_out.html"


@register_snippet
class Advert(models.Model):
    """Something to sell."""

    text = models.CharField(max_length=50)


@register_setting
class Social(BaseSiteSetting):
    """Where else the site is."""

    url = models.URLField(blank=True)
