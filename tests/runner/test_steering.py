"""What people want of a chain is seen by whoever runs it, and outlives each owner."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runner.fakes import Counted, log, make, quick
from yourlabs.runner.chain.thread import RunnerThread
from yourlabs.runner.notify.mail_text import Report
from yourlabs.runner.notify.notification_log import NotificationLog
from yourlabs.runner.ownership.record import Mode
from yourlabs.runner.storage.desired import Desired, Hold, desired_from_json
from yourlabs.runner.storage.file import FileStore
from yourlabs.runner.testing import FakeClock, MemoryBackend, MemoryStore

HOUR = 3_600.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def backend(clock: FakeClock) -> MemoryBackend:
    return MemoryBackend(clock)


def store_of(backend: MemoryBackend) -> MemoryStore:
    return backend._chains["chain"]


def want(thread: RunnerThread, backend: MemoryBackend, **changes: Any) -> None:
    """Want something, and have the owner see it as the watcher would."""
    store_of(backend).steer(lambda desired: {**desired, **changes})
    thread.check()


def seen(backend: MemoryBackend) -> dict[str, Any]:
    """Return what the owner says it has seen."""
    return dict(store_of(backend).load()["steer"])


PAUSE = Hold(None, "ann", "deploy")._asdict()


def test_paused_runs_nothing(backend: MemoryBackend) -> None:
    """A pause lets nothing begin, is written as seen, and ends with a resume."""
    function = Counted()
    thread = make(quick(function), backend=backend)
    thread.loop.tick()
    with log() as kept:
        want(thread, backend, paused=PAUSE)

        assert thread.loop.tick() == math.inf
        assert thread.loop.tick() == math.inf
        assert (function.calls, thread.status().state) == (1, "paused")
        assert thread.status().reason == "Paused by ann: deploy"
        assert seen(backend)["paused"] == PAUSE

        want(thread, backend, paused=None)
        thread.loop.tick()

    assert function.calls == 2
    assert seen(backend)["paused"] is None
    assert kept.actions().count("chain_paused") == 1
    assert kept.actions().count("chain_resumed") == 1


def test_pause_ends_by_itself(backend: MemoryBackend, clock: FakeClock) -> None:
    """A pause with an end is over then, whoever looks or does not."""
    function = Counted()
    thread = make(quick(function), backend=backend)
    thread.loop.tick()
    want(thread, backend, paused={**PAUSE, "until": clock.time() + 60})

    assert thread.loop.tick() == clock.monotonic() + 60
    clock.advance(60)
    thread.loop.tick()

    assert function.calls == 2


def test_pause_survives_every_owner(backend: MemoryBackend) -> None:
    """Who takes over after a kill, or is started by a person, stays paused."""
    function = Counted()
    task = quick(function)
    thread = make(task, backend=backend)
    thread.loop.tick()
    want(thread, backend, paused=PAUSE)
    thread.loop.tick()
    for mode in (Mode.HOSTED, Mode.COMMAND, Mode.HOSTED):
        claim = store_of(backend).claim
        assert claim is not None
        claim.die()
        heir = make(task, backend=backend, mode=mode)
        heir.loop.tick()
        assert heir.status().state == "paused"

    assert function.calls == 1


def test_single_pass_of_a_paused_chain(backend: MemoryBackend) -> None:
    """``--once`` does not wait for the end of a pause: it fails, and says why."""
    function = Counted()
    thread = make(quick(function), backend=backend, mode=Mode.ONCE)
    store_of(backend).steer(lambda _: {"paused": PAUSE})
    with log() as kept:
        thread.loop.tick()

    assert (function.calls, thread.loop.failed) == (0, True)
    assert "[chain] Nothing was run. Paused by ann: deploy" in kept.texts()


def test_wake_runs_once(backend: MemoryBackend, clock: FakeClock) -> None:
    """A wake ends the cooldown, once; what is seen is what was asked, with the end."""
    function = Counted()
    thread = make(quick(function, success_cooldown=HOUR), backend=backend)
    thread.loop.tick()
    want(thread, backend, wake=1)
    want(thread, backend, wake=7)
    thread.loop.tick()

    assert function.calls == 2
    assert thread.loop.tick() == clock.monotonic() + HOUR
    assert function.calls == 2
    assert (seen(backend)["wake"], seen(backend)["ran"]) == (7, 7)
    assert seen(backend)["failed"] is False


def test_outcome_of_a_wake(backend: MemoryBackend) -> None:
    """Who waits for the run learns that it failed."""

    def fail() -> None:
        raise ValueError

    thread = make(quick(fail, fail_cooldown=HOUR), backend=backend)
    thread.loop.tick()
    want(thread, backend, wake=1)
    thread.loop.tick()

    assert (seen(backend)["ran"], seen(backend)["failed"]) == (1, True)


def test_wake_without_an_owner(backend: MemoryBackend) -> None:
    """Who comes next runs at once, though a cooldown goes on; and only once."""
    function = Counted()
    task = quick(function, success_cooldown=HOUR)
    thread = make(task, backend=backend)
    thread.loop.tick()
    thread.loop.release()
    store_of(backend).steer(lambda desired: {**desired, "wake": 1})
    for _ in range(3):
        heir = make(task, backend=backend)
        heir.loop.tick()
        heir.loop.release()

    assert function.calls == 2


def test_killed_between_seeing_and_running(backend: MemoryBackend) -> None:
    """A wake that was seen is not lost with the process that saw it."""
    function = Counted()
    task = quick(function, success_cooldown=HOUR)
    thread = make(task, backend=backend)
    thread.loop.tick()
    want(thread, backend, wake=1)
    loop = thread.loop
    assert loop.plan is not None
    loop._woken(loop.plan)
    claim = store_of(backend).claim
    assert claim is not None
    claim.die()
    make(task, backend=backend).loop.tick()

    assert function.calls == 2
    assert seen(backend)["ran"] == 1


def test_wake_waits_for_the_end_of_a_pause(backend: MemoryBackend) -> None:
    """Paused is paused: what was asked before is done when it ends."""
    function = Counted()
    thread = make(quick(function, success_cooldown=HOUR), backend=backend)
    thread.loop.tick()
    want(thread, backend, wake=1, paused=PAUSE)
    thread.loop.tick()
    assert (function.calls, seen(backend)["wake"]) == (1, 0)
    want(thread, backend, paused=None)
    thread.loop.tick()

    assert function.calls == 2


@pytest.mark.parametrize(
    "broken",
    [
        {"paused": "yes"},
        {"wake": -1},
        {"wake": True},
        {"wake": 1.5},
        {"silenced": {"until": "x"}},
        {"paused": {"until": math.nan}},
        {"acts": [[1]]},
    ],
)
def test_nonsense_leaves_what_was_seen(backend: MemoryBackend, broken: Any) -> None:
    """What nobody can have wanted changes nothing, for the next owner neither."""
    task = quick(Counted())
    thread = make(task, backend=backend)
    thread.loop.tick()
    want(thread, backend, paused=PAUSE)
    thread.loop.tick()
    want(thread, backend, **broken)
    thread.loop.tick()
    assert thread.status().state == "paused"
    thread.loop.release()
    heir = make(task, backend=backend)
    heir.loop.tick()

    assert heir.status().state == "paused"


def test_torn_control_file_of_a_new_owner(tmp_path: Path) -> None:
    """Where the file cannot be read, what the last owner saw stays in force."""
    (tmp_path / "chain.json").write_text('{"version": 1, "steer": {"paused": {}}}')
    (tmp_path / "chain.control").write_text('{"version": 1, "pau')

    assert FileStore(tmp_path, "chain").desired() == {"paused": {}}


def told_of(thread: RunnerThread, clock: FakeClock) -> NotificationLog:
    """Return what a channel knows of the chain."""
    return NotificationLog(thread, "notifications.test", clock=clock.time)


def test_silence_holds_back_and_tells_once(
    backend: MemoryBackend, clock: FakeClock
) -> None:
    """While silenced nothing is told, and counted; then what is owed is told, once."""

    def fail() -> None:
        raise ValueError("boom")

    thread = make(quick(fail), backend=backend)
    thread.loop.tick()
    told = told_of(thread, clock)
    key = thread.tasks[0].key
    want(thread, backend, silenced={**PAUSE, "until": clock.time() + 600})
    for _ in range(5):
        thread.loop.tick()
        assert told.owed(key).reasons == ()
        assert isinstance(told.report(key), float)
        clock.advance(60)
    assert seen(backend)["silenced"]["by"] == "ann"
    assert store_of(backend).load()["notifications.test"]["held"] == 1
    clock.advance(600)
    report = told.report(key)
    assert isinstance(report, Report)
    told.note(key, report)

    assert told.report(key) is None
    assert store_of(backend).load()["notifications.test"]["held"] == 0


def test_recovered_while_silenced(backend: MemoryBackend, clock: FakeClock) -> None:
    """What began and ended in silence is one report after it."""
    function = Counted()
    failing = True

    def flap() -> None:
        function()
        if failing:
            raise ValueError("boom")

    thread = make(quick(flap), backend=backend)
    told = None
    store = backend.store(thread.chain)
    store.steer(lambda _: {"silenced": PAUSE})
    thread.loop.tick()
    told = told_of(thread, clock)
    key = thread.tasks[0].key
    thread.loop.tick()
    failing = False
    thread.loop.tick()
    assert not isinstance(told.report(key), Report)
    want(thread, backend, silenced=None)
    thread.loop.tick()
    report = told.report(key)

    assert isinstance(report, Report)
    assert report.reasons[0].kind.value == "healed"


TEXTS = st.text("aé Ж\n", max_size=200)
HOLDS = st.none() | st.builds(Hold, st.none() | st.floats(0, 2e11), TEXTS, TEXTS)


@given(st.builds(Desired, HOLDS, HOLDS, st.integers(0, 2**53 - 1)))
def test_round_trip(desired: Desired) -> None:
    """What is wanted is read as it was written."""
    assert desired_from_json(json.loads(json.dumps(desired.to_json()))) == desired


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.sampled_from(["paused", "silenced", "wake", "acts"]),
)
def test_whatever_is_written(value: Any, key: str) -> None:
    """Whatever stands in the file, it is a value or a ValueError."""
    for content in (value, {key: value}):
        try:
            assert asdict(desired_from_json(content))
        except ValueError:
            continue
