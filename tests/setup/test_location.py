"""Where the project is."""

from __future__ import annotations

import importlib.util
import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.setup.conftest import Project
from yourlabs.setup import Setup
from yourlabs.setup.environment import called_command, locate


def imported(path: Path, name: str) -> dict[str, Any]:
    """The globals of a settings module as an import makes them."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    return vars(module)


@pytest.mark.parametrize("manage", [True, False], ids=["manage.py", "no manage.py"])
@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("package/settings.py", "package.settings"),
        ("package/settings/dev.py", "package.settings.dev"),
        ("package/settings/__init__.py", "package.settings"),
        ("settings.py", "settings"),
        ("settings/__init__.py", "settings"),
        ("deep/down/package/settings.py", "deep.down.package.settings"),
    ],
)
def test_layouts(tmp_path: Path, file: str, name: str, manage: bool) -> None:
    """The root is where the package of the settings is, or a lone settings.py."""
    root = tmp_path / "with space é"
    (root / file).parent.mkdir(parents=True)
    (root / file).touch()
    if manage:
        (root / "manage.py").touch()

    location = locate(imported(root / file, name))

    assert location is not None
    assert location.root == root


def test_src_layout(tmp_path: Path) -> None:
    """A manage.py beside the folder of the sources marks the root."""
    (tmp_path / "src/package").mkdir(parents=True)
    (tmp_path / "manage.py").touch()

    location = locate(
        imported(tmp_path / "src/package/settings.py", "package.settings")
    )

    assert location is not None
    assert (location.root, location.import_root) == (tmp_path, tmp_path / "src")


def test_symlinked_settings_file(tmp_path: Path) -> None:
    """A settings file that is a link belongs to where the link is."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/site.py").write_text("")
    (tmp_path / "site/package").mkdir(parents=True)
    (tmp_path / "site/package/settings.py").symlink_to(tmp_path / "etc/site.py")

    location = locate(
        imported(tmp_path / "site/package/settings.py", "package.settings")
    )

    assert location is not None
    assert location.root == tmp_path / "site"


def test_symlinked_project(tmp_path: Path) -> None:
    """A project reached through a link keeps the path of the link."""
    (tmp_path / "releases/5/package").mkdir(parents=True)
    (tmp_path / "current").symlink_to(tmp_path / "releases/5")

    location = locate(
        imported(tmp_path / "current/package/settings.py", "package.settings")
    )

    assert location is not None
    assert location.root == tmp_path / "current"


@pytest.mark.parametrize("kind", [str, Path], ids=["str", "Path"])
def test_given_root(tmp_path: Path, kind: type) -> None:
    """PROJECT_ROOT in the settings decides, and is left as it is."""
    settings = {"PROJECT_ROOT": kind(tmp_path)}

    setup = Setup(settings)
    setup.filesystem()

    assert settings["PROJECT_ROOT"] == kind(tmp_path)
    assert settings["VAR_ROOT"] == tmp_path / "var"


def test_read_without_import(tmp_path: Path) -> None:
    """Settings that runpy reads are found by the packages around the file."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package/__init__.py").touch()
    path = tmp_path / "package/settings.py"
    path.write_text("from yourlabs.setup import Setup\nSetup(globals()).filesystem()")

    settings = runpy.run_path(str(path))

    assert settings["PROJECT_ROOT"] == tmp_path


def test_settings_module_named_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a file, DJANGO_SETTINGS_MODULE says where the settings are."""
    (tmp_path / "lonely_settings.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "lonely_settings")

    location = locate({})

    assert location is not None
    assert location.root == tmp_path


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"PROJECT_ROOT": None},
        {"PROJECT_ROOT": ""},
        {"PROJECT_ROOT": object()},
        {"__file__": "/nonexistent/folder/settings.py", "__name__": "settings"},
    ],
    ids=["nothing", "None", "empty", "no path", "no folder"],
)
@pytest.mark.parametrize("module", ["", "not.there", "..relative"])
def test_not_found(
    settings: dict[str, Any],
    module: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where there is no project, it is said once and nothing is touched."""
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", module)
    before = dict(settings)

    setup = Setup(settings)
    setup.full()
    setup.add_logger("anything")
    setup.debug(True)

    output = capsys.readouterr()
    assert settings == before
    assert output.out == ""
    assert output.err == "[yourlabs] Could not find your project root, not setting up\n"


def test_root_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A root that was guessed is said on stderr by the first of two setups."""
    (tmp_path / "settings.py").touch()
    for _ in range(2):
        setup = Setup(imported(tmp_path / "settings.py", "settings"))
        setup.full()
        setup.full()

    output = capsys.readouterr()
    assert output.err == f"[yourlabs] Setting PROJECT_ROOT: {tmp_path}\n"
    assert output.out == ""


def test_root_that_is_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A root that the module sets itself is not said."""
    Setup({"PROJECT_ROOT": tmp_path}).full()

    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "value"),
    [("YOURLABS_QUIET", "1"), ("RUN_MAIN", "true"), ("WERKZEUG_RUN_MAIN", "true")],
)
def test_quiet(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
) -> None:
    """YOURLABS_QUIET and the autoreloader's child silence both messages."""
    monkeypatch.setenv(name, value)
    (tmp_path / "settings.py").touch()

    Setup(imported(tmp_path / "settings.py", "settings"))
    Setup({})

    assert capsys.readouterr() == ("", "")


def test_no_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process without stderr starts, and says nothing on stdout instead."""
    monkeypatch.setattr("sys.stderr", None)
    (tmp_path / "settings.py").touch()

    Setup(imported(tmp_path / "settings.py", "settings"))

    assert capsys.readouterr().out == ""


def test_urls_and_applications_are_found(project: Project) -> None:
    """The modules nearest to the settings are ROOT_URLCONF and the applications."""
    project.write("package/wsgi.py", "")
    project.write("asgi.py", "")
    settings = imported(project.root / "package/settings.py", "package.settings")

    Setup(settings).defaults()

    assert settings["ROOT_URLCONF"] == "package.urls"
    assert settings["WSGI_APPLICATION"] == "package.wsgi.application"
    assert settings["ASGI_APPLICATION"] == "asgi.application"


def test_no_urls(tmp_path: Path) -> None:
    """A project without urls gets no ROOT_URLCONF."""
    settings: dict[str, Any] = {"PROJECT_ROOT": tmp_path}

    Setup(settings).defaults()

    assert "ROOT_URLCONF" not in settings


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["manage.py", "runserver"], "runserver"),
        (["/x/manage.py", "migrate", "--plan"], "migrate"),
        (["django-admin"], "help"),
        (["gunicorn", "runserver"], None),
        ([], None),
    ],
)
def test_called_command(
    monkeypatch: pytest.MonkeyPatch, argv: list[str], command: str | None
) -> None:
    """Outside of Django, a program named manage.py tells its command."""
    monkeypatch.setattr("sys.argv", argv)

    assert called_command() == command
