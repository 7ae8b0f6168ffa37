"""The steps: functions of a context, each of which writes a few settings."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any

from yourlabs.setup import services
from yourlabs.setup.context import DEFAULT, ENVIRONMENT, FILE, Context, notice, step
from yourlabs.setup.security import debug, security
from yourlabs.setup.values import one_of
from yourlabs.setup.versions import admin, email

FOLDERS = ("VAR_ROOT", "RUN_ROOT", "LOG_ROOT", "MEDIA_ROOT", "STATIC_ROOT")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
VERBOSE = "%(levelname)s %(asctime)s %(name)s %(process)d %(thread)d %(message)s"
FORMATTERS: dict[str, dict[str, Any]] = {
    "simple": {"format": "%(levelname)s %(message)s"},
    "verbose": {"format": VERBOSE},
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
def defaults(context: Context) -> None:
    """Set what every project needs: its urls and its kind of keys."""
    context.set("SITE_ID", 1)
    context.set("DEFAULT_AUTO_FIELD", "django.db.models.BigAutoField")
    names = {"urls": "ROOT_URLCONF"}
    names |= {name: f"{name.upper()}_APPLICATION" for name in ("wsgi", "asgi")}
    for name, setting in names.items():
        if context.location and (module := context.location.find_module(name)):
            context.set(setting, module + ".application" * (name != "urls"))


@step
def filesystem(context: Context) -> None:
    """Set the folders: ``PROJECT_ROOT``, ``VAR_ROOT``, ``RUN_ROOT``, ``LOG_ROOT``.

    ``RUN_ROOT`` is where the runner has its pidfiles.
    """
    context.set("PROJECT_ROOT", context.root)
    for name in FOLDERS[:3]:
        context.set(name, context.default_folder(name))


@step
def create_paths(context: Context) -> None:
    """Make the folders of all steps, those that are done later too.

    A folder that cannot be made is one warning on stderr, no error.
    """
    filesystem(context)
    for name in FOLDERS:
        if context.settings.get(name):
            context.make_folder(name)


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
    names = "template.{0}.request contrib.auth.{0}.auth contrib.messages.{0}.messages"
    names = names.format("context_processors")
    processors = [f"django.{name}" for name in names.split()]
    engine = {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [context.root / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": processors},
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
    sqlite = services.sqlite(str(context.folder("VAR_ROOT") / "db.sqlite3"), {})
    entries = {"default": {"ENGINE": "django.db.backends.sqlite3", **sqlite}}
    problems, origin = len(context.problems), DEFAULT
    for name in sorted({"DATABASE_URL", *context.environment.names()}):
        match = re.fullmatch(r"(?:([A-Z]\w*)_)?DATABASE_URL", name)
        if match and context.claim(name, "DATABASES") and context.environment.has(name):
            origin, alias = ENVIRONMENT, (match[1] or "default").lower()
            entries[alias] = _database(context, name, name.replace("_URL", "_PASSWORD"))
    if origin == DEFAULT and context.environment.has("DATABASE_PASSWORD"):
        notice("DATABASE_PASSWORD is set, but DATABASE_URL is not: it is not used")
    if len(context.problems) == problems:
        context.set("DATABASES", entries, origin)


def _database(context: Context, url: str, password: str) -> dict[str, Any]:
    root = context.root
    entry = context.variable(url, lambda text: services.database(text, root))
    text = context.variable(password, str)
    given = (entry or {}).get("PASSWORD")
    if entry is None or text is None or given == text:
        return entry or {}
    if given != "":
        context.problems[password] = f"{url} has another password, or takes none"
    return {**entry, "PASSWORD": text}


@step
def cache(context: Context) -> None:
    """Set ``CACHES`` from ``CACHE_URL``; memory of the process without it."""
    if context.claim("CACHE_URL", "CACHES"):
        entry = context.variable("CACHE_URL", services.cache)
        default = {"default": entry or services.cache("locmem://")}
        if "CACHE_URL" not in context.problems:
            context.set("CACHES", default, ENVIRONMENT if entry else DEFAULT)


@step
def logging(context: Context) -> None:
    """Set ``LOGGING``: the console, and files where they can be written."""
    is_free = [context.claim(name, "LOGGING") for name in ("LOG_LEVEL", "LOG_FORMAT")]
    if not all(is_free):
        return
    given = context.variable("LOG_LEVEL", one_of(LEVELS))
    log_format = context.variable("LOG_FORMAT", one_of(FORMATTERS))
    level = given or "INFO"
    mails: dict[str, Any] = {
        "level": "ERROR",
        "filters": ["require_debug_false"],
        "class": "django.utils.log.AdminEmailHandler",
    }
    if context.is_ours("MAILERS") and "admins" in context.settings["MAILERS"]:
        mails["using"] = "admins"
    console = {"class": "logging.StreamHandler", "formatter": log_format or "simple"}
    setting: dict[str, Any] = {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "require_debug_false": {"()": "django.utils.log.RequireDebugFalse"}
        },
        "formatters": {name: dict(value) for name, value in FORMATTERS.items()},
        "handlers": {"console": console, "mail_admins": mails},
        # Handled by the root logger; mails are the only thing of their own.
        "loggers": {"django": {"handlers": ["mail_admins"], "level": level}},
        "root": {"handlers": ["console"], "level": level},
    }
    if level == "DEBUG":
        # At DEBUG these two log each file looked at, each variable not found.
        quiet = ("django.template", "django.utils.autoreload")
        setting["loggers"] |= {name: {"level": "INFO"} for name in quiet}
    if log_format == "json":
        server = {"handlers": ["console"], "level": "INFO", "propagate": False}
        setting["loggers"]["django.server"] = server
    _add_file(context, setting, setting["root"]["handlers"], "django", "verbose")
    for name, (least, formatter) in context.said.get("loggers", {}).items():
        _add_logger(context, setting, name, least, formatter)
    context.set("LOGGING", setting, ENVIRONMENT if given or log_format else DEFAULT)
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
    if level.upper() not in LEVELS:
        raise ValueError(f"unknown {level=}, expected one of {', '.join(LEVELS)}")
    loggers = context.said.get("loggers", {})
    context.said["loggers"] = {**loggers, name: (level.upper(), formatter)}
    ours = context.said.get("logging")
    if context.is_free("LOGGING"):
        logging(context)
    elif ours is not None and context.settings["LOGGING"] is ours:
        # With changes that the project made in place and keeps.
        _add_logger(context, ours, name, level.upper(), formatter)
    else:
        notice("LOGGING is set by the settings file, add_logger() ignored")


@step
def applications(context: Context) -> None:
    """Give the installed ``yourlabs`` apps their loggers: ``runner``, ``smoke``.

    Both where ``INSTALLED_APPS`` is not set yet.
    """
    ours = context.said.get("logging")
    is_open = "INSTALLED_APPS" not in context.settings
    if context.is_free("LOGGING") or context.settings["LOGGING"] is ours:
        names = {"runner", "smoke"} - context.said.get("loggers", {}).keys()
        for name in sorted(names):
            if is_open or context.has_app(f"yourlabs.{name}"):
                add_logger(context, name)


def _add_logger(
    context: Context, setting: dict[str, Any], name: str, level: str, formatter: str
) -> None:
    if name not in setting.setdefault("loggers", {}):
        logger = {"handlers": ["console"], "level": level, "propagate": False}
        setting["loggers"][name] = logger
        _add_file(context, setting, logger["handlers"], name, formatter)


def _add_file(
    context: Context, setting: dict[str, Any], handlers: Any, name: str, formatter: str
) -> None:
    """Add a file to a setting and to some handlers in it, where it can be written."""
    root = context.folder("LOG_ROOT")
    if not os.path.isdir(root):
        context.make_folder("LOG_ROOT")
    if not os.access(root, os.W_OK | os.X_OK):
        context.warn(root, OSError(errno.EACCES, os.strerror(errno.EACCES)))
        return
    handler = "log_file" if name == "django" else f"{name}_log_file"
    if context.variable("LOG_FORMAT", one_of(FORMATTERS)) == "json":
        formatter = "json"
    setting.setdefault("formatters", {}).setdefault(formatter, FORMATTERS[formatter])
    setting.setdefault("handlers", {})[handler] = {
        "class": "yourlabs.setup.handlers.RotatingFileHandler",
        "filename": str(root / f"{name.replace(os.sep, '_')}.log"),
        "maxBytes": 16 * 1024 * 1024,
        "backupCount": 5,
        "encoding": "utf-8",
        # Not opened by a command that logs nothing, as another user perhaps.
        "delay": True,
        "formatter": formatter,
    }
    handlers.append(handler)


def _set_root(context: Context, kind: str) -> None:
    found = context.variable("STORAGE_URL", services.storage) or {}
    folder = found.get(kind, {}).get("folder")
    name = f"{kind.upper()}_ROOT"
    value = Path(folder) if folder else context.default_folder(name)
    context.set(name, value, ENVIRONMENT if folder else DEFAULT)
    context.again("create_paths")


def _set_storages(context: Context) -> None:
    context.claim("STORAGE_URL", "STORAGES")
    found = context.variable("STORAGE_URL", services.storage) or {}
    entries = services.storages(found, context.is_debug())
    context.set("STORAGES", entries, ENVIRONMENT if found else DEFAULT)
