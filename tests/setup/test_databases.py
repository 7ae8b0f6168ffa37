"""More than one database, passwords apart, and what must not be lost on the way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.setup.conftest import Project, clean_environment
from tests.setup.test_services import HOST
from yourlabs.setup import Setup
from yourlabs.setup.__main__ import freeze

MakeSetup = Callable[..., Setup]


def databases(setup: Setup) -> dict[str, dict[str, object]]:
    setup.database()
    found: dict[str, dict[str, object]] = setup.settings["DATABASES"]
    return found


def test_aliases(make_setup: MakeSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    """NAME_DATABASE_URL is a further database, of the environment or of .env."""
    monkeypatch.setenv("DATABASE_URL", "postgres://u:p@h/n")
    monkeypatch.setenv("REPLICA_DATABASE_URL", "postgres://u:p@replica/n")
    (make_setup().root / ".env").write_text("ORDERS_2_DATABASE_URL=sqlite://\n")

    found = databases(make_setup())

    assert sorted(found) == ["default", "orders_2", "replica"]
    assert found["replica"]["HOST"] == "replica"


def test_alias_alone(make_setup: MakeSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an alias only, the default is still SQLite."""
    monkeypatch.setenv("REPLICA_DATABASE_URL", "postgres://u:p@replica/n")

    found = databases(make_setup())

    assert str(found["default"]["ENGINE"]).endswith("sqlite3")
    assert found["replica"]["HOST"] == "replica"


def test_alias_of_a_file(
    make_setup: MakeSetup, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """NAME_DATABASE_URL_FILE names a file with the URL of a further database."""
    (tmp_path / "url").write_text("postgres://u:p@replica/n\n")
    monkeypatch.setenv("REPLICA_DATABASE_URL_FILE", str(tmp_path / "url"))

    assert databases(make_setup())["replica"]["PASSWORD"] == "p"


def test_bad_alias(make_setup: MakeSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    """A further URL that is wrong is named."""
    monkeypatch.setenv("REPLICA_DATABASE_URL", "postgres://u:hunter2#@h/n")

    with pytest.raises(ImproperlyConfigured, match="REPLICA_DATABASE_URL: expected"):
        make_setup().database()


def test_alias_that_loses(
    make_setup: MakeSetup,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A further URL beside DATABASES of the file is said to have lost."""
    monkeypatch.setenv("REPLICA_DATABASE_URL", "postgres://u:p@h/n")

    make_setup(DATABASES={}).database()

    assert "REPLICA_DATABASE_URL (DATABASES)" in capsys.readouterr().err


@pytest.mark.parametrize("prefix", ["", "REPLICA_"])
def test_password_of_a_file(
    make_setup: MakeSetup, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, prefix: str
) -> None:
    """The password of a URL without one is that of its own variable, also frozen."""
    secret = "hunter2 /#?%'\""
    (tmp_path / "password").write_text(f"{secret}\n")
    monkeypatch.setenv(f"{prefix}DATABASE_URL", "postgres://u@h/n")
    monkeypatch.setenv(f"{prefix}DATABASE_PASSWORD_FILE", str(tmp_path / "password"))
    setup = make_setup()

    found = databases(setup)
    frozen = freeze(setup.settings)

    alias = "replica" if prefix else "default"
    assert found[alias]["PASSWORD"] == secret
    assert "hunter2" not in frozen
    thawed: dict[str, dict[str, object]] = {}
    exec(frozen, thawed)
    assert thawed["DATABASES"] == found


def test_same_password_twice(make_setup: MakeSetup) -> None:
    """A .env for compose may put the password into the URL by its name."""
    text = (
        "DATABASE_PASSWORD=p4ss\nDATABASE_URL=postgres://u:${DATABASE_PASSWORD}@h/n\n"
    )
    (make_setup().root / ".env").write_text(text)

    assert databases(make_setup())["default"]["PASSWORD"] == "p4ss"


@pytest.mark.parametrize("url", ["postgres://u:other@h/n", "sqlite:///x"])
def test_two_passwords(
    make_setup: MakeSetup, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """Two passwords, or one for what takes none, are an error."""
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")

    with pytest.raises(ImproperlyConfigured, match="DATABASE_PASSWORD: DATABASE_URL"):
        make_setup().database()


def test_password_without_a_url(
    make_setup: MakeSetup,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A password that belongs to nothing is said not to be used."""
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")

    make_setup().database()

    assert "DATABASE_PASSWORD is set, but" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("scheme", "package"),
    [
        ("mssql", "mssql-django"),
        ("cockroach", "django-cockroachdb"),
        ("redshift", "django-redshift-backend"),
        ("timescale", "django-timescaledb"),
    ],
)
def test_packages(
    make_setup: MakeSetup, monkeypatch: pytest.MonkeyPatch, scheme: str, package: str
) -> None:
    """An engine that is not installed is an error that names its package."""
    monkeypatch.setenv("DATABASE_URL", f"{scheme}://u:hunter2@h/n")

    with pytest.raises(ImproperlyConfigured, match=f"install the package {package}"):
        make_setup().database()


@pytest.mark.services
@pytest.mark.parametrize(
    "query",
    ["?pool=true", "?connect_timeout=5&conn_max_age=60", "?target_session_attrs=any"],
)
def test_postgresql(project: Project, query: str) -> None:
    """A pool, a kept connection and several hosts work with a real server."""
    hosts = f"{HOST}:1,{HOST}:5432" if "target" in query else HOST
    code = (
        "from django.db import connection as c\nc.ensure_connection()\n"
        "print(c.pool is not None, c.connection.info.port)\nc.close()\n"
        "c.close_pool()\n"
    )

    result = subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", code],
        cwd=project.root,
        env=clean_environment(
            DEBUG="1", DATABASE_URL=f"postgres://root@{hosts}/test{query}"
        ),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert result.stdout.splitlines()[-1:] == [f"{'pool' in query} 5432"], result.stderr
