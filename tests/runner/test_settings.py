"""What is in force where nobody has written settings, and what the app does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import django
import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.core.mail import mail_admins
from django.core.management import get_commands
from django.test import override_settings

from yourlabs.runner import __main__, conf
from yourlabs.runner.__main__ import embedded_settings
from yourlabs.runner.apps import RunnerConfig
from yourlabs.runner.tasks import divide_by_zero, divide_by_zero_sometimes


def test_embedded_settings(tmp_path: Path) -> None:
    """Without a project the files are in this folder and somebody would be told."""
    values = embedded_settings(tmp_path)

    with override_settings(**{**values, "INSTALLED_APPS": ["yourlabs.runner"]}):
        del django_settings.RUN_ROOT
        assert conf.run_root() == tmp_path / "var" / "run"
        assert conf.admins() == ["root@localhost"]
        assert conf.email() is True
        conf.validate()
    assert values["LOGGING"]["loggers"]["runner"]["level"] == "DEBUG"
    assert values["USE_TZ"] is True


def test_embedded_mail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a project mails are shown on the console, whichever Django it is."""
    values = embedded_settings(tmp_path)
    mail = {key: values[key] for key in ("EMAIL_BACKEND", "MAILERS") if key in values}

    assert list(mail) == (["MAILERS"] if django.VERSION >= (6, 1) else list(mail))
    with override_settings(ADMINS=values["ADMINS"], **mail):
        mail_admins("the subject", "the body")

    assert "the body" in capsys.readouterr().out


@pytest.mark.parametrize("module", ["", "tests.settings"])
def test_main(module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A project's settings are used where there are some, else the embedded ones."""
    configured: list[Any] = []
    seen: list[list[str]] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", module)
    monkeypatch.setattr(__main__, "settings", type("S", (), {})())
    __main__.settings.configure = lambda **values: configured.append(values)
    monkeypatch.setattr(django, "setup", lambda: None)
    monkeypatch.setattr(
        "yourlabs.runner.management.commands.run_functions.Command.run_from_argv",
        lambda command, argv: seen.append(argv),
    )

    __main__.main(["tasks.send", "--once"])
    __main__.main(["tasks.send"])
    if module:
        monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
        __main__.main(["tasks.send", "--settings=tests.settings"])
        assert os.environ["DJANGO_SETTINGS_MODULE"] == "tests.settings"

    assert [values["BASE_DIR"] for values in configured] == (
        [] if module else [tmp_path, tmp_path]
    )
    assert seen[0] == ["python -m", "yourlabs.runner", "tasks.send", "--once"]
    assert sys.path.count(str(tmp_path)) <= 1
    assert "" in sys.path or sys.path[0] == str(tmp_path)


def test_settings_without_the_app(tmp_path: Path) -> None:
    """The admins are told of failures all the same."""
    (tmp_path / "bare.py").write_text(
        "ADMINS = ['admin@example.com']\n"
        "EMAIL_BACKEND = 'django.core.mail.backends.console.EmailBackend'\n"
        f"RUN_ROOT = {str(tmp_path)!r}\n"
    )
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "yourlabs.runner", "--once", "--settings=bare"),
            *("--pythonpath", str(tmp_path), "yourlabs.runner.tasks.divide_by_zero"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert ended.returncode == 1
    assert "Subject: [Django] [divide_by_zero] First exception caught" in ended.stdout


def test_app() -> None:
    """The app has a label of its own and brings the command."""
    config = apps.get_app_config("yourlabs_runner")

    assert isinstance(config, RunnerConfig)
    assert config.verbose_name == "Runner"
    assert get_commands()["run_functions"] == "yourlabs.runner"


def test_shipped_tasks() -> None:
    """The example fails each second, and is down for good after three."""
    made = divide_by_zero.runner_task  # type: ignore[attr-defined]

    assert made.fail_cooldown.total_seconds() == 1
    assert made.non_recoverable_downtime.total_seconds() == 3
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        divide_by_zero()


def test_shipped_task_that_fails_sometimes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other example fails or not, as chance has it."""
    monkeypatch.setattr("random.choice", lambda values: values[-1])
    assert divide_by_zero_sometimes() == 1
    monkeypatch.setattr("random.choice", lambda values: values[0])
    with pytest.raises(ZeroDivisionError):
        divide_by_zero_sometimes()


def start_without_the_app(tmp_path: Path, settings: str) -> subprocess.CompletedProcess:  # type: ignore[type-arg]
    """Start a chain in the ready() of a project that has only an app of its own."""
    (tmp_path / "site_settings.py").write_text(
        "INSTALLED_APPS = ['site_app.SiteConfig']\n"
        f"RUN_ROOT = {str(tmp_path)!r}\n{settings}"
    )
    (tmp_path / "site_app.py").write_text(
        "from django.apps import AppConfig\n"
        "from yourlabs import runner\n"
        "class SiteConfig(AppConfig):\n"
        "    name = 'site_app'\n"
        f"    path = {str(tmp_path)!r}\n"
        "    def ready(self):\n"
        "        runner.start_chain(['yourlabs.runner.tasks.divide_by_zero'])\n"
    )
    return subprocess.run(
        [sys.executable, "-m", "django", "check", "--settings=site_settings"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.getcwd()}"},
    )


def test_start_without_the_app(tmp_path: Path) -> None:
    """A chain of which nobody would be told is an error that names the remedy."""
    ended = start_without_the_app(tmp_path, "")

    assert ended.returncode == 1
    assert (
        "ImproperlyConfigured: 'yourlabs.runner' is missing from INSTALLED_APPS"
        in ended.stderr
    )


def test_start_without_the_app_and_mails(tmp_path: Path) -> None:
    """Who wants no mails can do without the app."""
    ended = start_without_the_app(tmp_path, "RUNNER = {'EMAIL': False}")

    assert (ended.returncode, ended.stderr) == (0, "")
