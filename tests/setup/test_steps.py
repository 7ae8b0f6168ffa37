"""Steps: alone, in any order, again; what the file has is never changed."""

from __future__ import annotations

import copy
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from yourlabs.setup import Setup, services
from yourlabs.setup.versions import EMAIL_SETTINGS

MakeSetup = Callable[..., Setup]

STEPS = [
    "debug",
    "defaults",
    "filesystem",
    "create_paths",
    "media",
    "static",
    "template",
    "fixture",
    "locale",
    "logging",
    "security",
    "database",
    "cache",
    "email",
    "admin",
    "applications",
]

MANAGED = [
    "ADMINS",
    "ALLOWED_HOSTS",
    "ASGI_APPLICATION",
    "AUTH_PASSWORD_VALIDATORS",
    "CACHES",
    "CSRF_COOKIE_SECURE",
    "CSRF_TRUSTED_ORIGINS",
    "DATABASES",
    "DEBUG",
    "DEFAULT_AUTO_FIELD",
    "EMAIL_BACKEND",
    *EMAIL_SETTINGS.values(),
    "FIXTURE_DIRS",
    "INSTALLED_APPS",
    "LANGUAGE_CODE",
    "LOCALE_PATHS",
    "LOGGING",
    "LOG_ROOT",
    "MAILERS",
    "MEDIA_ROOT",
    "MEDIA_URL",
    "MIDDLEWARE",
    "PROJECT_ROOT",
    "ROOT_URLCONF",
    "RUN_ROOT",
    "SECRET_KEY",
    "SECRET_KEY_FALLBACKS",
    "SECURE_CSP",
    "SECURE_CSP_REPORT_ONLY",
    "SECURE_HSTS_INCLUDE_SUBDOMAINS",
    "SECURE_HSTS_PRELOAD",
    "SECURE_HSTS_SECONDS",
    "SECURE_PROXY_SSL_HEADER",
    "SECURE_SSL_REDIRECT",
    "SESSION_COOKIE_SECURE",
    "SITE_ID",
    "STATICFILES_DIRS",
    "STATIC_ROOT",
    "STATIC_URL",
    "STORAGES",
    "TEMPLATES",
    "TIME_ZONE",
    "USE_I18N",
    "USE_TZ",
    "USE_X_FORWARDED_HOST",
    "VAR_ROOT",
    "WSGI_APPLICATION",
]

ENVIRONMENT = {
    "ADMINS": "admin@example.com",
    "ALLOWED_HOSTS": "example.com",
    "CACHE_URL": "redis://h",
    "CSRF_TRUSTED_ORIGINS": "https://example.com",
    "DATABASE_URL": "postgres://u:p@h/db",
    "EMAIL_URL": "smtp://h",
    "LOG_LEVEL": "ERROR",
    "SECRET_KEY": "x" * 50,
    "SECRET_KEY_FALLBACKS": "y",
}

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(alphabet="abc/", max_size=5).map(lambda text: f"relative{text}"),
    st.lists(st.text(max_size=3), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.builds(object),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with everything that setup looks for, its folder the current one."""
    root = tmp_path_factory.mktemp("project")
    for name in ("urls.py", "wsgi.py", "asgi.py"):
        (root / name).touch()
    before = Path.cwd()
    os.chdir(root)
    yield root
    os.chdir(before)


def run(setup: Setup, steps: list[str]) -> None:
    """Run steps; a setting that the file made useless may be an error."""
    for step in steps:
        try:
            getattr(setup, step)()
        except ImproperlyConfigured:
            assume(False)


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
@pytest.mark.parametrize("environ", [{}, ENVIRONMENT], ids=["empty", "full"])
def test_what_the_file_has_is_never_changed(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    data: st.DataObject,
) -> None:
    """Whatever the file sets before or between steps is still there after them."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    names = data.draw(st.sets(st.sampled_from(MANAGED), max_size=6))
    file = {name: data.draw(anything, label=name) for name in sorted(names)}
    late = data.draw(st.sets(st.sampled_from(sorted(names)) if names else st.nothing()))
    steps = data.draw(st.lists(st.sampled_from([*STEPS, "full"]), max_size=4))
    module: dict[str, Any] = {"ALLOWED_HOSTS": ["example.com"], "DEBUG": True}
    if not file.get("DEBUG", True) and not file.get("ALLOWED_HOSTS", True):
        del file["ALLOWED_HOSTS"]
    module = {"__file__": str(folder / "settings.py"), "__name__": "settings", **module}
    module |= {name: value for name, value in file.items() if name not in late}
    setup = Setup(module)
    run(setup, steps)

    # True is True: that the file set it again cannot be seen.
    same = {name for name in late & set(file) if module.get(name) is file[name]}
    file = {name: value for name, value in file.items() if name not in same}
    module |= {name: file[name] for name in late & set(file)}
    before = {name: copy.deepcopy(value) for name, value in file.items()}
    identities = {name: id(value) for name, value in file.items()}
    setup.security(hsts=5, proxy=True, csp="report")
    setup.debug(False)
    setup.debug(True)
    setup.add_logger("mine")
    setup.locale(False)
    setup.full()
    setup.full()

    for name, value in file.items():
        assert id(module[name]) == identities[name]
        if type(value) is not object:
            assert module[name] == before[name]


@pytest.mark.parametrize("name", MANAGED)
def test_each_name_is_the_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A managed name that the file has keeps its object, whatever else is said."""
    for variable, text in {**ENVIRONMENT, "DEBUG": "1"}.items():
        monkeypatch.setenv(variable, text)
    mine = object()
    module = {"__file__": str(folder / "settings.py"), "__name__": "settings"}
    module |= {name: mine}  # type: ignore[dict-item]

    setup = Setup(module)
    setup.security(hsts=5, proxy=True, csp="enforce")
    setup.full()
    setup.debug(False)

    assert module[name] is mine


def test_every_managed_name_is_known(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What full() writes is what the list of managed names says."""
    module: dict[str, Any] = {
        "__file__": str(folder / "settings.py"),
        "__name__": "settings",
    }
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)

    setup = Setup(module)
    setup.security(proxy=True, csp="report")
    setup.full()

    assert {name for name in module if name.isupper()} <= set(MANAGED)


@pytest.mark.parametrize("step", [*STEPS, "full"])
def test_steps_alone_and_twice(make_setup: MakeSetup, step: str) -> None:
    """Each step can be called alone, and again without a difference."""
    setup = make_setup(ALLOWED_HOSTS=["example.com"])

    getattr(setup, step)()
    once = copy.deepcopy(setup.settings)
    getattr(setup, step)()

    assert setup.settings == once


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.permutations(STEPS), debug=st.booleans(), full=st.booleans())
def test_steps_in_any_order(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    steps: list[str],
    debug: bool,
    full: bool,
) -> None:
    """The order of the steps changes nothing, nor does full() after them."""
    monkeypatch.setenv("DEBUG", str(int(debug)))
    monkeypatch.setenv("ALLOWED_HOSTS", "example.com")
    given: dict[str, Any] = {
        "__file__": str(folder / "settings.py"),
        "__name__": "settings",
        "INSTALLED_APPS": ["yourlabs.runner", "yourlabs.smoke.apps.SmokeConfig"],
    }
    expected, module = dict(given), dict(given)
    reference = Setup(expected)
    reference.full()
    reference.add_logger("mine")
    setup = Setup(module)

    setup.add_logger("mine")
    for step in steps:
        getattr(setup, step)()
    if full:
        setup.full()

    assert module == expected


@pytest.mark.parametrize(
    "order", list(itertools.permutations(["full", "on", "off"], 2)), ids="-".join
)
def test_debug_decides_over_what_depends_on_it(
    make_setup: MakeSetup, order: tuple[str, str]
) -> None:
    """What debug() says last holds for all that depends on it, before or after."""
    setup = make_setup(ALLOWED_HOSTS=["example.com"])
    calls = {
        "full": setup.full,
        "on": lambda: setup.debug(True),
        "off": lambda: setup.debug("off"),
    }

    for name in order:
        calls[name]()
    setup.full()

    debug = [name for name in order if name != "full"][-1] == "on"
    static = setup.settings["STORAGES"]["staticfiles"]["BACKEND"]
    assert setup.settings["DEBUG"] is debug
    assert setup.settings["SECURE_SSL_REDIRECT"] is not debug
    assert ("Manifest" in static) is not debug
    email = setup.settings.get("MAILERS", {"default": {}})["default"]
    backend = email.get("BACKEND") or setup.settings["EMAIL_BACKEND"]
    assert ("console" in backend) is debug


def test_debug_of_the_file_wins_and_is_said(
    make_setup: MakeSetup, capsys: pytest.CaptureFixture[str]
) -> None:
    """debug() does not change what the file has set, and says so."""
    setup = make_setup(DEBUG=True)

    setup.debug(False)

    assert setup.settings["DEBUG"] is True
    assert "debug() ignored" in capsys.readouterr().err


def test_bad_debug(make_setup: MakeSetup) -> None:
    """A word that is neither on nor off is an error."""
    with pytest.raises(ImproperlyConfigured, match="DEBUG: expected one of"):
        make_setup().debug("perhaps")


def test_changes_between_steps_are_kept(make_setup: MakeSetup) -> None:
    """What the file changes in place after a step is the file's from then on."""
    setup = make_setup(ALLOWED_HOSTS=["example.com"])
    setup.full()
    setup.settings["MIDDLEWARE"].insert(0, "mine.Middleware")
    setup.settings["LOGGING"]["loggers"]["mine"] = {"level": "DEBUG"}

    setup.debug(True)
    setup.security(csp="report")
    setup.add_logger("other")
    setup.full()

    assert setup.settings["MIDDLEWARE"][0] == "mine.Middleware"
    assert setup.settings["LOGGING"]["loggers"]["mine"] == {"level": "DEBUG"}
    assert "other" in setup.settings["LOGGING"]["loggers"]


def test_security_on(make_setup: MakeSetup) -> None:
    """With DEBUG off everything is HTTPS only, for 60 seconds to begin with."""
    setup = make_setup(DEBUG=False, ALLOWED_HOSTS=["example.com"])

    setup.security()

    expected = {
        "SECURE_SSL_REDIRECT": True,
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
        "SECURE_HSTS_SECONDS": 60,
        "SECURE_HSTS_INCLUDE_SUBDOMAINS": True,
        "SECURE_HSTS_PRELOAD": True,
    }
    assert setup.settings.items() >= expected.items()
    assert "SECURE_PROXY_SSL_HEADER" not in setup.settings
    assert "USE_X_FORWARDED_HOST" not in setup.settings


def test_security_off(make_setup: MakeSetup) -> None:
    """With DEBUG on nothing asks for HTTPS."""
    setup = make_setup(DEBUG=True)

    setup.security(hsts=31536000)

    for name in ("SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE"):
        assert setup.settings[name] is False
    assert setup.settings["SECURE_HSTS_SECONDS"] == 0


@pytest.mark.parametrize("order", [("arguments", "full"), ("full", "arguments")])
def test_security_raised(make_setup: MakeSetup, order: tuple[str, str]) -> None:
    """Arguments of security() hold, whether full() comes before or after."""
    setup = make_setup(DEBUG=False, ALLOWED_HOSTS=["example.com"])

    for call in order:
        if call == "full":
            setup.full()
        else:
            setup.security(hsts=31536000, proxy=True, csp="report")

    assert setup.settings["SECURE_HSTS_SECONDS"] == 31536000
    assert setup.settings["SECURE_PROXY_SSL_HEADER"] == (
        "HTTP_X_FORWARDED_PROTO",
        "https",
    )
    csp = "django.middleware.csp.ContentSecurityPolicyMiddleware"
    is_supported = django.VERSION >= (6, 0)
    assert ("SECURE_CSP_REPORT_ONLY" in setup.settings) is is_supported
    assert (csp in setup.settings["MIDDLEWARE"]) is is_supported
    assert "SECURE_CSP" not in setup.settings


def test_security_lowered(make_setup: MakeSetup) -> None:
    """What one call asked for, another one can take back."""
    setup = make_setup(DEBUG=False, ALLOWED_HOSTS=["example.com"])
    setup.security()
    before = copy.deepcopy(setup.settings)

    setup.security(hsts=0, proxy=True, csp="enforce")
    assert setup.settings["SECURE_HSTS_PRELOAD"] is False
    setup.security(hsts=60, proxy=False, csp=False)

    assert setup.settings == before


@pytest.mark.skipif(django.VERSION < (6, 0), reason="policies are of Django 6.0")
def test_own_policy(make_setup: MakeSetup) -> None:
    """A policy of the project's own is enforced as it is."""
    setup = make_setup(DEBUG=True)

    setup.security(csp={"default-src": ["'none'"]})

    assert setup.settings["SECURE_CSP"] == {"default-src": ["'none'"]}


def test_paths_are_made_in_any_order(make_setup: MakeSetup, tmp_path: Path) -> None:
    """Folders of steps that come after create_paths() are made too."""
    setup = make_setup(LOG_ROOT=str(tmp_path / "elsewhere"))

    setup.create_paths()
    setup.media()

    assert (tmp_path / "var/media").is_dir()
    assert (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "var/run").stat().st_mode & 0o777 == 0o750
    assert not (tmp_path / "var/static").exists()


def test_static_folder_of_the_project(make_setup: MakeSetup, tmp_path: Path) -> None:
    """Static files of the project are found where there are any."""
    (tmp_path / "static").mkdir()
    setup = make_setup()

    setup.static()

    assert setup.settings["STATICFILES_DIRS"] == [tmp_path / "static"]


@pytest.mark.parametrize("importable", [True, False])
def test_whitenoise(
    make_setup: MakeSetup, monkeypatch: pytest.MonkeyPatch, importable: bool
) -> None:
    """Whitenoise serves static files where it is installed, right after redirects."""
    monkeypatch.setattr(services, "has_whitenoise", lambda: importable)
    setup = make_setup(DEBUG=False, ALLOWED_HOSTS=["example.com"])

    setup.full()

    middleware = setup.settings["MIDDLEWARE"]
    storage = setup.settings["STORAGES"]["staticfiles"]["BACKEND"]
    assert middleware[0] == "django.middleware.security.SecurityMiddleware"
    assert ("whitenoise" in middleware[1]) is importable
    assert storage.startswith("whitenoise") is importable
    assert "Manifest" in storage


@pytest.mark.parametrize(
    "name", ["MAILERS", "EMAIL_BACKEND", "EMAIL_HOST", "EMAIL_TIMEOUT"]
)
def test_email_of_the_file(
    make_setup: MakeSetup, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A file that defines how mails are sent has no other setting added to it."""
    monkeypatch.setenv("EMAIL_URL", "smtp://h")
    setup = make_setup(**{name: "mine"})

    setup.email()

    assert [n for n in setup.settings if "MAIL" in n] == [name]


def test_email_of_the_environment(
    make_setup: MakeSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EMAIL_URL becomes what this version of Django reads, with a timeout."""
    monkeypatch.setenv("EMAIL_URL", "smtps://me%40x.org:p%2Bw@h")
    setup = make_setup()

    setup.email()

    if django.VERSION >= (6, 1):
        expected = {
            "host": "h",
            "port": 465,
            "use_ssl": True,
            "use_tls": False,
            "timeout": 10,
            "username": "me@x.org",
            "password": "p+w",
        }
        assert setup.settings["MAILERS"]["default"]["OPTIONS"] == expected
        assert not [name for name in setup.settings if name.startswith("EMAIL_")]
    else:
        expected = {
            "EMAIL_HOST": "h",
            "EMAIL_PORT": 465,
            "EMAIL_USE_SSL": True,
            "EMAIL_USE_TLS": False,
            "EMAIL_TIMEOUT": 10,
            "EMAIL_HOST_USER": "me@x.org",
            "EMAIL_HOST_PASSWORD": "p+w",
        }
        assert setup.settings.items() >= expected.items()
        assert "MAILERS" not in setup.settings


@pytest.mark.parametrize("text", ["a@x.org, Bee <b@x.org>"])
def test_admins(
    make_setup: MakeSetup, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """ADMINS are what this version of Django mails to."""
    monkeypatch.setenv("ADMINS", text)
    setup = make_setup()

    setup.admin()

    expected: list[Any] = [("", "a@x.org"), ("Bee", "b@x.org")]
    if django.VERSION >= (6, 0):
        expected = ["a@x.org", "Bee <b@x.org>"]
    assert setup.settings["ADMINS"] == expected


@pytest.mark.parametrize("arguments", [{"hsts": -1}, {"csp": "on"}, {"csp": True}])
def test_bad_arguments(make_setup: MakeSetup, arguments: dict[str, Any]) -> None:
    """An argument that makes no sense is an error at once."""
    with pytest.raises(ValueError, match="expected"):
        make_setup().security(**arguments)


def test_relative_folders(make_setup: MakeSetup, tmp_path: Path) -> None:
    """Folders that are given relative to something are below the project."""
    setup = make_setup(VAR_ROOT="data", RUN_ROOT="pids")

    setup.create_paths()
    setup.media()

    assert setup.settings["MEDIA_ROOT"] == tmp_path / "data/media"
    assert (tmp_path / "data/log").is_dir()
    assert (tmp_path / "pids").is_dir()
    assert setup.settings["VAR_ROOT"] == "data"


@pytest.mark.parametrize("order", [("security", "static"), ("static", "security")])
def test_no_static_root(
    make_setup: MakeSetup, tmp_path: Path, order: tuple[str, str]
) -> None:
    """Where there can be no collected files, nothing warns that there are none."""
    (tmp_path / "var").touch()
    setup = make_setup(DEBUG=False, ALLOWED_HOSTS=["example.com"], SECRET_KEY="x")

    setup.create_paths()
    for name in order:
        getattr(setup, name)()

    assert not [name for name in setup.settings["MIDDLEWARE"] if "whitenoise" in name]


def test_hosts_of_the_file(make_setup: MakeSetup) -> None:
    """A file that says there are no hosts is believed."""
    setup = make_setup(DEBUG=False, ALLOWED_HOSTS=[])

    setup.security()

    assert setup.settings["ALLOWED_HOSTS"] == []
