"""A chain that cannot run: told like a task that fails, once, and with its end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from tests.runner.fakes import Counted, log, make, quick
from yourlabs.runner import RunnerThread
from yourlabs.runner.chain.cannot_run import (
    ProblemReporter,
    _Sections,
    describe_problem,
)
from yourlabs.runner.chain.task import make_chain
from yourlabs.runner.notify import chain_down
from yourlabs.runner.ownership.base import Claim
from yourlabs.runner.testing import FakeClock, MemoryBackend, MemoryStore

HOUR = 3_600.0
CHAIN = make_chain([quick(lambda: None)], name="chain")


@pytest.fixture(autouse=True)
def no_mail(settings: Any) -> None:
    """Nobody is told by mail."""
    settings.RUNNER = {"EMAIL": False}


class Channel:
    """Keeps what it is to tell of the chain itself."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def chain_started(self, down: Any) -> None:
        self._down = down

    def chain_stopped(self, down: Any) -> None:
        """Nothing is on its way."""

    def send_owed(self, name: str, key: str) -> None:
        what = self._down.downtime
        self.told.append(what.latest.message if what.is_down else "healed")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a channel is to tell of the chain itself."""
    channel = Channel()
    monkeypatch.setattr(chain_down, "connected", [channel])
    return channel.told


def test_silence_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends what was owed at its start knows by then that the chain is silenced."""
    seen: list[Any] = []

    class Looking(Channel):
        def chain_started(self, down: Any) -> None:
            super().chain_started(down)
            seen.append(down.state.get("steer"))

    monkeypatch.setattr(chain_down, "connected", [Looking()])
    backend = MemoryBackend(clock := FakeClock())
    wanted = {"silenced": {"until": None, "by": "ann", "reason": ""}}
    backend.store(CHAIN).steer(lambda _: wanted)
    ProblemReporter(CHAIN, backend, clock).report(OSError("no"))

    assert seen == [wanted]


def process(backend: MemoryBackend) -> RunnerThread:
    """Return the chain as another process has it."""
    task = quick(Counted(), success_cooldown=HOUR)
    chain = make(task).chain
    trouble = ProblemReporter(chain, backend, backend.clock)
    return make(task, backend=backend, trouble=trouble)


def turn(thread: RunnerThread) -> None:
    """Go round once, as the thread does it, and do not sleep afterwards."""
    try:
        thread.loop.tick()
    except Exception as exc:
        thread.loop.break_down(exc)


def broken(thread: RunnerThread, problem: Exception | None) -> None:
    """Have it find out that it cannot run, or can."""
    thread.ownership.error = problem  # type: ignore[attr-defined]
    turn(thread)


def test_told_once(told: list[str]) -> None:
    """One of the processes tells it, with what is wrong, and tells the end of it."""
    backend = MemoryBackend(clock := FakeClock())
    threads = [process(backend) for _ in range(3)]
    for _ in range(5):
        for thread in threads:
            broken(thread, PermissionError(13, "Permission denied"))
        clock.advance(10)

    assert told == ["The chain cannot run: [Errno 13] Permission denied"]
    for thread in threads:
        broken(thread, None)
        thread.check()
        turn(thread)
    assert told[1:] == ["healed"]


def test_healed_in_a_cooldown(told: list[str]) -> None:
    """That it runs again is told at once, though its next run is hours away."""
    backend = MemoryBackend(clock := FakeClock())
    thread = process(backend)
    turn(thread)
    thread.loop.release()
    broken(thread, OSError("no"))
    clock.advance(10)
    broken(thread, None)

    assert told == ["The chain cannot run: no", "healed"]


def test_still_down(told: list[str]) -> None:
    """While it lasts it is counted each minute; a new problem is told at once."""
    backend = MemoryBackend(clock := FakeClock())
    thread = process(backend)
    for _ in range(5):
        broken(thread, OSError("one"))
        clock.advance(30)
    broken(thread, OSError("two"))

    assert [text.rpartition(" ")[2] for text in told] == ["one", "one", "one", "two"]


def test_healed_by_a_restart(told: list[str]) -> None:
    """What a process before told is ended by the next one whose chain runs."""
    backend = MemoryBackend(FakeClock())
    before = process(backend)
    broken(before, OSError("no"))
    before.loop.trouble._told[0].die()  # type: ignore[attr-defined,index]

    for _ in range(2):
        thread = process(backend)
        thread.loop.tick()
        thread.loop.release()

    assert told[1:] == ["healed"]


def test_healed_after_who_told_it(told: list[str]) -> None:
    """A process whose chain runs ends what one that has ended meanwhile told."""
    backend = MemoryBackend(clock := FakeClock())
    owner, other = process(backend), process(backend)
    turn(owner)
    broken(other, OSError("no"))
    clock.advance(60)
    turn(owner)
    assert told == ["The chain cannot run: no"]

    other.ask_to_stop()
    other.run()
    clock.advance(60)
    turn(owner)
    assert told[1:] == ["healed"]

    clock.advance(60)
    turn(owner)
    assert told[2:] == []


def test_left_to_another_process(told: list[str]) -> None:
    """Stopped while it cannot run, a chain leaves it to other processes to tell."""
    backend = MemoryBackend(clock := FakeClock())
    stopped, other = process(backend), process(backend)
    broken(stopped, OSError("no"))
    broken(other, OSError("no"))
    stopped.ask_to_stop()
    stopped.run()
    clock.advance(60)
    broken(other, OSError("no"))
    assert told == 2 * ["The chain cannot run: no"]

    clock.advance(60)
    broken(other, None)
    assert told[2:] == ["healed"]


def test_nothing_to_tell(told: list[str]) -> None:
    """A chain that always ran leaves nothing behind but its own."""
    backend = MemoryBackend(FakeClock())
    process(backend).loop.tick()

    assert told == []
    down = replace(make(Counted()).chain, name="chain.down")
    assert backend.store(down).load() == {}


def test_where_nothing_can_be_told(
    told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the files of the report cannot be used either, the log has it, once."""
    backend = MemoryBackend(clock := FakeClock())
    thread = process(backend)

    def refuse(*_: Any) -> None:
        raise OSError("read-only")

    monkeypatch.setattr("yourlabs.runner.testing.MemoryOwnership.acquire", refuse)
    with log() as kept:
        for _ in range(3):
            turn(thread)
            clock.advance(60)

    assert told == []
    assert kept.actions().count("chain_broken") == 1


@pytest.mark.parametrize("kind", [ValueError, SystemExit])
def test_channel_that_raises(
    monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]
) -> None:
    """A channel that raises is told of in the log, and another process tells it."""
    channel = Channel()

    def refuse(down: Any) -> None:
        raise kind("not set up")

    backend = MemoryBackend(FakeClock())
    with monkeypatch.context() as patch, log() as kept:
        patch.setattr(channel, "chain_started", refuse)
        patch.setattr(chain_down, "connected", [channel])
        broken(process(backend), OSError("no"))
    assert kept.actions() == ["trouble_untold", "chain_broken"]
    monkeypatch.setattr(chain_down, "connected", [channel])
    broken(process(backend), OSError("no"))

    assert channel.told == ["The chain cannot run: no"]


class OneAtATime(MemoryStore):
    """Notes whether two threads save at once."""

    overlaps = False

    def save(self, claim: Claim, sections: Mapping[str, Any]) -> None:
        if not self.mutex.acquire(blocking=False):
            self.overlaps = True
            return
        with self.mutex:
            time.sleep(0.002)
            super().save(claim, sections)
        self.mutex.release()


def test_kept_by_several_threads() -> None:
    """The chain's thread and those of the channels write one after the other."""
    store = OneAtATime()
    claim = MemoryBackend(FakeClock()).ownership(make(Counted()).chain).acquire()
    assert claim is not None
    sections = _Sections(store, claim, {})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: sections.put(str(number), number), range(20)))

    assert not store.overlaps


def test_owner_without_a_sign_of_life(told: list[str]) -> None:
    """Who stands by behind an owner that seems to be dead tells it."""
    backend = MemoryBackend(FakeClock())
    owner, thread = process(backend), process(backend)
    owner.loop.tick()
    thread.loop.tick()
    thread.ownership.silent = "It is frozen."  # type: ignore[attr-defined]
    thread.check()
    thread.loop.tick()
    assert told == ["The chain cannot run: It is frozen."]

    thread.ownership.silent = None  # type: ignore[attr-defined]
    thread.check()
    thread.loop.tick()
    assert told[1:] == ["healed"]


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
