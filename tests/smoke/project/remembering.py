"""Settings and patterns of a small project, on the database that a test chooses."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

SECRET_KEY = "only for the tests"
DEBUG = True
USE_TZ = True
ROOT_URLCONF = __name__
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "yourlabs.smoke",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
DATABASES = {"default": json.loads(os.environ["SMOKE_DATABASE"])}
if os.environ.get("SMOKE_PSYCOPG2"):
    # Django takes this one where the newer one is not there.
    sys.modules["psycopg"] = None  # type: ignore[assignment]
if DATABASES["default"]["ENGINE"].endswith("mysql"):
    import pymysql

    pymysql.version_info = (2, 2, 7, "final", 0)
    pymysql.install_as_MySQLdb()


def page(request: Any) -> Any:
    """Read and write, then fail until it is mended."""
    from django.contrib.auth.models import Group
    from django.db import transaction
    from django.http import HttpResponse

    with transaction.atomic():
        Group.objects.create(name="never there")
    if not os.environ.get("SMOKE_HEALED"):
        raise RuntimeError("Not yet.")
    return HttpResponse(str(Group.objects.count()))


def get_patterns() -> list[Any]:
    """The patterns; not made while the settings are read."""
    from django.urls import path

    return [path("page/", page, name="page"), path("other/", page, name="other")]


def __getattr__(name: str) -> Any:
    if name == "urlpatterns":
        return get_patterns()
    raise AttributeError(name)
