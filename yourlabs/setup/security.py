"""What protects a site: DEBUG off, the key, the hosts, HTTPS, the middleware."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from yourlabs.setup import environment
from yourlabs.setup.context import (
    DEFAULT,
    ENVIRONMENT,
    FILE,
    Context,
    notice,
    step,
    warning,
)
from yourlabs.setup.values import Invalid, as_bool, as_hosts, as_list, as_origins
from yourlabs.setup.versions import django_version

HSTS_SECONDS = 60
YEAR = 31536000
"""Seconds from which on the lists of browsers take a site in."""

TOOLS = re.compile(r"(^|/)(d?mypy|pylint|sphinx(-build)?)(/__main__\.py)?$")

WRITING_TIMEOUT = 2.0
"""Seconds an empty key file is given to be filled by whoever made it."""

POLICY = {
    "default-src": ["'self'"],
    "base-uri": ["'self'"],
    "form-action": ["'self'"],
    "img-src": ["'self'", "data:"],
    "object-src": ["'none'"],
    "frame-ancestors": ["'none'"],
}
"""A content security policy that the admin works with."""

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
    _set_secret_key(context)
    _set_hosts(context)
    _set_https(context)
    _set_csp(context)
    names = "UserAttributeSimilarity MinimumLength CommonPassword NumericPassword"
    prefix = "django.contrib.auth.password_validation."
    validators = [{"NAME": f"{prefix}{name}Validator"} for name in names.split()]
    context.set("AUTH_PASSWORD_VALIDATORS", validators)
    context.set("MIDDLEWARE", _middleware(context))


def has_whitenoise() -> bool:
    """Whether whitenoise can be imported."""
    return importlib.util.find_spec("whitenoise") is not None


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
    if context.said.get("proxy"):
        header = ("HTTP_X_FORWARDED_PROTO", "https")
        context.set("SECURE_PROXY_SSL_HEADER", header, FILE)
        context.set("USE_X_FORWARDED_HOST", True, FILE)
    else:
        context.unset("SECURE_PROXY_SSL_HEADER", "USE_X_FORWARDED_HOST")


def _set_csp(context: Context) -> None:
    context.unset("SECURE_CSP", "SECURE_CSP_REPORT_ONLY")
    csp = context.said.get("csp")
    if csp and django_version() < (6, 0):
        notice("security(csp=...) needs Django 6.0 or later, ignored")
        csp = context.said["csp"] = None
    if csp:
        name = "SECURE_CSP_REPORT_ONLY" if csp == "report" else "SECURE_CSP"
        policy = {directive: [*sources] for directive, sources in POLICY.items()}
        context.set(name, csp if isinstance(csp, dict) else policy, FILE)


def _middleware(context: Context) -> list[str]:
    names = [
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ]
    if context.said.get("csp"):
        names.insert(1, "django.middleware.csp.ContentSecurityPolicyMiddleware")
    # Without the folder, whitenoise could only warn that it is not there.
    if has_whitenoise() and context.said.get("static_root", True):
        # Before everything that costs time, after what redirects to HTTPS.
        names.insert(1, "whitenoise.middleware.WhiteNoiseMiddleware")
    return names


def _set_hosts(context: Context) -> None:
    context.set_from("ALLOWED_HOSTS", as_hosts)
    context.set_from("CSRF_TRUSTED_ORIGINS", as_origins)
    # The app asks when all modules of settings are read. Without it this is all there
    # is, and the module on top may still say which hosts there are.
    module = os.environ.get("DJANGO_SETTINGS_MODULE")
    if context.settings.get("__name__") != module or context.has_app("yourlabs.setup"):
        return
    is_told = context.problems.keys() & {"ALLOWED_HOSTS", "DEBUG"}
    is_missing = misses_hosts(context, context.settings) and not is_told
    if is_missing and environment.is_serving():
        context.problems["ALLOWED_HOSTS"] = MISSING_HOSTS


def misses_hosts(context: Context, settings: dict[str, Any]) -> bool:
    """Whether a site could answer no request, and not because its file says so."""
    name = "ALLOWED_HOSTS"
    is_said = name in settings and not context.is_ours(name, settings)
    return not (settings.get(name) or settings.get("DEBUG") or is_said)


def _set_secret_key(context: Context) -> None:
    name = "SECRET_KEY"
    if context.claim(name, name) and name not in context.settings:
        key, source = context.variable(name, str)
        if key is not None and source is not None:
            context.set(name, key, ENVIRONMENT, {key: source.source})
        elif name not in context.problems:
            _keep_secret_key(context)
    name = "SECRET_KEY_FALLBACKS"
    if context.claim(name, name):
        values, source = context.variable(name, as_list)
        if values is not None and source is not None:
            split = f"{source.source}.replace(',', ' ').split()"
            secrets = {key: f"{split}[{n}]" for n, key in enumerate(values)}
            context.set(name, values, ENVIRONMENT, secrets)


def _keep_secret_key(context: Context) -> None:
    path, key = context.var / "secret_key", None
    command = environment.called_command()
    # What a step of a build leaves behind is the same in all containers of an image:
    # a command makes no key, unless it goes on, or writes a module that reads the key.
    is_made = command in (None, "check", "run_functions", "shell", "shell_plus")
    is_made |= environment.is_serving() or "--freeze" in sys.argv
    # Nor does a tool that only imports settings, or tries whether they can be.
    program = sys.argv[0] if sys.argv else ""
    is_made &= not TOOLS.search(program)
    is_made &= not {"--check-config", "--deploy"} & set(sys.argv)
    try:
        key = kept_key(path, make=is_made)
    except Invalid as problem:
        context.problems["SECRET_KEY"] = str(problem)
        return
    except OSError as error:
        context.warn(path.parent, error)
    source = f"Path({str(path)!r}).read_text('utf-8').strip()"
    if key is None:
        key, source = passing_key(), "secrets.token_urlsafe(48)"
        if command and not is_made and command != "setup" and not _is_djangos(command):
            warning(
                "SECRET_KEY is not set, and none is kept yet: "
                "this command has one of its own, that ends with it"
            )
    elif came_with_image(path):
        warning(
            f"SECRET_KEY is that of {path}, which is older than this container: "
            "whoever has the image has it too. Set SECRET_KEY, or SECRET_KEY_FILE, "
            "or have that folder on a volume"
        )
    context.set("SECRET_KEY", key, DEFAULT, {key: source})


def _is_djangos(command: str) -> bool:
    import glob

    spec = importlib.util.find_spec("django")
    folder = os.path.dirname(spec.origin or "") if spec else ""
    places = ("core/management/commands", "contrib/*/management/commands")
    return any(glob.glob(f"{folder}/{place}/{command}.py") for place in places)


def came_with_image(path: Path) -> bool:
    """Whether a file of a container was there before the container was.

    False outside of containers, and for a file on a volume.
    """
    marks = map(os.path.exists, ("/.dockerenv", "/run/.containerenv"))
    if "KUBERNETES_SERVICE_HOST" not in os.environ and not any(marks):
        return False
    with suppress(OSError, ValueError, IndexError, AttributeError):
        found = os.stat(path)
        if found.st_dev != os.stat("/").st_dev:
            return False
        with open("/proc/1/stat", encoding="utf-8", errors="replace") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
        since_boot = ticks / os.sysconf("SC_CLK_TCK") - time.clock_gettime(
            time.CLOCK_BOOTTIME
        )
        started_at = time.time() + since_boot
        return found.st_mtime < started_at - 1 or not os.access(path, os.W_OK)
    return False


def kept_key(path: Path, *, make: bool = True) -> str | None:
    """Return the key kept at ``path``, made when there is none and ``make`` is true.

    However many processes call this at once, all of them return the same key.

    Raises:
        OSError: When there is no key and none can be kept there.
        Invalid: When there is a file that cannot be used. The message names it.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        if not make:
            return None
        _make(path)
    except PermissionError as error:
        # Where not even the folder can be searched, nothing is known of the file.
        if not os.path.lexists(path):
            raise
        raise Invalid(
            f"{path} cannot be read ({error.strerror}): let this user read it, "
            "or set SECRET_KEY"
        ) from None
    return _read(path)


def passing_key() -> str:
    """Return a key that is kept nowhere."""
    # Not at the top: needed once in the life of a project.
    import secrets

    return secrets.token_urlsafe(48)


def _read(path: Path) -> str:
    deadline = time.monotonic() + WRITING_TIMEOUT
    while True:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            key = file.read(4096).strip()
        if key:
            return key
        # Empty: another process has made the file and is about to fill it, at once.
        if time.monotonic() > deadline:
            raise Invalid(f"{path} is empty: remove it, or set SECRET_KEY")
        time.sleep(0.01)


def _make(path: Path) -> None:
    os.makedirs(path.parent, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        # Another process was faster: it is its key then.
        return
    try:
        os.write(descriptor, passing_key().encode() + b"\n")
        os.fsync(descriptor)
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise
    finally:
        os.close(descriptor)
