"""Settings of the test suite."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import django

BASE_DIR = Path(__file__).resolve().parent
SECRET_KEY = "only for the tests"
USE_TZ = True
ROOT_URLCONF = "tests.urls"
INSTALLED_APPS = ["yourlabs.runner", "yourlabs.runner.cluster"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ":memory:",
    }
}
ADMINS = (
    ["admin@example.com"]
    if django.VERSION >= (6, 0)
    else [("Admin", "admin@example.com")]
)
RUN_ROOT = os.environ.get("RUN_ROOT") or tempfile.mkdtemp(prefix="yourlabs-run-")
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
