"""What each module may import, read from its source."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "yourlabs"
CORE = [
    PACKAGE / "runner" / f"{module}.py"
    for module in (
        "exceptions",
        "autostart/classify",
        "autostart/kinds",
        "chain/history",
        "chain/plan",
        "chain/status",
        "chain/task",
        "cluster/rules",
        "failures/downtime",
        "failures/fingerprint",
        "failures/records",
        "failures/redact",
        "failures/text",
        "notify/mail_text",
        "notify/throttle",
        "notify/told",
        "ownership/record",
        "storage/desired",
    )
]

PURE = {
    "__future__",
    "array",
    "collections",
    "dataclasses",
    "datetime",
    "enum",
    "functools",
    "hashlib",
    "json",
    "math",
    "re",
    "typing",
}
ACTS = {"open", "print", "input", "exec", "eval", "__import__"}
CLOCKS = {"now", "utcnow", "today"}


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted names that the module at `path` imports, wherever it does."""
    package = path.parent.relative_to(ROOT).parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def within(name: str, *packages: str) -> bool:
    """Say whether the dotted `name` is one of `packages` or inside one."""
    return any(
        name == package or name.startswith(f"{package}.") for package in packages
    )


def sources(*parts: str) -> list[Path]:
    """Return the modules of a sub-package, or the module itself."""
    path = PACKAGE.joinpath(*parts)
    return sorted(path.rglob("*.py")) or [
        module for module in [path.with_suffix(".py")] if module.exists()
    ]


def name_of(path: Path) -> str:
    """Return the path as a test's id."""
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_pure_module_imports_nothing_that_acts(path: Path) -> None:
    """A pure module imports only pure ones, of ours and of Python's."""
    pure = [".".join(module.relative_to(ROOT).with_suffix("").parts) for module in CORE]
    impure = [
        name
        for name in imports(path)
        if name.partition(".")[0] not in PURE and not within(name, *pure)
    ]

    assert [] == impure


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_pure_module_calls_no_clock(path: Path) -> None:
    """A pure module is given the time, and neither opens nor prints anything."""
    calls = [
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    ]
    clocks = [
        call
        for call in calls
        if call.rpartition(".")[0].endswith("datetime") or call.startswith("date.")
        if call.rpartition(".")[2] in CLOCKS
    ]

    assert [] == [call for call in calls if call in ACTS] + clocks


LAYERS = (
    ("exceptions", "signals", "conf", "forks", "log", "chain.task"),
    ("failures",),
    ("ownership", "storage"),
    ("cluster",),
    ("notify", "autostart"),
    ("chain",),
    ("",),
)
"""The rooms of the runner from the bottom up; "" is what a user touches."""


def layer_of(name: str) -> int:
    """Return the number of the layer that the dotted `name` in the runner is in."""
    inside = name.removeprefix("yourlabs.runner").lstrip(".")
    return next(
        number
        for number, rooms in enumerate(LAYERS)
        if any(not room or within(inside, room) for room in rooms)
    )


def runner_imports() -> dict[str, set[str]]:
    """Return what each module of the runner imports of the runner, for types too."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sources("runner")
    }
    found: dict[str, set[str]] = {}
    for path in sources("runner"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        # Of `a.b.c` the module may be `a.b`, and `c` a name in it.
        mentioned = {
            one if one in modules else one.rpartition(".")[0] for one in imports(path)
        }
        found[name.removesuffix(".__init__")] = mentioned & modules
    return found


def test_runner_imports_point_downwards() -> None:
    """No module of the runner imports one of a layer above its own."""
    upwards = [
        f"{importer} imports {imported}"
        for importer, names in runner_imports().items()
        for imported in sorted(names)
        if imported != "yourlabs.runner" and layer_of(imported) > layer_of(importer)
    ]

    assert [] == upwards


def test_runner_has_no_circle() -> None:
    """No module of the runner imports itself through others."""
    left = runner_imports()
    # What is imported on first use by the package itself is no import of its modules.
    left.pop("yourlabs.runner")
    while free := [name for name in left if not left[name] & set(left)]:
        for name in free:
            del left[name]

    assert {} == {name: names & set(left) for name, names in left.items()}


@pytest.mark.parametrize("one", ["runner", "smoke", "setup"])
def test_packages_do_not_know_each_other(one: str) -> None:
    """The runner, smoke and setup never import each other."""
    others = [
        f"yourlabs.{name}" for name in ("runner", "smoke", "setup") if name != one
    ]
    found = [
        f"{name_of(path)} imports {name}"
        for path in sources(one)
        for name in imports(path)
        if within(name, *others)
    ]

    assert [] == found


def test_thread_is_given_what_it_needs() -> None:
    """The thread of a chain knows neither mail nor locks nor settings."""
    unwanted = [
        name
        for path in sources("runner", "chain", "thread")
        for name in imports(path)
        if within(
            name,
            *(
                f"yourlabs.runner.{module}"
                for module in ("notify", "ownership.pidfile", "conf")
            ),
            "django.conf",
            "django.core.mail",
        )
    ]

    assert [] == unwanted


def test_settings_are_read_in_one_module() -> None:
    """Of the runner's own settings there is one reader; a few ask Django's for mail."""
    readers = [
        name_of(path)
        for path in sources("runner")
        if "django.conf.settings" in set(imports(path))
    ]

    for_mail = {
        "runner/checks.py",
        "runner/notify/mail.py",
        "runner/notify/delivery.py",
    }
    assert set(readers) <= {"runner/conf.py", "runner/__main__.py"} | for_mail


@pytest.mark.parametrize(
    "name",
    ["yourlabs", *(["yourlabs.setup"] if sources("setup") else [])],
)
def test_settings_modules_can_import_it(name: str) -> None:
    """What settings.py imports loads nothing that reads the settings."""
    program = (
        f"import sys, {name}; "
        "loaded = {'django.conf', 'yourlabs.runner', 'yourlabs.smoke'}; "
        "print(*sorted(loaded & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert "" == done.stdout.strip()
