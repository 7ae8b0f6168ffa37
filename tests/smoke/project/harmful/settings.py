"""The project with everything around it that its harmful views reach for."""

from __future__ import annotations

import os

import django

from tests.smoke.project.settings import *  # noqa: F403
from tests.smoke.project.settings import DATABASES, INSTALLED_APPS, MIGRATION_MODULES

PLACE = os.environ["SMOKE_PLACE"]
QUEUE = os.environ.get("SMOKE_QUEUE", "smoke")
ROOT_URLCONF = "tests.smoke.project.harmful.urls"
INSTALLED_APPS = [
    *[name for name in INSTALLED_APPS if not name.endswith("unsafe")],
    "tests.smoke.project.harmful",
]
MIGRATION_MODULES = {**MIGRATION_MODULES, "harmful": None}
MEDIA_ROOT = os.path.join(PLACE, "media")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "other": {
        "BACKEND": "tests.smoke.project.harmful.storages.Overwriting",
        "OPTIONS": {"location": os.path.join(PLACE, "other")},
    },
    "plain": {
        "BACKEND": "tests.smoke.project.harmful.storages.Plain",
        "OPTIONS": {"location": os.path.join(PLACE, "other")},
    },
}
ADMINS = ["admin@example.com" if django.VERSION >= (6, 0) else ("", "a@example.com")]
MAIL = {"host": "127.0.0.1", "port": int(os.environ.get("SMOKE_SMTP", "25"))}
if django.VERSION >= (6, 1):
    MAILERS = {
        "default": {
            "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
            "OPTIONS": MAIL,
        }
    }
else:
    EMAIL_HOST, EMAIL_PORT = MAIL["host"], MAIL["port"]
if django.VERSION >= (6, 0):
    TASKS = {"default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"}}
if os.environ.get("SMOKE_REDIS"):
    CACHES = {
        alias: {
            "BACKEND": "tests.smoke.project.harmful.storages.Cache",
            "LOCATION": f"{os.environ['SMOKE_REDIS']}/10",
            "KEY_PREFIX": f"{QUEUE}-{alias}",
        }
        for alias in ("default", "second")
    }
if os.environ.get("SMOKE_MARIADB"):
    import pymysql

    pymysql.version_info = (2, 2, 7, "final", 0)
    pymysql.install_as_MySQLdb()
    DATABASES["default"] = {
        "ENGINE": "django.db.backends.mysql",
        "NAME": os.environ["SMOKE_MARIADB"],
        "USER": "root",
        "HOST": "127.0.0.1",
    }
SMOKE = {"allow_paths": ["*/.coverage*"]}
