"""A chain that cannot run: told like a task that fails, once, and with its end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.runner.fakes import Counted, log, make, quick, received
from yourlabs.runner import RunnerThread
from yourlabs.runner.chain.down import ChainDown, describe_problem
from yourlabs.runner.chain.teller import DownTeller
from yourlabs.runner.testing import FakeClock, MemoryBackend

HOUR = 3_600.0


@pytest.fixture(autouse=True)
def no_mail(settings: Any) -> None:
    """Nobody is told by mail."""
    settings.RUNNER = {"EMAIL": False}


@pytest.fixture
def told() -> Iterator[list[Any]]:
    """What the signals tell of the chain itself."""
    with received("task_failed", "task_recovered") as calls:
        yield calls


def process(backend: MemoryBackend) -> RunnerThread:
    """Return the chain as another process has it."""
    thread: RunnerThread
    down = ChainDown("chain", lambda: DownTeller(thread.chain, backend, backend.clock))
    thread = make(quick(Counted(), success_cooldown=HOUR), backend=backend, down=down)
    return thread


def turn(thread: RunnerThread) -> None:
    """Go round once, as the thread does it, and do not sleep afterwards."""
    try:
        thread.tick()
    except Exception as exc:
        thread._loop.break_down(exc)


def broken(thread: RunnerThread, problem: Exception | None) -> None:
    """Have it find out that it cannot run, or can."""
    thread.ownership.error = problem  # type: ignore[attr-defined]
    turn(thread)


def names(calls: list[Any]) -> list[str]:
    return [name for name, *_ in calls]


def test_told_once(told: list[Any]) -> None:
    """One of the processes tells it, with what is wrong, and tells the end of it."""
    backend = MemoryBackend(FakeClock())
    threads = [process(backend) for _ in range(3)]
    for _ in range(5):
        for thread in threads:
            broken(thread, PermissionError(13, "Permission denied"))
        backend.clock.advance(10)  # type: ignore[attr-defined]

    [(_, _, payload)] = told
    failure = payload["failure"]
    assert failure.message == "[Errno 13] Permission denied"
    assert failure.task.name == "chain"
    for thread in threads:
        broken(thread, None)
        thread.check()
        turn(thread)
    assert names(told) == ["task_failed", "task_recovered"]


def test_still_down(told: list[Any]) -> None:
    """It fails again with each cooldown; a new problem is told at once."""
    backend = MemoryBackend(FakeClock())
    thread = process(backend)
    broken(thread, OSError("one"))
    for _ in range(60):
        backend.clock.advance(60)  # type: ignore[attr-defined]
        broken(thread, OSError("one"))
    assert len(told) == 1 + 3

    backend.clock.advance(60)  # type: ignore[attr-defined]
    broken(thread, OSError("two"))
    assert [payload["failure"].message for *_, payload in told][-2:] == ["one", "two"]


def test_healed_by_a_restart(told: list[Any]) -> None:
    """What a process before told is ended by the next one whose chain runs."""
    backend = MemoryBackend(FakeClock())
    before = process(backend)
    broken(before, OSError("no"))
    teller = before._loop._down._teller
    assert isinstance(teller, DownTeller)
    teller._loop._claim.die()  # type: ignore[union-attr]

    for _ in range(2):
        thread = process(backend)
        thread.tick()
        thread.give_back()

    assert names(told) == ["task_failed", "task_recovered"]


def test_nothing_to_tell(told: list[Any]) -> None:
    """A chain that always ran leaves nothing behind but its own."""
    backend = MemoryBackend(FakeClock())
    process(backend).tick()

    assert told == []
    assert (
        json.dumps(backend.store(make(Counted(), name="chain.down").chain).load())
        == "{}"
    )


def test_where_nothing_can_be_told(
    told: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the files of the report cannot be used either, the log has it, once."""
    backend = MemoryBackend(FakeClock())
    thread = process(backend)

    def refuse(*_: Any) -> None:
        raise OSError("read-only")

    monkeypatch.setattr("yourlabs.runner.testing.MemoryOwnership.acquire", refuse)
    with log() as kept:
        for _ in range(3):
            turn(thread)
            backend.clock.advance(60)  # type: ignore[attr-defined]

    assert told == []
    assert kept.actions().count("chain_broken") == 1


def test_owner_without_a_sign_of_life(told: list[Any]) -> None:
    """Who stands by behind an owner that seems to be dead tells it."""
    backend = MemoryBackend(FakeClock())
    owner, thread = process(backend), process(backend)
    owner.tick()
    thread.tick()
    thread.ownership.silent = "It is frozen."  # type: ignore[attr-defined]
    thread.check()
    thread.tick()
    assert [payload["failure"].message for *_, payload in told] == ["It is frozen."]

    thread.ownership.silent = None  # type: ignore[attr-defined]
    thread.check()
    thread.tick()
    assert names(told) == ["task_failed", "task_recovered"]


class Silent(BaseException):
    """Says nothing."""

    def __str__(self) -> str:
        raise SystemExit


@pytest.mark.parametrize(
    ("exc", "text"),
    [
        (ValueError("no"), "no"),
        (ValueError(), "ValueError was raised."),
        (Silent(), "Silent was raised."),
    ],
)
def test_words(exc: BaseException, text: str) -> None:
    """There are always words for what is wrong."""
    assert describe_problem(exc) == text
