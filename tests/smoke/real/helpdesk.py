"""A help desk, with REST framework."""

from __future__ import annotations

from tests.smoke.real.base import *  # noqa: F403
from tests.smoke.real.base import DJANGO_APPS

ROOT_URLCONF = "tests.smoke.real.helpdesk_urls"
SITE_ID = 1
INSTALLED_APPS = [
    *DJANGO_APPS,
    "django.contrib.sites",
    "django.contrib.humanize",
    "bootstrap4form",
    "rest_framework",
    "helpdesk",
    "yourlabs.smoke",
]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
HELPDESK_ACTIVATE_API_ENDPOINT = True
HELPDESK_TEAMS_MODE_ENABLED = False
HELPDESK_TEAMS_MODEL = "auth.User"
HELPDESK_TEAMS_MIGRATION_DEPENDENCIES = []
LOGIN_URL = "/login/"


def HELPDESK_KBITEM_TEAM_GETTER(item: object) -> None:  # noqa: N802
    """No teams."""
