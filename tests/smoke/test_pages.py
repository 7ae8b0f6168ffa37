"""Tests that the pages on the smoke tests say what the code does."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

from django.test import override_settings

from tests.smoke import helpers
from yourlabs.smoke.conf import KEYS, read_conf
from yourlabs.smoke.management.commands.smoke import Command
from yourlabs.smoke.outcomes import Outcome, Result, summarize

DOCS = helpers.ROOT / "docs"


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.findall(
        rf"^\.\. code-block:: {language}\n\n((?:   .*\n|\n)+)", text, re.MULTILINE
    )
    return [textwrap.dedent(block) for block in found]


def test_setting_of_the_howto_is_accepted() -> None:
    """The example of the setting is one that is read without complaint."""
    names: dict[str, Any] = {}
    source = next(b for b in blocks("howto/smoke.rst", "python") if "SMOKE" in b)
    exec(source, names)

    with override_settings(SMOKE=names["SMOKE"]):
        conf = read_conf()

    assert conf.excludes("admin:index", "/admin/")
    assert conf.expected("shop:gone") == 410
    assert set(names["SMOKE"]) == set(KEYS)


def test_listed_urls_of_the_howto_run(database: Path, tmp_path: Path) -> None:
    """The example of an app's ``smoke.py`` is requested as it says."""
    example = next(b for b in blocks("howto/smoke.rst", "python") if "get_urls" in b)
    app = tmp_path / "example"
    app.mkdir()
    (app / "__init__.py").touch()
    (app / "smoke.py").write_text(example)
    (tmp_path / "example_settings.py").write_text(
        f"from {helpers.SETTINGS} import *\nINSTALLED_APPS += ['example']\n"
    )

    done = helpers.smoke(
        database,
        "example",
        "--listed",
        "--format",
        "json",
        DJANGO_SETTINGS_MODULE="example_settings",
        PYTHONPATH=f"{helpers.ROOT}:{tmp_path}",
    )

    rows = done.report["results"]
    assert [row["url"] for row in rows] == ["/search/?q=shoe", "/reports/?year=2026"]
    assert rows[1]["tags"] == ["reports"]


def test_commands_of_the_howto_have_options_that_exist() -> None:
    """Every option of the command is documented, and nothing documented is gone."""
    parser = Command().create_parser("manage.py", "smoke")
    own = {
        option
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--")
    }
    inherited = {
        option
        for action in parser._actions
        if action.dest in ("help", "version", "verbosity", "settings", "pythonpath")
        or action.dest in ("traceback", "no_color", "force_color", "skip_checks")
        for option in action.option_strings
    }
    page = (DOCS / "reference/smoke.rst").read_text(encoding="utf-8")
    table = page.split("exit code")[0]

    assert own - inherited == set(re.findall(r"``(--[a-z-]+)", table))
    for command in blocks("howto/smoke.rst", "console"):
        if "manage.py smoke" in command:
            assert set(re.findall(r"(--[a-z-]+)", command)) <= own


def test_report_of_the_reference_has_the_shape_of_a_report() -> None:
    """The keys of the documented report are those of a real one."""
    (source,) = blocks("reference/smoke.rst", "json")
    documented = json.loads(source)
    result = Result("shop:article", "shelf/", outcome=Outcome.OK)

    assert set(documented["results"][0]) <= set(result.as_dict())
    assert set(documented["summary"]) <= set(summarize([result]))
    page = (DOCS / "reference/smoke.rst").read_text(encoding="utf-8")
    keys = {*result.as_dict(), *summarize([result]), "notes"}
    assert all(f"``{key}``" in page or key in source for key in keys)
