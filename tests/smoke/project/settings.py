"""Settings of the project that the smoke tests are tried on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import django

BASE_DIR = Path(__file__).resolve().parent
SECRET_KEY = "only for the tests"
DEBUG = os.environ.get("SMOKE_DEBUG", "1") == "1"
USE_TZ = True
ROOT_URLCONF = os.environ.get("SMOKE_URLS", "tests.smoke.project.urls")
AUTH_USER_MODEL = "people.Person"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.sites",
    "django.contrib.sitemaps",
    "rest_framework",
    "yourlabs.smoke",
    "tests.smoke.project.people",
    "tests.smoke.project.shop",
    "tests.smoke.project.unsafe",
]
if "defects" in ROOT_URLCONF:
    INSTALLED_APPS.append("tests.smoke.project.defects")
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
if django.VERSION >= (6, 0):
    from django.utils.csp import CSP

    MIDDLEWARE.insert(1, "django.middleware.csp.ContentSecurityPolicyMiddleware")
    SECURE_CSP = {"default-src": [CSP.SELF]}
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SMOKE_DB", BASE_DIR / "project.sqlite3"),
    }
}
if os.environ.get("SMOKE_POSTGRES"):
    DATABASES["default"] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["SMOKE_POSTGRES"],
        "USER": os.environ.get("PGUSER", "postgres"),
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
        "HOST": os.environ.get("PGHOST", "127.0.0.1"),
        "PORT": os.environ.get("PGPORT", "5432"),
    }
    if os.environ.get("SMOKE_DRIVER") == "psycopg2":
        # Django prefers the newer one where both are there.
        sys.modules["psycopg"] = None  # type: ignore[assignment]
    if os.environ.get("SMOKE_DRIVER") == "pool":
        DATABASES["default"]["OPTIONS"] = {"pool": True}
# People have no migrations, and what refers to them must not have any either.
MIGRATION_MODULES = dict.fromkeys(
    ("admin", "auth", "contenttypes", "sessions", "sites")
)
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("fr", "Français")]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
STATIC_URL = "/static/"
ALLOWED_HOSTS = ["shop.example.com"]
if os.environ.get("SMOKE_SERVED"):
    ALLOWED_HOSTS.append("127.0.0.1")
    SITE_ID = 1
    INSTALLED_APPS.append("django.contrib.staticfiles")
    # The project's user model raises whenever somebody logs in.
    INSTALLED_APPS.remove("tests.smoke.project.unsafe")
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"smoke": {"handlers": ["console"], "level": "ERROR"}},
}
SMOKE = {
    "exclude": ["shop:excluded", "/secret/*"],
    "expect": {"shop:gone": 410, "/teapot/": 418},
    "values": {"magic": "tests.smoke.project.shop.smoke.magic"},
}
