"""The documentation says what the code does: its examples run, its lists are whole."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management.base import BaseCommand

from tests.doc_blocks import DOCS, ROOT, Block, Session, blocks
from tests.docs_project import project  # noqa: F401
from yourlabs import runner
from yourlabs.runner import checks, conf, signals
from yourlabs.runner.chain.task import OPTIONS
from yourlabs.runner.management.commands import runner as steering
from yourlabs.runner.management.commands.run_functions import Command
from yourlabs.runner.web.metrics import PREFIX, families

SOURCES = sorted((ROOT / "yourlabs" / "runner").rglob("*.py"))

IN_A_PROJECT = [
    "howto/alert.rst",
    "howto/machines.rst",
    "howto/pause.rst",
    "howto/priority.rst",
    "howto/probe.rst",
    "howto/see.rst",
    "howto/server_overrides.rst",
    "howto/signals.rst",
    "howto/tasks.rst",
    "howto/testing.rst",
    "howto/upgrade.rst",
    "howto/wake.rst",
    "index.rst",
    "reference/checks.rst",
    "reference/command.rst",
    "reference/log.rst",
    "reference/settings.rst",
    "reference/status.rst",
]
"""Pages whose commands are for the project that the tutorial makes."""

PARSED = ["contributing.rst", "howto/container.rst", "howto/supervisord.rst"]
"""Pages whose commands are for a machine of their own."""


def read(name: str) -> str:
    """Return the source of a page."""
    return (DOCS / name).read_text()


def table(name: str) -> set[str]:
    """Return what stands in the first column of the tables of a page."""
    return set(re.findall(r"^   \* - ``(.*)``$", read(name), re.MULTILINE))


def test_tutorial_works_as_written(tmp_path: Path) -> None:
    """The tutorial leads from an empty folder to what it shows, step by step."""
    Session(tmp_path).run_page(DOCS / "tutorial.rst")


@pytest.mark.parametrize("name", IN_A_PROJECT)
def test_examples_run(name: str, project: Session) -> None:  # noqa: F811
    """Every code block of the page does what the page says."""
    project.run_page(DOCS / name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_privileges_can_be_given_up(project: Session) -> None:  # noqa: F811
    """The chain runs through su, and ends when it is told to."""
    me = subprocess.check_output(["id", "-un"], text=True).strip()
    for block in blocks(DOCS / "howto/privileges.rst"):
        if "kill" not in block.classes:
            content = block.content.replace("www-data", me)
            printed = "Sleeping 5 seconds" if "run_functions" in content else ""
            project.run(Block(block.page, block.line, "sh", content), printed)


@pytest.mark.parametrize("name", PARSED)
def test_commands_for_other_machines_are_commands(name: str) -> None:
    """What cannot be run here is at least understood by the shell."""
    for block in blocks(DOCS / name):
        if block.language == "sh":
            subprocess.run(["bash", "-n", "-c", block.content], check=True)


def test_map_of_the_house_names_what_is_there() -> None:
    """Each file that a newcomer is sent to exists."""
    names = re.findall(r"``([\w/]+\.py)``", read("contributing.rst"))
    rooms = (ROOT, ROOT / "yourlabs" / "runner")

    assert len(names) > 10
    assert [] == [
        name for name in names if not any((room / name).exists() for room in rooms)
    ]


def test_settings_are_documented() -> None:
    """The page lists the keys of RUNNER, and no others; and each option of a task."""
    page = read("reference/settings.rst")

    assert set(conf.DEFAULTS) == table("reference/settings.rst")
    assert [] == [name for name in OPTIONS if f"``{name}``" not in page]


def test_environment_is_documented() -> None:
    """Each variable that the runner reads is on the page."""
    names = {
        match
        for path in SOURCES
        for match in re.findall(
            r"environ(?:\.get\(|\[)\s*\"([A-Z_]+)\"", path.read_text()
        )
    }
    page = read("reference/settings.rst")

    known = {"DJANGO_SETTINGS_MODULE", "RUN_MAIN", "WERKZEUG_RUN_MAIN"}
    assert [] == sorted(name for name in names - known if name not in page)


def test_signals_are_documented() -> None:
    """The page lists the signals, and no others."""
    names = {
        name for name, value in vars(signals).items() if hasattr(value, "connect_via")
    }

    assert names == table("reference/signals.rst")


def test_checks_are_documented() -> None:
    """The page lists the ids of the checks, and no others."""
    here = Path(checks.__file__)
    ids = {
        found[1]
        for path in (here, Path(conf.__file__), here.parent / "cluster" / here.name)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if (found := re.fullmatch(r"\.?([EW]\d{3})", node.value))
    }

    assert {f"{checks.TAG}.{number}" for number in ids} == table("reference/checks.rst")


def test_public_names_are_documented() -> None:
    """Every public name is on a page of the reference, and every one there exists."""
    pages = "".join(path.read_text() for path in (DOCS / "reference").glob("*.rst"))
    listed = set(
        re.findall(r"auto(?:function|class|exception):: (\w+)$", pages, re.MULTILINE)
    )

    assert set() == set(runner.__all__) - listed - table("reference/signals.rst")
    assert set() == listed - set(runner.__all__)


def test_arguments_of_the_command_are_documented() -> None:
    """The page lists the command's own arguments, and no others."""
    parser = Command().create_parser("manage.py", "run_functions")
    known = {
        option
        for action in parser._actions
        if type(action).__name__ != "_HelpAction"
        for option in action.option_strings
        if option.startswith("--")
    }
    page = read("reference/command.rst")
    listed = set(re.findall(r"^``(--[\w-]+)", page, re.MULTILINE))

    assert listed <= known
    of_django = {
        option
        for action in Command.__base__()  # type: ignore[misc]
        .create_parser("manage.py", "x")
        ._actions
        for option in action.option_strings
    }
    assert known - of_django <= listed


def logged() -> Iterator[tuple[str, str]]:
    """Yield the format and the action of each record that the runner logs."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(
                node.func, ast.Attribute
            ):
                continue
            of_logger = getattr(node.func.value, "id", "") == "logger"
            texts = [
                argument.value
                for argument in node.args
                if isinstance(argument, ast.Constant)
                and isinstance(argument.value, str)
            ]
            if not of_logger or not texts:
                continue
            extra = next((k.value for k in node.keywords if k.arg == "extra"), None)
            action = ""
            if isinstance(extra, ast.Dict):
                pairs = zip(extra.keys, extra.values, strict=True)
                action = next(
                    str(getattr(value, "value", ""))
                    for key, value in pairs
                    if getattr(key, "value", "") == "action"
                )
            yield texts[0], action


def test_log_lines_are_documented() -> None:
    """Each line on the page is in the code, and each action is on the page."""
    page = read("reference/log.rst")
    formats = [
        "".join(
            r".+" if re.match("%", part) else re.escape(part)
            for part in re.split(r"(%[-.\d]*[sdrgf])", text)
        )
        for text, _ in logged()
    ]

    actions = {action for _, action in logged()} - {""}
    assert set() == {action for action in actions if f"``{action}``" not in page}
    gone = [
        line
        for line in table("reference/log.rst")
        if not any(re.fullmatch(form, line, re.DOTALL) for form in formats)
    ]
    assert [] == gone


def test_lines_hold_one_sentence() -> None:
    """A line of prose holds one sentence."""
    long = [
        f"{path.relative_to(DOCS)}:{number}"
        for path in sorted(DOCS.rglob("*.rst"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.match(r"[A-Z`*]", line) and re.search(r"[a-z)`]\. [A-Z]", line)
        if "  " not in line  # a table
    ]

    assert [] == long


def test_readme_begins_with_two_commands() -> None:
    """The README has two commands: one that runs the main job, one that tests."""
    commands = [
        block.content for block in blocks(ROOT / "README.rst") if block.language == "sh"
    ]

    assert 2 == len(commands)
    assert "python -m yourlabs.runner" in commands[0]
    assert "-m pytest" in commands[1]


def test_transcript_of_the_readme(tmp_path: Path) -> None:
    """The README shows what its first command prints."""
    command, shown = [
        block
        for block in blocks(ROOT / "README.rst")
        if block.language in ("sh", "text")
    ][:2]
    line = command.content.rpartition("&&")[2].strip()

    session = Session(tmp_path)
    del session.environ["DJANGO_SETTINGS_MODULE"]
    session.run(Block("README.rst", command.line, "sh", line), shown.content)


def test_verbs_of_the_runner_are_documented() -> None:
    """The page has each verb and argument of the command that steers."""
    page = read("reference/status.rst")
    parser = steering.Command().create_parser("manage.py", "runner")
    of_django = BaseCommand().create_parser("manage.py", "x")
    known = {one for action in parser._actions for one in action.option_strings}
    django = {one for action in of_django._actions for one in action.option_strings}

    assert [] == [verb for verb in steering.VERBS if f"``{verb}``" not in page]
    listed = set(re.findall(r"^``(--[\w-]+)", page, re.MULTILINE))
    assert known - django == listed


def test_metrics_are_documented() -> None:
    """The page, the alerts and the dashboard name metrics that there are."""
    names = {PREFIX + family.name for family in families([], 0.0)}
    page = set(re.findall(r"``(yourlabs_runner_\w+)``", read("reference/status.rst")))
    used = {
        found.removesuffix("_sum").removesuffix("_count")
        for name in ("alerts.yml", "grafana.json")
        for found in re.findall(r"yourlabs_runner_\w+", read(f"_static/{name}"))
    }

    assert names == page
    assert used <= names
    json.loads(read("_static/grafana.json"))
