"""``Setup``: all the steps."""

from __future__ import annotations

from typing import Any

from yourlabs.setup import messages
from yourlabs.setup.base import FILE, step
from yourlabs.setup.connections import ServiceSteps
from yourlabs.setup.environment import Invalid, as_bool
from yourlabs.setup.folders import FolderSteps
from yourlabs.setup.logging_steps import LoggingSteps
from yourlabs.setup.protection import SecuritySteps


class Setup(FolderSteps, SecuritySteps, ServiceSteps, LoggingSteps):
    """Give a settings module what it does not set itself.

    ``Setup(globals()).full()`` in a settings module does everything; each step can
    be called alone, in any order and again. What the module has set is never
    changed, what the environment says comes next, then the default.

    Args:
        settings: The ``globals()`` of the settings module.

    Raises:
        ImproperlyConfigured: By a step, with a line for each variable of the
            environment that cannot be used. It never shows a value.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self._debug: bool | None = None

    @step
    def full(self) -> None:
        """Do all the steps."""
        self.debug()
        self.filesystem()
        self.create_paths()
        self.defaults()
        self.locale()
        self.template()
        self.fixture()
        self.media()
        self.static()
        self.security()
        self.database()
        self.cache()
        self.email()
        self.admin()
        self.logging()
        self.applications()

    @step
    def debug(self, value: bool | str | None = None) -> None:
        """Set ``DEBUG``, and again every setting of ours that depends on it.

        Args:
            value: On or off, as a string too. None for what the environment says,
                which is off by default and on under ``runserver``.

        Raises:
            ImproperlyConfigured: When the string is neither.
        """
        if value is not None:
            try:
                self._debug = as_bool(value) if isinstance(value, str) else bool(value)
            except Invalid as problem:
                self._problems["DEBUG"] = str(problem)
                return
            if not self._is_free("DEBUG") and self.settings["DEBUG"] != self._debug:
                messages.notice("DEBUG is set by the settings file, debug() ignored")
        if self._debug is not None:
            self._set("DEBUG", self._debug, FILE)
        self._is_debug()
        self._again("media", "static", "security", "email", "logging")

    @step
    def defaults(self) -> None:
        """Set what every project needs: its urls and its kind of keys."""
        assert self.location is not None
        self._set("SITE_ID", 1)
        self._set("DEFAULT_AUTO_FIELD", "django.db.models.BigAutoField")
        urls = self.location.find_module("urls")
        if urls:
            self._set("ROOT_URLCONF", urls)
        for name in ("wsgi", "asgi"):
            module = self.location.find_module(name)
            if module:
                self._set(f"{name.upper()}_APPLICATION", f"{module}.application")
