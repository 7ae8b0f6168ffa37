"""Options are durations, and a chain has a name that can be a file's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yourlabs.runner.chain.task import (
    MAX_NAME,
    NEVER_ZERO,
    OPTIONS,
    Options,
    Task,
    as_option,
    make_chain,
)
from yourlabs.runner.exceptions import InvalidTask


def nothing() -> None:
    """Do nothing."""


def a_task(name: str = "nothing", **declared: timedelta | None) -> Task:
    return Task(nothing, f"tests.{name}", name, declared)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (timedelta(days=1, minutes=1), 86_460),
        (timedelta(weeks=2), 1_209_600),
        (timedelta(milliseconds=250), 0.25),
        (90, 90),
        (0.5, 0.5),
        (86_400 * 400, 34_560_000),
    ],
    ids=["days", "weeks", "milliseconds", "int", "float", "long"],
)
@pytest.mark.parametrize("name", OPTIONS)
def test_as_option(name: str, value: Any, seconds: float) -> None:
    """A duration is a timedelta, whose days count, or a number of seconds."""
    duration = as_option(name, value)

    assert duration is not None
    assert duration.total_seconds() == seconds


@pytest.mark.parametrize("value", [0, 0.0, timedelta(0)])
@pytest.mark.parametrize("name", ["success_cooldown", "fail_cooldown"])
def test_as_option_zero(name: str, value: Any) -> None:
    """A cooldown may be zero."""
    assert as_option(name, value) == timedelta(0)


@pytest.mark.parametrize("value", [0, timedelta(0), 1e-9])
@pytest.mark.parametrize("name", NEVER_ZERO)
def test_as_option_never_zero(name: str, value: Any) -> None:
    """A limit of zero is refused, and one that is rounded to it."""
    with pytest.raises(InvalidTask, match=rf"{name} is .* longer than zero"):
        as_option(name, value)


def test_as_option_none() -> None:
    """None means no limit, and nothing for a cooldown."""
    assert as_option("max_duration", None) is None
    with pytest.raises(InvalidTask, match="success_cooldown is None"):
        as_option("success_cooldown", None)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("5 minutes", r"'5 minutes' \(str\): expected a timedelta"),
        (True, r"True \(bool\): expected a timedelta"),
        ([60], r"\[60\] \(list\): expected a timedelta"),
        (-1, "-1: a duration cannot be negative"),
        (timedelta(seconds=-1), "a duration cannot be negative"),
        (float("nan"), "nan: expected a finite number"),
        (float("inf"), "inf: expected a finite number"),
        (1e300, r"1e\+300 seconds: that is longer than a timedelta can hold"),
        (10**400, "longer than a timedelta can hold"),
        (-(10**400), "a timedelta can hold|cannot be negative"),
    ],
)
def test_as_option_bad(value: Any, found: str) -> None:
    """What is no duration is named, with the option and what was expected."""
    with pytest.raises(InvalidTask, match=rf"^fail_cooldown is .*{found}") as caught:
        as_option("fail_cooldown", value)
    assert isinstance(caught.value, ValueError)


@settings(max_examples=50)
@given(
    name=st.sampled_from(OPTIONS),
    value=st.one_of(
        st.integers(),
        st.floats(),
        st.timedeltas(),
        st.none(),
        st.text(),
        st.booleans(),
        st.integers(min_value=2**1_030),
    ),
)
def test_as_option_any(name: str, value: Any) -> None:
    """Whatever is given, there is a duration of zero or more, or `InvalidTask`."""
    try:
        duration = as_option(name, value)
    except InvalidTask:
        return
    assert duration is None or duration >= timedelta(0)


def test_options_of_a_bare_task() -> None:
    """A task without a resolver has its declared options and the defaults."""
    task = a_task(fail_cooldown=timedelta(seconds=7), max_duration=timedelta(hours=1))

    assert task.options == Options(
        fail_cooldown=timedelta(seconds=7), max_duration=timedelta(hours=1)
    )
    assert task.success_cooldown == timedelta(minutes=5)
    assert task.fail_cooldown == timedelta(seconds=7)
    assert task.non_recoverable_downtime == timedelta(hours=12)
    assert task.max_duration == timedelta(hours=1)


def test_task_identity() -> None:
    """Two tasks of the same function are two senders of signals."""
    assert a_task() != a_task()
    assert len({a_task(), a_task()}) == 2
    assert str(a_task("sync")) == "sync"


def test_make_chain() -> None:
    """A chain is called by its tasks, joined by an underscore, in order."""
    chain = make_chain([a_task("send_mail"), a_task("retry_deferred")])

    assert chain.name == "send_mail_retry_deferred"
    assert chain.paths == ("tests.send_mail", "tests.retry_deferred")


def test_keys() -> None:
    """Tasks that share a path, as a factory makes them, have keys that do not."""
    plain, path = a_task("plain"), "tests.make.<locals>.check"
    named = [Task(nothing, path, name) for name in ("a", "a", "check", "check")]

    assert make_chain([plain, *named, plain], name="chain").keys() == {
        plain: "tests.plain",
        named[0]: f"{path}:a",
        named[1]: f"{path}:a:2",
        named[2]: path,
        named[3]: f"{path}:2",
    }
    # Whatever else is in the chain.
    assert make_chain([named[0]]).keys() == {named[0]: f"{path}:a"}


def test_make_chain_named() -> None:
    """A name that is given is used as it is."""
    assert make_chain([a_task()], name="mail-2.x").name == "mail-2.x"


def test_make_chain_empty() -> None:
    """A chain of nothing is refused."""
    with pytest.raises(InvalidTask, match="at least one function"):
        make_chain([])


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "a/b", "../up", "a\0b", "a b", "a\nb", "é", 5, ["a"]],
    ids=repr,
)
def test_make_chain_bad_name(name: Any) -> None:
    """A name that cannot be a file's in RUN_ROOT is refused, and `name=` is told of."""
    with pytest.raises(InvalidTask, match=r"cannot be the name of a chain.*name="):
        make_chain([a_task()], name=name)


def test_make_chain_long_name() -> None:
    """A name that is too long for a file is refused, with how long it is."""
    tasks = [a_task("a_long_name_indeed") for _ in range(20)]

    with pytest.raises(InvalidTask, match=rf"379 characters, at most {MAX_NAME}"):
        make_chain(tasks)
    assert make_chain(tasks, name="a" * MAX_NAME).name == "a" * MAX_NAME
