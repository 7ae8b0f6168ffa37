"""What protects a site: DEBUG off, the key, the hosts, HTTPS, the middleware."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from yourlabs.setup import environment, services
from yourlabs.setup.context import DEFAULT, FILE, Context, notice, step, warning
from yourlabs.setup.values import Invalid, as_bool, as_hosts, as_list, as_origins
from yourlabs.setup.versions import django_version

HSTS_SECONDS = 60
YEAR = 31536000
"""Seconds from which on the lists of browsers take a site in."""

POLICY = {
    **{name: ["'self'"] for name in ("default-src", "base-uri", "form-action")},
    "img-src": ["'self'", "data:"],
    **{name: ["'none'"] for name in ("object-src", "frame-ancestors")},
}
"""A content security policy that the admin works with."""

MIDDLEWARE = """
middleware.security.SecurityMiddleware
contrib.sessions.middleware.SessionMiddleware
middleware.common.CommonMiddleware
middleware.csrf.CsrfViewMiddleware
contrib.auth.middleware.AuthenticationMiddleware
contrib.messages.middleware.MessageMiddleware
middleware.clickjacking.XFrameOptionsMiddleware
"""

MISSING_HOSTS = (
    "not set, and DEBUG is off: set it to the names this site is served "
    "under, separated by commas, or set DEBUG=1 in development"
)


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
def security(
    context: Context,
    *,
    hsts: int | None = None,
    preload: bool | None = None,
    proxy: bool | None = None,
    csp: str | bool | dict[str, Any] | None = None,
) -> None:
    """Set the key, the hosts, the middleware and, with ``DEBUG`` off, HTTPS only.

    What an argument said holds for later calls that do not give it.

    Args:
        hsts: Seconds that browsers keep to HTTPS: 60 when nothing is said, 0 to
            not ask it of them. Raise it when HTTPS works on all sub-domains.
        preload: Whether to ask the makers of browsers for HTTPS only, with a year
            of ``hsts`` or more: it takes months to take back. Not when nothing is
            said; below a year it has no effect.
        proxy: Whether there is a proxy that always sets ``X-Forwarded-Proto``
            and ``X-Forwarded-Host``. Off when nothing is said: without one,
            anybody could send them.
        csp: ``"report"`` or ``"enforce"`` for a content security policy of the
            site's own origin, or such a policy to enforce; False for none.
            Django 6.0 and later.

    Raises:
        ValueError: When an argument makes no sense.
    """
    if hsts is not None and (type(hsts) is not int or hsts < 0):
        raise ValueError(f"{hsts=}, expected whole seconds, at least 0")
    if csp not in (None, False, "report", "enforce") and not isinstance(csp, dict):
        raise ValueError(f"{csp=}, expected 'report', 'enforce', False or a policy")
    given = {"hsts": hsts, "preload": preload, "proxy": proxy, "csp": csp}
    context.said |= {name: value for name, value in given.items() if value is not None}
    if context.said.get("csp") and django_version() < (6, 0):
        notice("security(csp=...) needs Django 6.0 or later, ignored")
        context.said["csp"] = None
    context.is_debug()
    _set_hosts(context)
    _set_secret_key(context)
    _set_https(context)
    _set_middleware(context)
    names = "UserAttributeSimilarity MinimumLength CommonPassword NumericPassword"
    prefix = "django.contrib.auth.password_validation."
    validators = [{"NAME": f"{prefix}{name}Validator"} for name in names.split()]
    context.set("AUTH_PASSWORD_VALIDATORS", validators)


def _set_https(context: Context) -> None:
    is_on, hsts = not context.is_debug(), context.said.get("hsts")
    seconds = (HSTS_SECONDS if hsts is None else hsts) if is_on else 0
    for name in ("SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE"):
        context.set(name, is_on)
    origin = DEFAULT if hsts is None else FILE
    is_asked = context.said.get("preload", seconds < YEAR)
    context.set("SECURE_HSTS_SECONDS", seconds, origin)
    context.set("SECURE_HSTS_INCLUDE_SUBDOMAINS", seconds > 0, origin)
    context.set("SECURE_HSTS_PRELOAD", seconds > 0 and bool(is_asked), origin)
    context.unset("SECURE_PROXY_SSL_HEADER", "USE_X_FORWARDED_HOST")
    if context.said.get("proxy"):
        header = ("HTTP_X_FORWARDED_PROTO", "https")
        context.set("SECURE_PROXY_SSL_HEADER", header, FILE)
        context.set("USE_X_FORWARDED_HOST", True, FILE)


def _set_middleware(context: Context) -> None:
    names = [f"django.{name}" for name in MIDDLEWARE.split()]
    context.unset("SECURE_CSP", "SECURE_CSP_REPORT_ONLY")
    if csp := context.said.get("csp"):
        names.insert(1, "django.middleware.csp.ContentSecurityPolicyMiddleware")
        name = "SECURE_CSP_REPORT_ONLY" if csp == "report" else "SECURE_CSP"
        context.set(name, csp if isinstance(csp, dict) else dict(POLICY), FILE)
    # Without the folder, whitenoise could only warn that it is not there.
    if services.has_whitenoise() and context.said.get("static_root", True):
        # Before everything that costs time, after what redirects to HTTPS.
        names.insert(1, "whitenoise.middleware.WhiteNoiseMiddleware")
    context.set("MIDDLEWARE", names)


def _set_hosts(context: Context) -> None:
    context.set_from("ALLOWED_HOSTS", as_hosts)
    context.set_from("CSRF_TRUSTED_ORIGINS", as_origins)
    # The app asks when all modules of settings are read. Without it this is all there
    # is, and the module on top may still say which hosts there are.
    module = os.environ.get("DJANGO_SETTINGS_MODULE")
    is_on_top = context.settings.get("__name__") == module
    if is_on_top and not context.has_app("yourlabs.setup"):
        demand_hosts(context, context.settings)


def misses_hosts(context: Context, settings: dict[str, Any]) -> bool:
    """Whether a site could answer no request, and not because its file says so."""
    name = "ALLOWED_HOSTS"
    is_said = name in settings and not context.is_ours(name, settings)
    return not (settings.get(name) or settings.get("DEBUG") or is_said)


def demand_hosts(context: Context, settings: dict[str, Any]) -> None:
    """Note that there are no hosts, where requests are served."""
    is_told = context.problems.keys() & {"ALLOWED_HOSTS", "DEBUG"}
    if misses_hosts(context, settings) and not is_told and environment.is_serving():
        context.problems["ALLOWED_HOSTS"] = MISSING_HOSTS


def _set_secret_key(context: Context) -> None:
    name = "SECRET_KEY"
    context.set_from(name, str)
    if name not in context.settings and name not in context.problems:
        # Not at the top: needed once in the life of a project.
        import secrets

        key = _kept_or_none(context, secrets.token_urlsafe(48))
        context.set(name, key or secrets.token_urlsafe(48))
    context.set_from("SECRET_KEY_FALLBACKS", as_list)


def _kept_or_none(context: Context, new: str) -> str | None:
    path = context.folder("VAR_ROOT") / "secret_key"
    command = environment.called_command()
    # What a step of a build leaves behind is the same in all containers of the image.
    # So a key is kept by what serves, and where there are hosts or DEBUG is on by
    # programs of other names than manage.py, by chains, and by a person who looks.
    is_kept = command in (None, "check", "run_functions", "shell")
    is_kept &= not misses_hosts(context, context.settings)
    is_kept |= environment.is_serving()
    is_kept &= not {"--check-config", "--deploy"} & set(sys.argv)
    is_kept |= "--freeze" in sys.argv
    try:
        key = kept_key(path, new if is_kept else None)
    except Invalid as problem:
        context.problems["SECRET_KEY"] = str(problem)
        return None
    except OSError as error:
        context.warn(path.parent, error)
        return None
    if key is None and command and not is_step(command):
        warning(
            "SECRET_KEY is not set, and none is kept yet: "
            "this command has one of its own, that ends with it"
        )
    elif key and came_with_image(path):
        warning(
            f"SECRET_KEY is that of {path}, which is older than this container: "
            "whoever has the image has it too. Set SECRET_KEY or SECRET_KEY_FILE, or "
            "have that folder on a volume"
        )
    return key


def is_step(command: str) -> bool:
    """Whether a command is one of Django's own, or of this app: those do not go on."""
    import django

    package = Path(django.__file__).parent
    folders = [Path(__file__).parent, package / "core", *package.glob("contrib/*")]
    return any((f / f"management/commands/{command}.py").is_file() for f in folders)


def came_with_image(path: Path) -> bool:
    """Whether a file of a container, on no volume, was there before the container."""
    marks = map(os.path.exists, ("/.dockerenv", "/run/.containerenv"))
    if "KUBERNETES_SERVICE_HOST" not in os.environ and not any(marks):
        return False
    try:
        # Whatever starts a container writes this file for it.
        found, started_at = os.stat(path), os.stat("/etc/hosts").st_mtime
        is_on_volume = found.st_dev != os.stat("/").st_dev
    except OSError:
        return False
    is_old = found.st_mtime < started_at - 1 or not os.access(path, os.W_OK)
    return is_old and not is_on_volume


def kept_key(path: Path, new: str | None) -> str | None:
    """Return the key kept at ``path``, the same to all who call this at once.

    ``new`` is kept where there is none. Raises ``OSError`` when none can be kept, and
    ``Invalid`` when there is a file that cannot be read.
    """
    try:
        with suppress(FileNotFoundError):
            if key := path.read_text("utf-8", errors="surrogateescape").strip():
                return key
        if new is None:
            return None
        os.makedirs(path.parent, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with open(descriptor, "r+", encoding="utf-8") as file:
            # Who comes second waits here, and reads what the first has written.
            environment.lock(file)
            key = file.read().strip()
            if not key:
                file.write(f"{new}\n")
            return key or new
    except PermissionError as error:
        # Where not even the folder can be searched, nothing is known of the file.
        if not os.path.lexists(path):
            raise
        reason = f"{path} cannot be read ({error.strerror})"
        raise Invalid(f"{reason}: let this user read it, or set SECRET_KEY") from None
