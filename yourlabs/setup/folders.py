"""The steps about folders: whose files are where."""

from __future__ import annotations

import importlib.util

from yourlabs.setup import constants
from yourlabs.setup.base import DEFAULT, FILE, Base, step


class FolderSteps(Base):
    """Folders of the project, of its files, templates and translations."""

    @step
    def filesystem(self) -> None:
        """Set the folders: ``PROJECT_ROOT``, ``VAR_ROOT``, ``RUN_ROOT``, ``LOG_ROOT``.

        ``RUN_ROOT`` is where the runner has its pidfiles.
        """
        self._set("PROJECT_ROOT", self.root)
        self._set("VAR_ROOT", self.root / "var")
        var = self._var
        self._set("RUN_ROOT", var / "run")
        self._set("LOG_ROOT", var / "log")
        for name in ("VAR_ROOT", "RUN_ROOT", "LOG_ROOT"):
            self._add_path(name)

    @step
    def create_paths(self) -> None:
        """Make the folders of all steps, those that are done later too.

        A folder that cannot be made is one warning on stderr, no error.
        """
        self.filesystem()
        for path in self.paths:
            self._make_folder(path)

    @step
    def media(self) -> None:
        """Set where uploaded files are: ``var/media``."""
        self._set("MEDIA_ROOT", self._var / "media")
        self._set("MEDIA_URL", "media/")
        self._set_storages()
        self._add_path("MEDIA_ROOT")

    @step
    def static(self) -> None:
        """Set where static files are, and how files are stored.

        They are collected in ``var/static``, from the apps and from ``static`` in
        the project where that exists. With ``DEBUG`` off their names hold a hash of
        what is in them, and whitenoise compresses them where it is installed.
        """
        self._set("STATIC_ROOT", self._var / "static")
        self._set("STATIC_URL", "static/")
        folder = self.root / "static"
        self._set("STATICFILES_DIRS", [folder] if folder.is_dir() else [])
        self._set_storages()
        self._add_path("STATIC_ROOT")

    def _set_storages(self) -> None:
        self._set("STORAGES", constants.storages(self._is_debug(), has_whitenoise()))

    @step
    def template(self) -> None:
        """Set the templates: of ``templates`` in the project, then of the apps."""
        self._set("TEMPLATES", constants.templates(self.root / "templates"))

    @step
    def fixture(self) -> None:
        """Set where fixtures are: ``fixtures`` in the project."""
        self._set("FIXTURE_DIRS", [self.root / "fixtures"])

    @step
    def locale(self, value: bool = True) -> None:
        """Set language and time zone: English, UTC.

        Args:
            value: Whether to translate.
        """
        self._set("USE_I18N", value, DEFAULT if value else FILE)
        self._set("USE_TZ", True)
        self._set("LANGUAGE_CODE", "en-us")
        self._set("TIME_ZONE", "UTC")
        self._set("LOCALE_PATHS", [self.root / "locale"])


def has_whitenoise() -> bool:
    """Whether whitenoise can be imported."""
    return importlib.util.find_spec("whitenoise") is not None
