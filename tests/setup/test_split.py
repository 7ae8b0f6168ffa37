"""Settings in several modules: steps act on the one that calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.setup.conftest import THREE_LINES, Project

SHOW = """\
import django, json; django.setup()
from django.conf import settings
print(json.dumps({"debug": settings.DEBUG, "redirect": settings.SECURE_SSL_REDIRECT,
  "hsts": settings.SECURE_HSTS_SECONDS, "hosts": settings.ALLOWED_HOSTS,
  "proxy": bool(settings.SECURE_PROXY_SSL_HEADER), "zone": settings.TIME_ZONE,
  "loggers": sorted(settings.LOGGING["loggers"]), "root": str(settings.PROJECT_ROOT),
  "urls": settings.ROOT_URLCONF, "database": settings.DATABASES["default"]["NAME"]}))
"""


@pytest.fixture
def split(tmp_path: Path) -> Project:
    """A project whose settings are a package."""
    project = Project(tmp_path / "site")
    (project.root / "package/settings.py").unlink()
    project.write("package/settings/__init__.py", "")
    project.write("package/settings/base.py", THREE_LINES)
    return project


def show(
    project: Project, module: str, **variables: str
) -> tuple[dict[str, object], str]:
    """The settings of a module as Django has them, and what was said."""
    result = project.python("-c", SHOW, DJANGO_SETTINGS_MODULE=module, **variables)
    return json.loads(result.stdout), result.stderr


@pytest.mark.parametrize(
    "top",
    [
        "from .base import *\nsetup.debug(True)\n",
        "from .base import *\nfrom . import base\nbase.setup.debug(True)\n",
        "from .base import setup\nfrom .base import *\nsetup.debug(True)\n",
        "from .base import *\nsetup = Setup(globals())\nsetup.debug(True)\n",
        "from .base import *\nfrom yourlabs.setup import Setup as S\n"
        "S(globals()).debug('on')\n",
        "from .middle import *\n",
        "from . import base\nfor n in dir(base):\n"
        "    globals().update({n: getattr(base, n)} if n.isupper() else {})\n"
        "base.setup.debug(True)\n",
        "from .base import *\nfrom .base import setup as s\ndel setup\n"
        "def switch():\n    s.debug(True)\nswitch()\n",
        "import importlib\nmodule = importlib.import_module('package.settings.base')\n"
        "from .base import *\ndel setup\nmodule.setup.debug('1')\n",
        "from .base import *\nDEBUG = True\nsetup.debug(DEBUG)\n",
        "exec(open(__file__.replace('local', 'middle')).read())\n",
    ],
    ids=[
        *("star", "module too", "name too", "second", "second alone", "middle"),
        *("upper case", "another name", "imported", "assigned too", "executed"),
    ],
)
def test_debug_on_top(split: Project, top: str) -> None:
    """What local says of DEBUG holds for all that base made of it."""
    split.write("package/settings/local.py", top)
    split.write(
        "package/settings/middle.py", "from .base import *\nsetup.debug(True)\n"
    )

    found, said = show(split, "package.settings.local")

    assert (found["debug"], found["redirect"], found["hsts"]) == (True, False, 0)
    assert "by now" not in said


@pytest.mark.parametrize(
    "top",
    [
        "setup.security(hsts=3600, proxy=True)\nsetup.add_logger('mine')\n",
        "setup = Setup(globals())\nsetup.security(hsts=3600, proxy=True)\n"
        "setup.add_logger('mine')\n",
        "setup = Setup(globals())\nsetup.security(hsts=3600, proxy=True)\n"
        "setup.add_logger('mine')\nsetup.full()\n",
    ],
    ids=["first", "second", "second full"],
)
def test_production_on_top(split: Project, top: str) -> None:
    """What production asks for is done to what base has set."""
    text = f"from .base import *\nALLOWED_HOSTS = ['example.com']\n{top}"
    split.write("package/settings/production.py", text)
    split.write(
        "package/wsgi.py", "import django.core.wsgi as w\nw.get_wsgi_application()"
    )

    found, said = show(split, "package.settings.production")
    split.python(
        "-c",
        "import package.wsgi",
        DJANGO_SETTINGS_MODULE="package.settings.production",
    )

    assert (found["hsts"], found["proxy"], found["redirect"]) == (3600, True, True)
    assert "mine" in found["loggers"]
    assert found["urls"] == "package.urls"
    assert said == f"[yourlabs] Setting PROJECT_ROOT: {split.root}\n"


def test_base_without_setup(split: Project) -> None:
    """What a plain base sets is the file's; the module on top has the rest."""
    text = "INSTALLED_APPS = ['yourlabs.setup']\nTIME_ZONE = 'Europe/Paris'\n"
    split.write("package/settings/base.py", text)
    lines = "from yourlabs.setup import Setup\nsetup = Setup(globals())\nsetup.full()\n"
    split.write("package/settings/local.py", f"from .base import *\n{lines}")

    found, _ = show(split, "package.settings.local", DEBUG="1")

    assert (found["zone"], found["debug"]) == ("Europe/Paris", True)
    assert found["root"] == str(split.root)


def test_package_that_imports_its_modules(split: Project) -> None:
    """A package whose __init__ takes all from base and local is one module."""
    split.write("package/settings/local.py", "TIME_ZONE = 'Europe/Paris'\n")
    split.write(
        "package/settings/__init__.py",
        "from .base import *\nfrom .local import *\nsetup.debug('yes')\n",
    )

    found, _ = show(split, "package.settings")

    assert (found["zone"], found["redirect"]) == ("Europe/Paris", False)


def test_two_setups_in_one_module(project: Project) -> None:
    """The second goes on where the first ended."""
    text = THREE_LINES + "Setup(globals()).security(hsts=7)\nSetup(globals()).full()\n"
    project.write("package/settings.py", text)

    found, _ = show(project, "package.settings")

    assert found["hsts"] == 7


def test_assignment_on_top_is_said(split: Project) -> None:
    """DEBUG that local only assigns is said with what to call instead."""
    split.write("package/settings/local.py", "from .base import *\nDEBUG = True\n")

    found, said = show(split, "package.settings.local")

    assert (found["debug"], found["redirect"]) == (True, True)
    assert "DEBUG is True by now" in said
    assert "setup.debug(True)" in said


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("setup.debug(True)", "DEBUG"),
        ("setup.security(hsts=5)", "SECURE_HSTS_SECONDS"),
        ("setup.locale(False)", "USE_I18N"),
    ],
)
def test_base_imported_too_late_is_said(split: Project, line: str, name: str) -> None:
    """Steps before the import of a base with a Setup are undone, which is said."""
    lines = "from yourlabs.setup import Setup\nsetup = Setup(globals())\n"
    text = f"{lines}{line}\nfrom .base import *\n"
    split.write("package/settings/local.py", text)

    _, said = show(split, "package.settings.local")

    assert f"{name}" in said
    assert "imported after the steps: import it before them" in said


def test_settings_of_the_machine_at_the_end(project: Project) -> None:
    """A local_settings that is imported at the end has its say, and steps after it."""
    project.write(
        "package/local_settings.py", "TIME_ZONE = 'Asia/Tokyo'\nDEBUG = True\n"
    )
    text = f"{THREE_LINES}from package.local_settings import *\nsetup.debug(DEBUG)\n"
    project.write("package/settings.py", text)

    found, _ = show(project, "package.settings")

    assert (found["zone"], found["debug"]) == ("Asia/Tokyo", True)
    assert found["redirect"] is False


def test_hosts_of_the_module_on_top(split: Project) -> None:
    """The variable of a setting that base has from it is not lost on local."""
    split.write("package/settings/local.py", "from .base import *\nsetup.full()\n")

    found, said = show(split, "package.settings.local", ALLOWED_HOSTS="example.com")

    assert found["hosts"] == ["example.com"]
    assert "file has its own" not in said
