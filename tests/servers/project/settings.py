"""Settings of a project that real servers load. The environment says the rest."""

from __future__ import annotations

import os
from pathlib import Path

import django

BASE_DIR = Path(__file__).resolve().parent
PLACE = Path(os.environ["PLACE"])
SECRET_KEY = "only for the tests"
ALLOWED_HOSTS = ["*"]
DEBUG = True
USE_TZ = True
ROOT_URLCONF = "urls"
WSGI_APPLICATION = "wsgi.application"
INSTALLED_APPS = ["django.contrib.staticfiles", "yourlabs.runner", "pages"]
STATIC_URL = "static/"
STATIC_ROOT = PLACE / "static"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": PLACE / "database.sqlite3",
    }
}
EMAIL_FILE_PATH = PLACE / "mails"
if django.VERSION >= (6, 1):
    MAILERS = {
        "default": {
            "BACKEND": "django.core.mail.backends.filebased.EmailBackend",
            "OPTIONS": {"file_path": EMAIL_FILE_PATH},
        }
    }
    del EMAIL_FILE_PATH
else:
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
ADMINS = (
    ["admin@example.com"]
    if django.VERSION >= (6, 0)
    else [("Admin", "admin@example.com")]
)
RUN_ROOT = PLACE / "run"
RUNNER = {"STOP_TIMEOUT": float(os.environ.get("STOP_TIMEOUT", "2"))}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "%(process)d %(asctime)s %(levelname)s %(message)s"}
    },
    "handlers": {
        "file": {
            "class": "logging.FileHandler",
            "filename": PLACE / "runner.log",
            "formatter": "line",
        },
        "journal": {"class": "journal.Handler"},
    },
    "loggers": {
        "runner": {
            "handlers": ["file", "journal"],
            "level": "DEBUG",
            "propagate": False,
        }
    },
}
