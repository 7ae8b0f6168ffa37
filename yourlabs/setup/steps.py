"""The steps: functions of a context, each of which writes a few settings."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any

from yourlabs.setup import services, versions
from yourlabs.setup.context import DEFAULT, ENVIRONMENT, FILE, Context, notice, step
from yourlabs.setup.security import has_whitenoise, security
from yourlabs.setup.values import (
    Invalid,
    as_addresses,
    as_bool,
    as_level,
    as_log_format,
)

MAX_BYTES = 16 * 1024 * 1024
"""Bytes of a log file before it is rotated."""

BACKUP_COUNT = 5
"""How many rotated files are kept."""

FORMATTERS: dict[str, dict[str, Any]] = {
    "simple": {"format": "%(levelname)s %(message)s"},
    "verbose": {
        "format": "%(levelname)s %(asctime)s %(name)s %(process)d %(thread)d "
        "%(message)s"
    },
    "json": {"()": "yourlabs.setup.handlers.JsonFormatter"},
}


@step
def full(context: Context) -> None:
    """Do all the steps."""
    for one in (debug, filesystem, create_paths, defaults, locale, template, fixture):
        one(context)
    for one in (media, static, security, database, cache, email, admin, logging):
        one(context)
    applications(context)


@step
def debug(context: Context, value: bool | str | None = None) -> None:
    """Set ``DEBUG``, and again every setting of ours that depends on it.

    Args:
        value: On or off, as a string too. None for what the environment says,
            which is off by default and on under ``runserver``.

    Raises:
        ImproperlyConfigured: When the string is neither.
    """
    if value is not None:
        try:
            said = as_bool(value) if isinstance(value, str) else bool(value)
        except Invalid as problem:
            context.problems["DEBUG"] = str(problem)
            return
        context.said["debug"] = said
        if not context.is_free("DEBUG") and context.settings["DEBUG"] != said:
            notice("DEBUG is set by the settings file, debug() ignored")
    if "debug" in context.said:
        context.set("DEBUG", context.said["debug"], FILE)
    context.is_debug()
    context.again("media", "static", "security", "email", "logging")


@step
def defaults(context: Context) -> None:
    """Set what every project needs: its urls and its kind of keys."""
    assert context.location is not None
    context.set("SITE_ID", 1)
    context.set("DEFAULT_AUTO_FIELD", "django.db.models.BigAutoField")
    urls = context.location.find_module("urls")
    if urls:
        context.set("ROOT_URLCONF", urls)
    for name in ("wsgi", "asgi"):
        module = context.location.find_module(name)
        if module:
            context.set(f"{name.upper()}_APPLICATION", f"{module}.application")


@step
def filesystem(context: Context) -> None:
    """Set the folders: ``PROJECT_ROOT``, ``VAR_ROOT``, ``RUN_ROOT``, ``LOG_ROOT``.

    ``RUN_ROOT`` is where the runner has its pidfiles.
    """
    context.set("PROJECT_ROOT", context.root)
    context.set("VAR_ROOT", context.root / "var")
    context.set("RUN_ROOT", context.var / "run")
    context.set("LOG_ROOT", context.var / "log")
    for name in ("VAR_ROOT", "RUN_ROOT", "LOG_ROOT"):
        _add_path(context, name)


@step
def create_paths(context: Context) -> None:
    """Make the folders of all steps, those that are done later too.

    A folder that cannot be made is one warning on stderr, no error.
    """
    filesystem(context)
    for path in context.paths:
        context.make_folder(path)


@step
def media(context: Context) -> None:
    """Set where uploaded files are: ``var/media``, or what ``STORAGE_URL`` says."""
    _set_root(context, "media")
    context.set("MEDIA_URL", "media/")
    _set_storages(context)


@step
def static(context: Context) -> None:
    """Set where static files are, and how files are stored.

    They are collected in ``var/static``, or in what ``STORAGE_URL`` says, from the
    apps and from ``static`` in the project where that exists. With ``DEBUG`` off their
    names hold a hash of what is in them, and whitenoise compresses them where it is
    installed.
    """
    _set_root(context, "static")
    context.set("STATIC_URL", "static/")
    folder = context.root / "static"
    context.set("STATICFILES_DIRS", [folder] if folder.is_dir() else [])
    _set_storages(context)


@step
def template(context: Context) -> None:
    """Set the templates: of ``templates`` in the project, then of the apps."""
    names = (
        "template.context_processors.request",
        "contrib.auth.context_processors.auth",
    )
    processors = [*names, "contrib.messages.context_processors.messages"]
    engine = {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [context.root / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": [f"django.{name}" for name in processors]},
    }
    context.set("TEMPLATES", [engine])


@step
def fixture(context: Context) -> None:
    """Set where fixtures are: ``fixtures`` in the project."""
    context.set("FIXTURE_DIRS", [context.root / "fixtures"])


@step
def locale(context: Context, value: bool = True) -> None:
    """Set language and time zone: English, UTC.

    Args:
        value: Whether to translate.
    """
    context.set("USE_I18N", value, DEFAULT if value else FILE)
    context.set("USE_TZ", True)
    context.set("LANGUAGE_CODE", "en-us")
    context.set("TIME_ZONE", "UTC")
    context.set("LOCALE_PATHS", [context.root / "locale"])


@step
def database(context: Context) -> None:
    """Set ``DATABASES`` from ``DATABASE_URL``; SQLite in ``var`` without it.

    ``REPLICA_DATABASE_URL`` is ``DATABASES["replica"]``, and so for every name.
    ``DATABASE_PASSWORD`` is the password of a URL that has none.
    """
    if not context.claim("DATABASE_URL", "DATABASES"):
        return
    path = str(context.var / "db.sqlite3")
    entry = {"ENGINE": "django.db.backends.sqlite3", **services.sqlite(path)}
    entries, origin = {"default": entry}, DEFAULT
    secrets: dict[str, str] = {}
    for name in sorted(context.environment.names()):
        match = re.fullmatch(r"(?:([A-Z]\w*)_)?DATABASE_(URL|PASSWORD)", name)
        if match is None or not context.environment.has(name):
            continue
        origin = ENVIRONMENT
        alias = (match[1] or "default").lower()
        if match[2] == "PASSWORD":
            _needs_url(context, name)
        elif match[1] == "DEFAULT" and context.environment.has("DATABASE_URL"):
            context.problems[name] = (
                "DATABASE_URL is set as well, set only one of the two"
            )
        else:
            found = _database(context, name)
            entries |= {alias: found[0]} if found else {}
            secrets |= found[1] if found else {}
    if not any("DATABASE_" in name for name in context.problems):
        context.set("DATABASES", entries, origin, secrets)


def _database(
    context: Context, variable: str
) -> tuple[dict[str, Any], dict[str, str]] | None:
    entry, source = context.variable(
        variable, lambda text: services.database(text, context.root)
    )
    name = variable.replace("_URL", "_PASSWORD")
    password, file = context.variable(name, str)
    if entry is None or source is None:
        return None
    if password is None or file is None:
        return entry, services.password_source(entry.get("PASSWORD"), source.source)
    if entry.get("PASSWORD") or "PASSWORD" not in entry:
        context.problems[name] = f"{variable} has a password as well, or takes none"
    return {**entry, "PASSWORD": password}, {password: file.source}


def _needs_url(context: Context, name: str) -> None:
    url = name.replace("_PASSWORD", "_URL")
    if not context.environment.has(url):
        context.problems[name] = f"set, but {url} is not"


@step
def cache(context: Context) -> None:
    """Set ``CACHES`` from ``CACHE_URL``; memory of the process without it."""
    if not context.claim("CACHE_URL", "CACHES"):
        return
    entry, source = context.variable("CACHE_URL", services.cache)
    if entry is not None and source is not None:
        secrets = services.location_sources(entry, source.source)
        context.set("CACHES", {"default": entry}, ENVIRONMENT, secrets)
    elif "CACHE_URL" not in context.problems:
        context.set("CACHES", {"default": services.cache("locmem://")})


@step
def email(context: Context) -> None:
    """Set how mails are sent from ``EMAIL_URL``.

    ``MAILERS`` on Django 6.1 and later, ``EMAIL_*`` before; nothing where the
    project has set any of them. Without ``EMAIL_URL``: the console with
    ``DEBUG`` on, the SMTP server of this machine with it off.
    """
    names = ("MAILERS", *versions.EMAIL_SETTINGS.values(), "EMAIL_BACKEND")
    if not context.claim("EMAIL_URL", *names):
        return
    entry, source = context.variable("EMAIL_URL", services.mailer)
    secrets: dict[str, str] = {}
    if entry is not None and source is not None:
        password = entry.get("OPTIONS", {}).get("password")
        secrets = services.password_source(password, source.source)
    elif "EMAIL_URL" in context.problems:
        return
    else:
        entry = services.mailer("console" if context.is_debug() else "smtp")
    context.unset(*names)
    origin = DEFAULT if source is None else ENVIRONMENT
    for name, value in versions.mail_settings(entry).items():
        context.set(name, value, origin, secrets)
    context.again("logging")


@step
def admin(context: Context) -> None:
    """Set ``ADMINS`` from the variable ``ADMINS``: addresses, with commas."""
    context.set_from("ADMINS", lambda text: versions.admins(as_addresses(text)))


@step
def logging(context: Context) -> None:
    """Set ``LOGGING``: the console, and files where they can be written."""
    is_free = context.claim("LOG_LEVEL", "LOGGING")
    if not context.claim("LOG_FORMAT", "LOGGING") or not is_free:
        return
    level, _ = context.variable("LOG_LEVEL", as_level)
    log_format, _ = context.variable("LOG_FORMAT", as_log_format)
    origin = ENVIRONMENT if level or log_format else DEFAULT
    level = level or "INFO"
    setting: dict[str, Any] = {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "require_debug_false": {"()": "django.utils.log.RequireDebugFalse"}
        },
        "formatters": {name: dict(FORMATTERS[name]) for name in ("simple", "verbose")},
        "handlers": {
            "console": {"class": "logging.StreamHandler"},
            "mail_admins": {
                "level": "ERROR",
                "filters": ["require_debug_false"],
                "class": "django.utils.log.AdminEmailHandler",
            },
        },
        # Handled by the root logger; mails are the only thing of their own.
        "loggers": {"django": {"handlers": ["mail_admins"], "level": level}},
        "root": {"handlers": ["console"], "level": level},
    }
    if level == "DEBUG":
        # At DEBUG these two log each file looked at, each variable not found.
        for name in ("django.template", "django.utils.autoreload"):
            setting["loggers"][name] = {"level": "INFO"}
    _format(context, setting, "console", "simple")
    if log_format == "json":
        setting["loggers"]["django.server"] = _logger(["console"], "INFO")
    if context.is_ours("MAILERS") and "admins" in context.settings["MAILERS"]:
        setting["handlers"]["mail_admins"]["using"] = "admins"
    if _add_file(context, setting, "log_file", "django", "verbose"):
        setting["root"]["handlers"].append("log_file")
    for name, (least, formatter) in context.said.get("loggers", {}).items():
        _add_logger(context, setting, name, least, formatter)
    context.set("LOGGING", setting, origin)
    context.said["logging"] = setting


@step
def add_logger(
    context: Context, name: str, level: str = "debug", formatter: str = "simple"
) -> None:
    """Add a logger with a file of its own, before or after ``logging()``.

    Args:
        name: The logger's name; its file is ``NAME.log`` in ``LOG_ROOT``.
        level: The least level it lets pass.
        formatter: ``simple``, ``verbose`` or ``json``, of the file.

    Raises:
        ValueError: For any other level or formatter.
    """
    if formatter not in FORMATTERS:
        raise ValueError(f"unknown {formatter=}, expected simple, verbose or json")
    try:
        least = as_level(level)
    except Invalid as problem:
        raise ValueError(f"unknown {level=}: {problem}") from None
    loggers = context.said.get("loggers", {})
    context.said["loggers"] = {**loggers, name: (least, formatter)}
    if context.is_free("LOGGING"):
        logging(context)
    elif (ours := context.said.get("logging")) is context.settings["LOGGING"]:
        # With changes that the project made in place and keeps.
        _add_logger(context, ours or {}, name, least, formatter)
    else:
        notice("LOGGING is set by the settings file, add_logger() ignored")


@step
def applications(context: Context) -> None:
    """Give the installed ``yourlabs`` apps their loggers: ``runner``, ``smoke``.

    Both where ``INSTALLED_APPS`` is not set yet.
    """
    ours = context.said.get("logging")
    if not (context.is_free("LOGGING") or context.settings["LOGGING"] is ours):
        return
    for name in ("runner", "smoke"):
        is_installed = context.has_app(f"yourlabs.{name}", unknown=True)
        if is_installed and name not in context.said.get("loggers", {}):
            add_logger(context, name)


def _logger(handlers: list[str], level: str) -> dict[str, Any]:
    return {"handlers": handlers, "level": level, "propagate": False}


def _add_logger(
    context: Context, setting: dict[str, Any], name: str, level: str, formatter: str
) -> None:
    if name not in setting.setdefault("loggers", {}):
        handler = f"{name}_log_file"
        has_file = _add_file(context, setting, handler, name, formatter)
        handlers = ["console", handler] if has_file else ["console"]
        setting["loggers"][name] = _logger(handlers, level)


def _add_file(
    context: Context, setting: dict[str, Any], handler: str, stem: str, formatter: str
) -> bool:
    root = context.folder("LOG_ROOT", context.var / "log")
    if not _can_log_to(context, str(root)):
        return False
    setting.setdefault("handlers", {})[handler] = {
        "class": "yourlabs.setup.handlers.RotatingFileHandler",
        "filename": os.path.join(root, stem.replace(os.sep, "_") + ".log"),
        "maxBytes": MAX_BYTES,
        "backupCount": BACKUP_COUNT,
        "encoding": "utf-8",
        # Not opened by a command that logs nothing, as another user perhaps.
        "delay": True,
    }
    _format(context, setting, handler, formatter)
    return True


def _format(
    context: Context, setting: dict[str, Any], handler: str, formatter: str
) -> None:
    log_format, _ = context.variable("LOG_FORMAT", as_log_format)
    is_all = log_format == "json" or (log_format and handler == "console")
    name = log_format if is_all and log_format else formatter
    setting.setdefault("formatters", {}).setdefault(name, dict(FORMATTERS[name]))
    setting["handlers"][handler]["formatter"] = name


def _can_log_to(context: Context, folder: str) -> bool:
    if not os.path.isdir(folder):
        context.make_folder(folder)
    if not os.path.isdir(folder):
        return False
    effective = os.access in os.supports_effective_ids
    if os.access(folder, os.W_OK | os.X_OK, effective_ids=effective):
        return True
    context.warn(folder, OSError(errno.EACCES, os.strerror(errno.EACCES)))
    return False


def _set_root(context: Context, kind: str) -> None:
    name = f"{kind.upper()}_ROOT"
    found, _ = context.variable("STORAGE_URL", services.storage)
    if found and not found.entry and kind in found.kinds:
        context.set(name, Path(found.folder(kind)), ENVIRONMENT)
    else:
        context.set(name, context.var / kind)
    _add_path(context, name)


def _set_storages(context: Context) -> None:
    context.claim("STORAGE_URL", "STORAGES")
    if context.is_debug():
        name = "django.contrib.staticfiles.storage.StaticFilesStorage"
    elif has_whitenoise():
        name = "whitenoise.storage.CompressedManifestStaticFilesStorage"
    else:
        name = "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
    entries: dict[str, Any] = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": name},
    }
    found, source = context.variable("STORAGE_URL", services.storage)
    secrets: dict[str, str] = {}
    if found and found.entry and source:
        entries |= {"default": found.media()} if "media" in found.kinds else {}
        if "static" in found.kinds:
            entries["staticfiles"] = found.static(name)
        for key in ("secret_key", "account_key"):
            password = found.entry["OPTIONS"].get(key)
            secrets |= services.password_source(password, source.source)
    context.set("STORAGES", entries, ENVIRONMENT if secrets else DEFAULT, secrets)


def _add_path(context: Context, name: str) -> None:
    """Have ``create_paths()`` make the folder of a setting, or make it now."""
    value = context.settings.get(name)
    if isinstance(value, (str, os.PathLike)) and str(value):
        # Django takes its own from the current folder, where they are relative.
        is_djangos = name in ("MEDIA_ROOT", "STATIC_ROOT")
        path = value if is_djangos else context.folder(name, context.root)
        found = os.path.abspath(path)
        if found not in context.paths:
            context.paths.append(found)
        if "create_paths" in context.done:
            context.make_folder(found)
