"""A site of wagtail, with REST framework and a user model of Django's own."""

from __future__ import annotations

from tests.smoke.real.base import *  # noqa: F403
from tests.smoke.real.base import DJANGO_APPS, MIDDLEWARE

ROOT_URLCONF = "tests.smoke.real.wagtail_urls"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "tests.smoke.real.home",
    "wagtail.contrib.forms",
    "wagtail.contrib.redirects",
    "wagtail.contrib.settings",
    "wagtail.contrib.styleguide",
    "wagtail.contrib.simple_translation",
    "wagtail.locales",
    "wagtail.embeds",
    "wagtail.sites",
    "wagtail.users",
    "wagtail.snippets",
    "wagtail.documents",
    "wagtail.images",
    "wagtail.search",
    "wagtail.admin",
    "wagtail.api.v2",
    "wagtail",
    "modelcluster",
    "taggit",
    "rest_framework",
    "django_filters",
    *DJANGO_APPS,
    "yourlabs.smoke",
]
MIDDLEWARE = [
    *MIDDLEWARE,
    "wagtail.contrib.redirects.middleware.RedirectMiddleware",
]
WAGTAIL_SITE_NAME = "x"
WAGTAILADMIN_BASE_URL = "http://localhost"
WAGTAIL_I18N_ENABLED = True
WAGTAIL_CONTENT_LANGUAGES = LANGUAGES = [("en", "English"), ("fr", "French")]
