"""The steps about services: database, cache, mail server."""

from __future__ import annotations

from yourlabs.setup import constants, services
from yourlabs.setup.base import DEFAULT, ENVIRONMENT, Base, step


class ServiceSteps(Base):
    """What URLs in the environment name."""

    @step
    def database(self) -> None:
        """Set ``DATABASES`` from ``DATABASE_URL``; SQLite in ``var`` without it."""
        if not self._is_free("DATABASES"):
            return
        entry, source = self._variable(
            "DATABASE_URL", lambda text: services.database(text, self.root)
        )
        if entry is not None and source is not None:
            secrets = services.password_source(entry.get("PASSWORD"), source.source)
            self._set("DATABASES", {"default": entry}, ENVIRONMENT, secrets)
        elif "DATABASE_URL" not in self._problems:
            name = self._var / "db.sqlite3"
            entry = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(name)}
            self._set("DATABASES", {"default": entry})

    @step
    def cache(self) -> None:
        """Set ``CACHES`` from ``CACHE_URL``; memory of the process without it."""
        if not self._is_free("CACHES"):
            return
        entry, source = self._variable("CACHE_URL", services.cache)
        if entry is not None and source is not None:
            secrets = services.location_source(entry, source.source)
            self._set("CACHES", {"default": entry}, ENVIRONMENT, secrets)
        elif "CACHE_URL" not in self._problems:
            self._set("CACHES", {"default": services.cache("locmem://")})

    @step
    def email(self) -> None:
        """Set how mails are sent from ``EMAIL_URL``.

        ``MAILERS`` on Django 6.1 and later, ``EMAIL_*`` before; nothing where the
        project has set any of them. Without ``EMAIL_URL``: the console with
        ``DEBUG`` on, the SMTP server of this machine with it off.
        """
        names = ("MAILERS", *constants.EMAIL_SETTINGS.values(), "EMAIL_BACKEND")
        if not all(map(self._is_free, names)):
            return
        entry, source = self._variable("EMAIL_URL", services.mailer)
        secrets: dict[str, str] = {}
        if entry is not None and source is not None:
            password = entry.get("OPTIONS", {}).get("password")
            secrets = services.password_source(password, source.source)
        elif "EMAIL_URL" in self._problems:
            return
        else:
            entry = services.mailer("console" if self._is_debug() else "smtp")
        self._unset(*names)
        origin = DEFAULT if source is None else ENVIRONMENT
        for name, value in constants.email(entry).items():
            self._set(name, value, origin, secrets)
        self._again("logging")

    @step
    def admin(self) -> None:
        """Set ``ADMINS`` from the variable ``ADMINS``: addresses, with commas."""
        self._set_from("ADMINS", constants.admins)
