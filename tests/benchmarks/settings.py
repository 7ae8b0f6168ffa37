"""Settings of the benchmarks: everything on, and a log that is not written."""

from __future__ import annotations

import os

import django

SECRET_KEY = "only for the benchmarks"
USE_TZ = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.benchmarks.site"
INSTALLED_APPS = ["yourlabs.runner", "tests.benchmarks"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
ADMINS = (
    ["admin@example.com"]
    if django.VERSION >= (6, 0)
    else [("Admin", "admin@example.com")]
)
RUN_ROOT = os.environ.get("RUN_ROOT")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"null": {"class": "logging.NullHandler"}},
    "loggers": {"runner": {"handlers": ["null"], "level": "INFO", "propagate": False}},
}
MAIL = "django.core.mail.backends.dummy.EmailBackend"
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": MAIL}}
else:
    EMAIL_BACKEND = MAIL
