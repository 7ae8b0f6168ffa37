"""
A project that sends mail, before the queue: ``docs/howto/django-mailer.rst`` adds it.

What differs from machine to machine comes from the environment.
"""

from __future__ import annotations

import os
from pathlib import Path

import django

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "only for the tests"
ALLOWED_HOSTS = ["localhost"]
ROOT_URLCONF = "mysite.urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
INSTALLED_APPS = ["django.contrib.contenttypes", "mysite"]
DATABASES = {
    "default": {
        "ENGINE": f"django.db.backends.{os.environ.get('DATABASE', 'sqlite3')}",
        "NAME": os.environ.get("DATABASE_NAME", BASE_DIR / "db.sqlite3"),
        "USER": "postgres",
        "HOST": "127.0.0.1",
    }
}
if "DATABASE" not in os.environ:
    # The test writes while the chain does: SQLite refuses at once a transaction that
    # begins to write after another one did, and the chain would rest for half an hour.
    DATABASES["default"]["OPTIONS"] = {"transaction_mode": "IMMEDIATE", "timeout": 20}
EMAIL_HOST = "127.0.0.1"
EMAIL_PORT = int(os.environ.get("EMAIL_PORT", "25"))
DEFAULT_FROM_EMAIL = "shop@example.com"
SERVER_EMAIL = "server@example.com"
ADMINS = (
    ["admin@example.com"]
    if django.VERSION >= (6, 0)
    else [("Admin", "admin@example.com")]
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"runner": {"handlers": ["console"], "level": "DEBUG"}},
}
