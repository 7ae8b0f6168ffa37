"""A dotted path leads to a task, or to an error that helps."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from yourlabs.runner.chain.decorator import task
from yourlabs.runner.chain.loading import is_path_of, load_task, load_tasks
from yourlabs.runner.exceptions import InvalidTask, TaskNotFound

MODULE = """
from functools import partial, wraps
from yourlabs.runner import task

LIMIT = 5

@task(name="mailing")
def send_mail():
    pass

def plain():
    pass

class Office:
    def air(self):
        pass

    @staticmethod
    def clean():
        pass

    @classmethod
    def heat(cls):
        pass

office = Office()
alias = plain

def with_arguments(first, *, second):
    pass

def __getattr__(name):
    if name == "made_on_demand":
        return plain
    raise AttributeError(name)
"""


@pytest.fixture(autouse=True)
def modules(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Modules that are found in the order of this test only."""
    (tmp_path / "loadable.py").write_text(MODULE)
    (tmp_path / "loadable_other.py").write_text("from loadable import plain as sync\n")
    (tmp_path / "loadable_broken.py").write_text("from nowhere_else import x\n")
    (tmp_path / "loadable_raising.py").write_text("raise OSError('no such disk')\n")
    (tmp_path / "loadable_wrong.py").write_text("def f(:\n")
    package = tmp_path / "loadable_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text("import loadable_package.gone\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_path() -> None:
    """A dotted path leads to the task of its function."""
    found = load_task("loadable.send_mail")

    assert found.name == "mailing"
    assert found.path == "loadable.send_mail"
    assert load_task("loadable.send_mail") is found


def test_undecorated() -> None:
    """A function that was not decorated has a task, the same one each time."""
    found = load_task("loadable.plain")

    assert found.name == "plain"
    assert load_task("loadable.plain") is found
    assert load_task(found.func) is found


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("loadable.Office.clean", "clean"),
        ("loadable.Office.heat", "heat"),
        ("loadable.office.clean", "clean"),
        ("loadable.office.air", "air"),
        ("loadable.alias", "plain"),
        ("loadable.made_on_demand", "plain"),
    ],
)
def test_path_through_objects(path: str, name: str) -> None:
    """A path may go through a class, an object or what a module makes on demand."""
    assert load_task(path).name == name


def test_load_tasks() -> None:
    """Paths and callables are mixed at will and keep their order."""

    @task(name="local")
    def local() -> None:
        """Do nothing."""

    tasks = load_tasks(["loadable.plain", local, "loadable.send_mail"])

    assert [found.name for found in tasks] == ["plain", "local", "mailing"]


def test_method_that_comes_twice() -> None:
    """A bound method is another object each time; that of one object is one task."""
    path = "loadable.Office.heat"

    first, between, second = load_tasks([path, "loadable.plain", path])

    assert first is second
    assert first is not between


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "'' is no dotted path to a function, like 'tasks.send_mail'."),
        ("plain", "'plain' is no dotted path to a function"),
        ("loadable.", "'loadable.' is no dotted path"),
        (".plain", "'.plain' is no dotted path"),
        ("loadable:plain", "'loadable:plain' is no dotted path"),
        ("load able.plain", "is no dotted path"),
        ("loadable.send-mail", "is no dotted path"),
        (
            "loadable.send_mial",
            "There is no function 'send_mial' in the module 'loadable'; "
            "did you mean 'send_mail'?",
        ),
        ("loadable.qqqq", "There is no function 'qqqq' in the module 'loadable'."),
        (
            "loadable.Office.claen",
            "There is no function 'claen' in the class 'loadable.Office'; "
            "did you mean 'clean'?",
        ),
        (
            "loadable.LIMIT.over",
            "There is no function 'over' in the int 'loadable.LIMIT'",
        ),
        ("nowhere.sync", "There is no module 'nowhere', so 'nowhere.sync' cannot"),
        ("nowhere.at.all", "There is no module 'nowhere', so 'nowhere.at.all' cannot"),
        ("loadable_package.gone.sync", "no module 'loadable_package.gone'"),
        ("loadable.Nothing.clean", "There is no module 'loadable.Nothing'"),
    ],
)
def test_not_found(path: str, message: str) -> None:
    """A path that leads nowhere says what was found, and what may be meant."""
    with pytest.raises(TaskNotFound, match=re.escape(message)) as caught:
        load_task(path)
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("loadable_broken.sync", ModuleNotFoundError, "nowhere_else"),
        ("loadable_raising.sync", OSError, "no such disk"),
        ("loadable_wrong.sync", SyntaxError, "loadable_wrong.py"),
        ("loadable_package.inner.sync", ModuleNotFoundError, "loadable_package.gone"),
    ],
)
def test_broken_module(path: str, error: type[Exception], message: str) -> None:
    """A module that fails at import shows its own error."""
    with pytest.raises(error, match=message) as caught:
        load_task(path)
    assert not isinstance(caught.value, TaskNotFound)


@pytest.mark.parametrize(
    "value",
    [5, None, "loadable.LIMIT", object()],
    ids=lambda value: repr(value).partition(" at 0x")[0],
)
def test_not_callable(value: Any) -> None:
    """What cannot be called is no function."""
    with pytest.raises(InvalidTask, match="is no function: it cannot be called"):
        load_task(value)


def test_one_string() -> None:
    """One string is not taken for a list of letters."""
    with pytest.raises(InvalidTask, match=r"expected a list, \['loadable.plain'\]"):
        load_tasks("loadable.plain")


def test_arguments() -> None:
    """A function that needs arguments is refused, with its signature."""
    with pytest.raises(
        InvalidTask, match=r"with_arguments\(first, \*, second\) cannot be called"
    ):
        load_task("loadable.with_arguments")


def test_builtin() -> None:
    """A builtin without a signature, or that takes no attribute, is a task too."""
    assert load_task("time.time").name == "time"
    assert load_task("os.getpid").name == "getpid"


def test_is_path_of() -> None:
    """A function has every path that leads to it."""
    plain = load_task("loadable.plain")

    assert is_path_of("loadable.plain", plain)
    assert is_path_of("loadable.alias", plain)
    assert not is_path_of("loadable.send_mail", plain)
    assert not is_path_of("loadable.nothing", plain)
    assert not is_path_of("nowhere.plain", plain)
    assert not is_path_of("loadable_raising.plain", plain)


def test_is_path_of_imports_little() -> None:
    """A module is not imported to find out what another name in it means."""
    plain = load_task("loadable.plain")
    sys.modules.pop("loadable_other", None)

    assert not is_path_of("loadable_other.sync", plain)
    assert "loadable_other" not in sys.modules
