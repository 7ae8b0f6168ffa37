"""The steps about logging."""

from __future__ import annotations

import errno
import os
from typing import Any

from yourlabs.setup import messages
from yourlabs.setup.base import DEFAULT, ENVIRONMENT, Base, step
from yourlabs.setup.environment import Invalid, as_level, as_log_format
from yourlabs.setup.logs import FORMATTERS, Logger, Logs


class LoggingSteps(Base):
    """Loggers, and where they write."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self._loggers: dict[str, Logger] = {}
        self._logging: dict[str, Any] | None = None

    @step
    def logging(self) -> None:
        """Set ``LOGGING``: the console, and files where they can be written."""
        if not self._is_free("LOGGING"):
            return
        setting = self._logs().setting(list(self._loggers.values()))
        names = ("LOG_LEVEL", "LOG_FORMAT")
        is_given = any(self._variable(name, str)[1] for name in names)
        self._set("LOGGING", setting, ENVIRONMENT if is_given else DEFAULT)
        self._logging = setting

    def _logs(self) -> Logs:
        level, _ = self._variable("LOG_LEVEL", as_level)
        log_format, _ = self._variable("LOG_FORMAT", as_log_format)
        mailers = self.settings.get("MAILERS")
        is_ours = self._is_ours("MAILERS") and "admins" in (mailers or {})
        root = self._path("LOG_ROOT", self._var / "log")
        return Logs(
            level=level or "INFO",
            format=log_format or "simple",
            root=root if self._can_log_to(str(root)) else None,
            mailer="admins" if is_ours else None,
        )

    def _can_log_to(self, folder: str) -> bool:
        if not os.path.isdir(folder):
            self._make_folder(folder)
        if not os.path.isdir(folder):
            return False
        effective = os.access in os.supports_effective_ids
        if os.access(folder, os.W_OK | os.X_OK, effective_ids=effective):
            return True
        self._warn(folder, OSError(errno.EACCES, os.strerror(errno.EACCES)))
        return False

    @step
    def add_logger(
        self, name: str, level: str = "debug", formatter: str = "simple"
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
            logger = Logger(name, as_level(level), formatter)
        except Invalid as problem:
            raise ValueError(f"unknown {level=}: {problem}") from None
        self._loggers[name] = logger
        if self._is_free("LOGGING"):
            self.logging()
        elif self._logging is not None and self.settings["LOGGING"] is self._logging:
            # Ours, with changes that the project made in place and keeps.
            self._logs().add(self._logging, logger)
        else:
            messages.notice("LOGGING is set by the settings file, add_logger() ignored")

    @step
    def applications(self) -> None:
        """Give the installed ``yourlabs`` apps their loggers: ``runner``, ``smoke``.

        Both where ``INSTALLED_APPS`` is not set yet.
        """
        both = ["yourlabs.runner", "yourlabs.smoke"]
        installed = self.settings.get("INSTALLED_APPS", both)
        if not isinstance(installed, (list, tuple, set)):
            return
        if not (self._is_free("LOGGING") or self.settings["LOGGING"] is self._logging):
            return
        for name in ("runner", "smoke"):
            app = f"yourlabs.{name}"
            is_installed = any(f"{entry}.".startswith(f"{app}.") for entry in installed)
            if is_installed and name not in self._loggers:
                self.add_logger(name)
