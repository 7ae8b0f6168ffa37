"""The step about security: the key, the hosts, HTTPS, the middleware."""

from __future__ import annotations

from typing import Any

from yourlabs.setup import constants, keys, messages
from yourlabs.setup.base import DEFAULT, ENVIRONMENT, FILE, Base, step
from yourlabs.setup.environment import Invalid, as_hosts, as_list, as_origins
from yourlabs.setup.folders import has_whitenoise
from yourlabs.setup.location import called_command
from yourlabs.setup.versions import django_version


class SecuritySteps(Base):
    """What protects a site."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self._hsts: int | None = None
        self._proxy: bool | None = None
        self._csp: str | bool | dict[str, Any] | None = None

    @step
    def security(
        self,
        *,
        hsts: int | None = None,
        proxy: bool | None = None,
        csp: str | bool | dict[str, Any] | None = None,
    ) -> None:
        """Set the key, the hosts, the middleware and, with ``DEBUG`` off, HTTPS only.

        What an argument said holds for later calls that do not give it.

        Args:
            hsts: Seconds that browsers keep to HTTPS: 60 when nothing is said, 0 to
                not ask it of them. Raise it when HTTPS works on all sub-domains.
            proxy: Whether there is a proxy that always sets ``X-Forwarded-Proto``
                and ``X-Forwarded-Host``. Off when nothing is said: without one,
                anybody could send them.
            csp: ``"report"`` or ``"enforce"`` for a content security policy of the
                site's own origin, or such a policy to enforce; False for none.
                Django 6.0 and later.

        Raises:
            ValueError: When an argument makes no sense.
        """
        if hsts is not None and hsts < 0:
            raise ValueError(f"{hsts=}, expected seconds of at least 0")
        if csp not in (None, False, "report", "enforce") and not isinstance(csp, dict):
            raise ValueError(f"{csp=}, expected 'report', 'enforce', False or a policy")
        self._hsts = self._hsts if hsts is None else hsts
        self._proxy = self._proxy if proxy is None else proxy
        self._csp = self._csp if csp is None else csp
        self._set_secret_key()
        self._set_hosts()
        origin = DEFAULT if self._hsts is None else FILE
        https = constants.https(not self._is_debug(), self._hsts)
        for name, value in https.items():
            self._set(name, value, origin if "HSTS" in name else DEFAULT)
        self._set_proxy()
        self._set_csp()
        self._set("AUTH_PASSWORD_VALIDATORS", constants.password_validators())
        # Without the folder, whitenoise could only warn that it is not there.
        has_static = has_whitenoise() and self._has_static_root
        self._set("MIDDLEWARE", constants.middleware(has_static, bool(self._csp)))

    def _set_proxy(self) -> None:
        names = ("SECURE_PROXY_SSL_HEADER", "USE_X_FORWARDED_HOST")
        if self._proxy:
            self._set(names[0], ("HTTP_X_FORWARDED_PROTO", "https"), FILE)
            self._set(names[1], True, FILE)
        else:
            self._unset(*names)

    def _set_csp(self) -> None:
        self._unset("SECURE_CSP", "SECURE_CSP_REPORT_ONLY")
        if not self._csp:
            return
        if django_version() < (6, 0):
            messages.notice("security(csp=...) needs Django 6.0 or later, ignored")
            self._csp = None
            return
        policy = self._csp if isinstance(self._csp, dict) else constants.csp()
        report = self._csp == "report"
        self._set("SECURE_CSP_REPORT_ONLY" if report else "SECURE_CSP", policy, FILE)

    def _set_secret_key(self) -> None:
        if self._is_free("SECRET_KEY") and "SECRET_KEY" not in self.settings:
            key, source = self._variable("SECRET_KEY", str)
            if key is not None and source is not None:
                self._set("SECRET_KEY", key, ENVIRONMENT, {key: source.source})
            elif "SECRET_KEY" not in self._problems:
                self._keep_secret_key()
        if self._is_free("SECRET_KEY_FALLBACKS"):
            values, source = self._variable("SECRET_KEY_FALLBACKS", as_list)
            if values is not None and source is not None:
                split = f"{source.source}.replace(',', ' ').split()"
                secrets = {key: f"{split}[{n}]" for n, key in enumerate(values)}
                self._set("SECRET_KEY_FALLBACKS", values, ENVIRONMENT, secrets)

    def _keep_secret_key(self) -> None:
        path = self._var / "secret_key"
        try:
            key = keys.kept_key(path)
            secrets = {key: f"Path({str(path)!r}).read_text('utf-8').strip()"}
        except Invalid as problem:
            self._problems["SECRET_KEY"] = str(problem)
            return
        except OSError as error:
            self._warn(path.parent, error)
            key = keys.passing_key()
            secrets = {key: "secrets.token_urlsafe(48)"}
        self._set("SECRET_KEY", key, DEFAULT, secrets)

    def _set_hosts(self) -> None:
        self._set_from("ALLOWED_HOSTS", as_hosts)
        self._set_from("CSRF_TRUSTED_ORIGINS", as_origins)
        if self.settings.get("ALLOWED_HOSTS", []) or self._is_debug():
            return
        if self._problems.keys() & {"ALLOWED_HOSTS", "DEBUG"}:
            return
        if "ALLOWED_HOSTS" in self.settings and not self._is_ours("ALLOWED_HOSTS"):
            return
        if called_command() not in constants.COMMANDS_WITHOUT_HOSTS:
            self._problems["ALLOWED_HOSTS"] = (
                "not set, and DEBUG is off: set it to the names this site is served "
                "under, separated by commas, or set DEBUG=1 in development"
            )
