"""The pages about settings say what setup does."""

from __future__ import annotations

import re
from pathlib import Path

from tests.doc_blocks import DOCS, Session
from tests.setup.conftest import VARIABLES
from tests.setup.test_steps import MANAGED, STEPS

REFERENCE = (DOCS / "reference/setup.rst").read_text()


def section(title: str) -> str:
    """The text below a title of the reference."""
    found = re.search(rf"^{title}\n-+\n(.*?)(?=^\w+\n-+\n|\Z)", REFERENCE, re.M | re.S)
    assert found, title
    return found[1]


def first_column(text: str) -> list[str]:
    return re.findall(r"^   \* - ``(\w+)``$", text, re.MULTILINE)


def test_how_to_works_as_written(tmp_path: Path) -> None:
    """The page leads from a new project to a frozen one, step by step."""
    Session(tmp_path).run_page(DOCS / "howto/settings.rst")


def test_existing_settings_are_converted_as_written(tmp_path: Path) -> None:
    """The page leads from a file of startproject to the three lines."""
    Session(tmp_path).run_page(DOCS / "howto/settings_existing.rst")


def test_every_managed_name_is_documented() -> None:
    """The table of settings has every managed name, once."""
    documented = first_column(section("Settings"))

    assert sorted(documented) == sorted(set(MANAGED) - {"INSTALLED_APPS"})


def test_every_step_is_documented() -> None:
    """The table of settings names steps that there are."""
    column = r"^   \* - .*\n     - ``(\w+)``$"
    steps = set(re.findall(column, section("Settings"), re.MULTILINE))

    assert steps == set(STEPS) - {"create_paths", "applications"}


def test_every_variable_is_documented() -> None:
    """The table of variables has every variable, once."""
    assert sorted(first_column(section("Variables"))) == sorted(VARIABLES)
