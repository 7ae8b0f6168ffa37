"""A process that runs other code is of another release."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from yourlabs.runner import conf
from yourlabs.runner.chain.registry import make_thread
from yourlabs.runner.chain.task import Chain, Task, make_chain
from yourlabs.runner.notify import releases
from yourlabs.runner.notify.releases import release_of
from yourlabs.runner.ownership.record import Mode

SOURCE = "def work():\n    return {}\n"


def chain_of(path: Path, source: str, name: str = "releasing_tasks") -> Chain:
    """Return the chain of a function in a module, as in a process that loads it."""
    releases._digest.cache_clear()
    path.write_text(source)
    module = ModuleType(name)
    module.__file__ = str(path)
    exec(compile(source, str(path), "exec"), vars(module))
    sys.modules[name] = module
    return make_chain([Task(vars(module)["work"], f"{name}.work", "work")])


@pytest.fixture(autouse=True)
def clean_up() -> Any:
    yield
    sys.modules.pop("releasing_tasks", None)
    releases._digest.cache_clear()


def test_the_setting_names_it(tmp_path: Path, settings: Any) -> None:
    """What RUNNER["RELEASE"] says is the release, whatever the sources are."""
    settings.RUNNER = {"RELEASE": 7}

    assert release_of(chain_of(tmp_path / "tasks.py", SOURCE)) == "7"


def test_other_sources_are_another_release(tmp_path: Path) -> None:
    """The same sources are the same release, and an edited one is another."""
    path = tmp_path / "tasks.py"
    names = [
        release_of(chain_of(path, source))
        for source in (SOURCE, SOURCE, SOURCE.replace("{}", "1"))
    ]

    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize("name", ["gone.py", "gone.pyc"])
def test_sources_may_be_missing(tmp_path: Path, name: str) -> None:
    """Code without its source has a release all the same."""
    chain = chain_of(tmp_path / "tasks.py", SOURCE)
    sys.modules["releasing_tasks"].__file__ = str(tmp_path / name)
    without_source = release_of(chain)
    del sys.modules["releasing_tasks"]
    releases._digest.cache_clear()

    assert without_source == release_of(chain) != ""


def test_partials(tmp_path: Path) -> None:
    """The sources of a partial are those of its function."""
    path, names = tmp_path / "tasks.py", []
    for source in (SOURCE, SOURCE.replace("{}", "1")):
        (plain,) = chain_of(path, source).tasks
        part = Task(partial(partial(plain.func)), plain.path, "part")
        names.append(release_of(make_chain([part])))

    assert names[0] != names[1]


def test_functions_of_no_module() -> None:
    """What has no module, or wraps itself, has a release all the same."""

    def circle() -> None:
        """Do nothing."""

    for inside in (circle, partial(circle)):
        circle.__wrapped__ = inside  # type: ignore[attr-defined]
        for function in (circle, iter([1]).__next__):
            assert release_of(make_chain([Task(function, "some.where", "work")]))


def test_release_that_says_what_it_is(settings: Any) -> None:
    """An object of a class with words of its own for it is taken at them."""

    class Version:
        def __str__(self) -> str:
            return "1.2"

    settings.RUNNER = {"RELEASE": Version()}

    assert conf.release() == "1.2"


def test_release_of_a_chain_that_stands_by(tmp_path: Path, settings: Any) -> None:
    """It is of the sources that were there when the chain was made."""
    settings.RUN_ROOT = tmp_path
    chain = chain_of(tmp_path / "tasks.py", SOURCE)
    before = release_of(chain)
    releases._digest.cache_clear()
    make_thread(chain, Mode.HOSTED)
    (tmp_path / "tasks.py").write_text(SOURCE.replace("{}", "1"))

    assert release_of(chain) == before


def test_edited_sources_are_not_what_runs(tmp_path: Path) -> None:
    """What is edited while the process runs is not its release."""
    chain = chain_of(tmp_path / "tasks.py", SOURCE)
    before = release_of(chain)
    (tmp_path / "tasks.py").write_text(SOURCE.replace("{}", "1"))

    assert release_of(chain) == before
