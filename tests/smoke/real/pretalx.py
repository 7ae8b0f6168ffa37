"""A conference of pretalx, whose user model has no ``username``."""

from __future__ import annotations

import os

os.environ["PRETALX_DATA_DIR"] = os.environ["SMOKE_REAL_DIR"]
os.environ["PRETALX_DEBUG"] = "True"

from pretalx.settings import *  # noqa: F403
from pretalx.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "yourlabs.smoke"]
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
