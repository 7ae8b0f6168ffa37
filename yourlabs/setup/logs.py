"""The ``LOGGING`` setting."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

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


class Logger(NamedTuple):
    """A logger with a file of its own."""

    name: str
    level: str
    formatter: str


class Logs(NamedTuple):
    """What ``LOGGING`` is made from."""

    level: str
    """The level of the root logger and of Django's."""

    format: str
    """``json`` overrides every formatter."""

    root: Path | None
    """The folder of the files; None for the console only."""

    mailer: str | None
    """The mailer of the mails about errors; None for Django's default."""

    def setting(self, loggers: list[Logger]) -> dict[str, Any]:
        """Return the setting as ``logging.config.dictConfig`` reads it."""
        setting: dict[str, Any] = {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {
                "require_debug_false": {"()": "django.utils.log.RequireDebugFalse"}
            },
            "formatters": {n: dict(FORMATTERS[n]) for n in ("simple", "verbose")},
            "handlers": {
                "console": {"class": "logging.StreamHandler"},
                "mail_admins": {
                    "level": "ERROR",
                    "filters": ["require_debug_false"],
                    "class": "django.utils.log.AdminEmailHandler",
                },
            },
            "loggers": self._django_loggers(),
            "root": {"handlers": ["console"], "level": self.level},
        }
        self._format(setting, "console", self.format)
        if self.mailer:
            setting["handlers"]["mail_admins"]["using"] = self.mailer
        if self.root is not None:
            self._add_file(setting, "log_file", "django", "verbose")
            setting["root"]["handlers"].append("log_file")
        for logger in loggers:
            self.add(setting, logger)
        return setting

    def add(self, setting: dict[str, Any], logger: Logger) -> None:
        """Add a logger to a setting, unless it has one of that name."""
        if logger.name in setting.setdefault("loggers", {}):
            return
        handlers = ["console"]
        if self.root is not None:
            handler = f"{logger.name}_log_file"
            self._add_file(setting, handler, logger.name, logger.formatter)
            handlers.append(handler)
        setting["loggers"][logger.name] = {
            "handlers": handlers,
            "level": logger.level,
            "propagate": False,
        }

    def _django_loggers(self) -> dict[str, Any]:
        # Handled by the root logger; mails are the only thing of their own.
        loggers: dict[str, Any] = {
            "django": {"handlers": ["mail_admins"], "level": self.level}
        }
        if self.level == "DEBUG":
            # At DEBUG these two log each file looked at, each variable not found.
            for name in ("django.template", "django.utils.autoreload"):
                loggers[name] = {"level": "INFO"}
        if self.format == "json":
            loggers["django.server"] = {
                "handlers": ["console"],
                "level": "INFO",
                "propagate": False,
            }
        return loggers

    def _add_file(
        self, setting: dict[str, Any], handler: str, stem: str, formatter: str
    ) -> None:
        assert self.root is not None
        setting.setdefault("handlers", {})[handler] = {
            "class": "yourlabs.setup.handlers.RotatingFileHandler",
            "filename": os.path.join(self.root, stem.replace(os.sep, "_") + ".log"),
            "maxBytes": MAX_BYTES,
            "backupCount": BACKUP_COUNT,
            "encoding": "utf-8",
            # Not opened by a command that logs nothing, as another user perhaps.
            "delay": True,
        }
        self._format(setting, handler, formatter)

    def _format(self, setting: dict[str, Any], handler: str, formatter: str) -> None:
        name = "json" if self.format == "json" else formatter
        setting.setdefault("formatters", {}).setdefault(name, dict(FORMATTERS[name]))
        setting["handlers"][handler]["formatter"] = name
