"""The list of settings: where each is from, and no secret in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from tests.setup.conftest import HERE, THREE_LINES, Project
from yourlabs.setup import Setup
from yourlabs.setup.__main__ import MASK, is_secret, listing, main, mask

MakeSetup = Callable[..., Setup]


@pytest.fixture
def imported_project(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Project]:
    """A project whose modules can be imported by this process, and are forgotten."""
    monkeypatch.chdir(project.root)
    monkeypatch.syspath_prepend(str(project.root))
    monkeypatch.setattr(sys, "path", sys.path[:])
    yield project
    for name in ("package", "package.settings"):
        sys.modules.pop(name, None)


def parse(text: str) -> dict[str, tuple[str, str]]:
    """The value and the origin of each name of a listing."""
    lines = [line.split(maxsplit=1) for line in text.splitlines()]
    return {name: tuple(rest.rsplit("  ", 1)) for name, rest in lines}  # type: ignore[misc]


def test_origins(
    make_setup: MakeSetup, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each name has its value and whether file, environment or default gave it."""
    monkeypatch.setenv("ALLOWED_HOSTS", "example.com")
    (tmp_path / ".env").write_text("DATABASE_URL=sqlite://\nCACHE_URL_FILE=cache")
    (tmp_path / "cache").write_text("dummy://\n")
    monkeypatch.chdir(tmp_path)
    setup = make_setup(TIME_ZONE="Europe/Paris", MINE=[1])
    setup.security(hsts=3600)
    setup.full()
    setup.settings["LANGUAGE_CODE"] = "fr"

    found = parse(listing(setup.settings))

    assert found["ALLOWED_HOSTS"] == ("['example.com']", "environment")
    assert found["CACHES"][1] == "environment"
    assert found["DATABASES"][1] == "environment"
    assert found["DEBUG"] == ("False", "default")
    assert found["LANGUAGE_CODE"] == ("'fr'", "file")
    assert found["MINE"] == ("[1]", "file")
    assert found["PROJECT_ROOT"][1] == "file"
    assert found["SECRET_KEY"] == (f"'{MASK}'", "default")
    assert found["SECURE_HSTS_SECONDS"] == ("3600", "file")
    assert found["TIME_ZONE"] == ("'Europe/Paris'", "file")
    assert "setup" not in found


def test_settings_that_another_module_imported(make_setup: MakeSetup) -> None:
    """What a module imports from the one that was set up keeps its origin."""
    setup = make_setup(DEBUG=True)
    setup.full()
    development = {**setup.settings, "USE_TZ": False, "MINE": 1}

    found = parse(listing(development))

    assert found["USE_I18N"] == ("True", "default")
    assert found["USE_TZ"] == ("False", "file")
    assert found["MINE"] == ("1", "file")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SECRET_KEY", "x", MASK),
        ("SECRET_KEY_FALLBACKS", ["x", "y"], MASK),
        ("SECRET_KEY_FALLBACKS", [], []),
        ("EMAIL_HOST_PASSWORD", "x", MASK),
        ("STRIPE_API_KEY", "x", MASK),
        ("SENTRY_DSN", "https://x@h/1", MASK),
        ("GITHUB_TOKEN", "x", MASK),
        ("MINE", {"default": {"PASSWORD": "x", "USER": "u"}}, None),
        ("BROKER_URL", "amqp://u:x@h/v", f"amqp://{MASK}@h/v"),
        ("BROKER_URL", "amqp://u:x/@y@h/v", f"amqp://{MASK}@h/v"),
        (
            "URLS",
            ("redis://h/?password=x&db=1",),
            (f"redis://h/?password={MASK}&db=1",),
        ),
        ("ADMINS", [("Me", "me@x.org")], [("Me", "me@x.org")]),
        ("PASSWORD_HASHERS", ["x"], ["x"]),
        ("AUTH_PASSWORD_VALIDATORS", [{"NAME": "x"}], [{"NAME": "x"}]),
        ("CSRF_COOKIE_NAME", "csrftoken", "csrftoken"),
        ("PATHS", {"/a": Path("/b")}, {"/a": Path("/b")}),
        ("MONKEY", "x", "x"),
        ("CACHE_MIDDLEWARE_KEY_PREFIX", "x", "x"),
    ],
)
def test_masks(name: str, value: Any, expected: Any) -> None:
    """Secrets are masked by their names, at any depth, and in URLs."""
    if expected is None:
        expected = {"default": {"PASSWORD": MASK, "USER": "u"}}

    assert mask(name, value) == expected


@pytest.mark.parametrize(
    "name",
    ["password", "PASS", "api_key", "client-secret", "sslpassword", "accessToken"],
)
def test_secret_names(name: str) -> None:
    """A name with the word of a secret in it is one."""
    assert is_secret(name)


def test_listing_shows_no_secret(project: Project) -> None:
    """The command prints names, values and origins, and none of the secrets."""
    secrets = {
        "SECRET_KEY": "hunter2" * 8,
        "SECRET_KEY_FALLBACKS": "hunter2-old",
        "DATABASE_URL": "postgres://u:hunter2@h/db",
        "CACHE_URL": "redis://:hunter2@h/1",
        "EMAIL_URL": "smtp://u:hunter2@h",
    }

    result = project.python(
        "-m",
        "yourlabs.setup",
        "--settings=package.settings",
        ALLOWED_HOSTS="example.com",
        **secrets,
    )

    found = parse(result.stdout)
    assert found["DATABASES"][1] == "environment"
    assert found["INSTALLED_APPS"][1] == "file"
    assert "hunter2" not in result.stdout + result.stderr
    assert "SyntaxError" not in result.stderr


def test_key_that_was_made_is_never_printed(project: Project) -> None:
    """Neither the listing nor the frozen module holds the key of var."""
    outputs = [
        project.python("-m", "yourlabs.setup", *arguments, DEBUG="1")
        for arguments in ([], ["--freeze"])
    ]

    key = (project.root / "var/secret_key").read_text().strip()
    assert len(key) >= 50
    for result in outputs:
        assert key not in result.stdout + result.stderr


def test_settings_module_of_manage(
    imported_project: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without --settings and the variable, manage.py of the folder is asked."""
    monkeypatch.setenv("DEBUG", "1")

    status = main([])

    output = capsys.readouterr()
    assert status == 0
    assert parse(output.out)["DEBUG"] == ("True", "environment")
    assert os.environ["DJANGO_SETTINGS_MODULE"] == "package.settings"
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")


def test_hosts_are_not_needed(project: Project) -> None:
    """What is set can be seen before there is a name to serve."""
    listed = project.python("-m", "yourlabs.setup").stdout

    assert parse(listed)["DEBUG"] == ("False", "default")


def test_problems_are_printed(
    imported_project: Project,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is wrong with the environment is printed, with exit status 1."""
    monkeypatch.setenv("LOG_LEVEL", "loud")
    status = main(["--settings", "package.settings"])

    output = capsys.readouterr()
    assert status == 1
    assert output.out == ""
    assert "\nLOG_LEVEL: expected one of" in output.err


def test_no_settings_module(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without a settings module there is help, with exit status 2."""
    monkeypatch.chdir(tmp_path)

    assert main([]) == 2
    assert "--settings" in capsys.readouterr().err


@pytest.mark.parametrize("freeze", [False, True])
def test_command(
    imported_project: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    freeze: bool,
) -> None:
    """The command of manage.py prints the same as the module."""
    monkeypatch.setenv("DEBUG", "1")
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    flags = ["--freeze"] if freeze else []
    main(["--settings", "package.settings", *flags])
    expected = capsys.readouterr().out

    from yourlabs.setup.management.commands.setup import Command

    with override_settings(SETTINGS_MODULE="package.settings"):
        call_command(Command(), *flags)

    assert capsys.readouterr().out == expected


def test_command_without_a_module() -> None:
    """Settings that were configured by a call have no module to list."""
    from yourlabs.setup.management.commands.setup import Command

    with (
        override_settings(SETTINGS_MODULE=None),
        pytest.raises(CommandError, match="no settings module"),
    ):
        call_command(Command())


@pytest.mark.parametrize("change", ["in place", "again"])
def test_changes_are_of_the_file(make_setup: MakeSetup, change: str) -> None:
    """A value that the file set again or changed in place is its own."""
    setup = make_setup(DEBUG=True)
    setup.full()

    if change == "in place":
        setup.settings["MIDDLEWARE"].append("mine")
    else:
        setup.settings["MIDDLEWARE"] = setup.settings["MIDDLEWARE"].copy()

    assert parse(listing(setup.settings))["MIDDLEWARE"][1] == "file"


def test_settings_without_setup(
    imported_project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """Settings that setup did not touch are all of the file."""
    imported_project.write("plain_settings.py", "DEBUG = True\n")

    main(["--settings", "plain_settings"])

    sys.modules.pop("plain_settings")
    assert capsys.readouterr().out == "DEBUG  True  file\n"


def test_three_lines_are_three() -> None:
    """The settings of these tests are the documented ones."""
    assert THREE_LINES.endswith(
        "from yourlabs.setup import Setup\nsetup = Setup(globals())\nsetup.full()\n"
    )
