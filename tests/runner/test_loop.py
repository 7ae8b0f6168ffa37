"""One iteration of a chain's loop after the other: without threads, with a clock."""

from __future__ import annotations

import itertools
import json
import math
from datetime import timedelta
from typing import Any

import pytest

from tests.runner.failing import FAILING
from tests.runner.fakes import Counted, log, make, quick, received
from yourlabs.runner import RunnerThread, Task
from yourlabs.runner.chain.cannot_run import ProblemReporter
from yourlabs.runner.ownership.record import COMMAND, Identity, Mode, RunMark
from yourlabs.runner.testing import FakeClock, MemoryBackend, MemoryClaim, MemoryStore

HOUR = 3_600.0
DAY = 86_400.0


@pytest.fixture
def clock() -> FakeClock:
    """The time of this test."""
    return FakeClock()


@pytest.fixture
def backend(clock: FakeClock) -> MemoryBackend:
    """What all processes of this test have in common."""
    return MemoryBackend(clock)


def noting(calls: list[str], name: str, **options: Any) -> Task:
    """Return a task that notes its name when it is called."""
    return quick(lambda: calls.append(name), name=name, **options)


def failing(name: str = "fails", **options: Any) -> Task:
    """Return a task that raises."""

    def fail() -> None:
        raise ValueError("no")

    return quick(fail, name=name, **options)


def tick(thread: RunnerThread, clock: FakeClock, times: int = 1) -> float:
    """Go round; return in how many seconds it wants to do so again."""
    for _ in range(times):
        deadline = thread.loop.tick()
    return deadline - clock.monotonic()


def claim_of(thread: RunnerThread) -> MemoryClaim:
    """Return what makes `thread` the owner."""
    claim = thread.loop.claim
    assert isinstance(claim, MemoryClaim)
    return claim


def document(backend: MemoryBackend) -> dict[str, Any]:
    """Return what a next owner would read."""
    return backend.store(make(quick(Counted())).chain).load()


def killed(thread: RunnerThread) -> None:
    """Have the process of `thread` end without a word."""
    claim_of(thread).die()


def interrupted(thread: RunnerThread, index: int = 0, **changes: Any) -> None:
    """Have the process of `thread` end inside a run of one of its tasks."""
    thread.loop.tick()
    clock = thread.loop.clock
    path = thread.chain.paths[index]
    claim_of(thread).mark(RunMark(path, clock.time(), index))
    killed(thread)


# Rounds.


def test_order(backend: MemoryBackend, clock: FakeClock) -> None:
    """The tasks run in order, again and again; a failure does not end the pass."""
    calls: list[str] = []
    thread = make(noting(calls, "a"), failing(), noting(calls, "b"), backend=backend)

    tick(thread, clock, 6)

    assert calls == ["a", "b", "a", "b"]


def test_everything_that_can_be_raised(
    backend: MemoryBackend, clock: FakeClock
) -> None:
    """A chain of all exceptions and a healthy task completes three passes."""
    healthy = Counted()
    tasks = [quick(func, name=name) for name, func in FAILING.items()]
    thread = make(*tasks, quick(healthy), backend=backend)

    tick(thread, clock, 3 * (len(tasks) + 1))

    assert healthy.calls == 3


def test_function_that_comes_twice(backend: MemoryBackend, clock: FakeClock) -> None:
    """It is down once, however often it comes in the chain."""
    calls: list[int] = []

    def fails_at_first() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("no")

    task = quick(fails_at_first)
    with received("task_failed", "task_recovered") as told:
        thread = make(task, task, backend=backend)
        tick(thread, clock, 2)

    assert [name for name, *_ in told] == ["task_failed", "task_recovered"]
    assert len(thread.status().tasks) == 1


def test_more(backend: MemoryBackend, clock: FakeClock) -> None:
    """A task that returns True runs again at once, before the next."""
    calls: list[str] = []

    def three() -> bool:
        calls.append("more")
        return calls.count("more") % 3 != 0

    thread = make(
        quick(three, success_cooldown=60), noting(calls, "b"), backend=backend
    )

    waits = [tick(thread, clock) for _ in range(3)]

    assert calls == ["more"] * 3
    assert waits == [0, 0, 60]


@pytest.mark.parametrize(
    ("options", "fails", "expected"),
    [
        ({"success_cooldown": timedelta(days=1, minutes=1)}, False, 86_460),
        ({"fail_cooldown": timedelta(days=1, minutes=1)}, True, 86_460),
        ({"success_cooldown": 2.5}, False, 2.5),
        ({"success_cooldown": timedelta.max}, False, timedelta.max.total_seconds()),
    ],
    ids=["success", "failure", "seconds", "longest"],
)
def test_cooldown(
    backend: MemoryBackend,
    clock: FakeClock,
    options: dict[str, Any],
    fails: bool,
    expected: float,
) -> None:
    """A cooldown is as long as the task says, and is logged to the second."""
    task = failing(**options) if fails else quick(Counted(), name="fails", **options)
    thread = make(task, backend=backend)

    with log() as kept:
        assert tick(thread, clock) == pytest.approx(expected)

    assert f"[fails] Sleeping {expected:.15g} seconds" in kept.texts()
    assert thread.status().state == "cooling down"
    assert thread.status().next_run is not None


def test_cooldown_is_served(backend: MemoryBackend, clock: FakeClock) -> None:
    """No run begins before the cooldown is over, whatever ends the sleep."""
    counted = Counted()
    thread = make(quick(counted, success_cooldown=10), backend=backend)
    tick(thread, clock)

    clock.advance(9.9)
    clock.set_back(-DAY)
    assert tick(thread, clock) == pytest.approx(0.1)
    assert counted.calls == 1

    clock.advance(0.1)
    tick(thread, clock)
    assert counted.calls == 2


@pytest.mark.parametrize(
    ("seconds", "text"), [(1, "1"), (0.25, "0.25"), (timedelta(days=20), "1728000")]
)
def test_cooldown_log(
    backend: MemoryBackend, clock: FakeClock, seconds: Any, text: str
) -> None:
    """The log says how long a chain sleeps, without an exponent."""
    thread = make(quick(Counted(), success_cooldown=seconds), backend=backend)

    with log() as kept:
        tick(thread, clock)

    assert kept.texts()[-1] == f"[quick] Sleeping {text} seconds"


def test_wake(backend: MemoryBackend, clock: FakeClock) -> None:
    """Woken up, a chain goes on at once with its next task, and only once."""
    calls: list[str] = []
    thread = make(
        noting(calls, "a", success_cooldown=HOUR),
        noting(calls, "b", success_cooldown=HOUR),
        backend=backend,
    )
    tick(thread, clock)
    thread.wake()

    assert tick(thread, clock, 2) == HOUR
    assert calls == ["a", "b"]


def test_wake_while_running(backend: MemoryBackend, clock: FakeClock) -> None:
    """Woken up while a task runs, the cooldown after it is skipped, also after more."""
    results = iter([True, False, False])
    thread: RunnerThread

    def wake() -> bool:
        result = next(results)
        if result:
            thread.wake()
        return result

    thread = make(quick(wake, success_cooldown=HOUR), backend=backend)

    assert tick(thread, clock, 2) == HOUR
    assert tick(thread, clock) == HOUR
    assert next(results, None) is None


def test_wake_before_no_cooldown(backend: MemoryBackend, clock: FakeClock) -> None:
    """A wake that has nothing to end ends no later cooldown."""
    calls: list[str] = []
    thread: RunnerThread

    def wake() -> None:
        thread.wake()

    thread = make(
        quick(wake), noting(calls, "b", success_cooldown=HOUR), backend=backend
    )

    assert tick(thread, clock, 3) == HOUR
    assert calls == ["b"]


def test_run_marks(backend: MemoryBackend, clock: FakeClock) -> None:
    """Each run is marked before it begins; the mark goes when the chain rests."""
    seen: list[RunMark | None] = []
    thread: RunnerThread

    def look() -> None:
        owner = thread.ownership.owner()
        seen.append(None if owner is None else owner.run)

    thread = make(quick(look, success_cooldown=HOUR), backend=backend)
    tick(thread, clock)
    look()

    assert seen == [RunMark(thread.chain.paths[0], clock.time(), 0), None]


def test_rest_of_a_busy_chain(backend: MemoryBackend, clock: FakeClock) -> None:
    """A hosted chain without cooldowns leaves time to its host; a command does not."""

    def work() -> None:
        sum(range(200_000))

    hosted = make(quick(work), backend=backend)
    command = make(quick(work), backend=backend, name="own", mode=Mode.COMMAND)

    assert 0 < tick(hosted, clock) <= 1
    assert tick(command, clock) == 0
    owner = hosted.ownership.owner()
    assert owner is not None
    assert owner.run is None


def test_started_though_the_state_cannot_be_read(
    backend: MemoryBackend, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who starts a command has its functions run, if not at the first try."""
    counted = Counted()
    resting = quick(counted, success_cooldown=HOUR)
    before = make(resting, backend=backend)
    tick(before, clock)
    before.loop.release()
    thread = make(resting, backend=backend, mode=Mode.COMMAND)

    def refuse(store: MemoryStore) -> Any:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryStore, "load", refuse)
        thread._iterate()
    clock.advance(1)

    assert tick(thread, clock) == HOUR
    assert counted.calls == 2
    assert thread.is_new_start


# With --once.


def test_once(backend: MemoryBackend, clock: FakeClock) -> None:
    """With `once` every task runs once, without cooldowns, and the thread ends."""
    calls: list[str] = []
    thread = make(
        noting(calls, "a", success_cooldown=HOUR),
        failing(fail_cooldown=HOUR),
        noting(calls, "b"),
        backend=backend,
        mode=Mode.ONCE,
    )

    assert tick(thread, clock, 2) <= 0
    assert not thread.is_ending()
    tick(thread, clock)

    assert calls == ["a", "b"]
    assert thread.is_ending()
    assert thread.loop.failed


def test_once_keeps_the_plan(backend: MemoryBackend, clock: FakeClock) -> None:
    """What the owner before had planned stands after a single pass."""
    resting = quick(Counted(), success_cooldown=12 * HOUR)
    owner = make(resting, backend=backend)
    tick(owner, clock)
    owner.loop.release()
    once = make(resting, backend=backend, mode=Mode.ONCE)
    tick(once, clock)
    once.loop.release()

    assert tick(make(resting, backend=backend), clock) == 12 * HOUR


def test_once_without_its_claim(backend: MemoryBackend, clock: FakeClock) -> None:
    """Who is to run each function once does not begin anew, and has failed."""
    counted = Counted()
    thread = make(quick(counted), quick(counted), backend=backend, mode=Mode.ONCE)
    tick(thread, clock)
    killed(thread)
    tick(thread, clock)

    assert thread.is_ending()
    assert thread.loop.failed
    assert counted.calls == 1


# Standing by, and letting go.


def test_standby(backend: MemoryBackend, clock: FakeClock) -> None:
    """A chain that another process owns waits, and runs when it can be had."""
    counted = Counted()
    owner = make(quick(counted, success_cooldown=1), backend=backend)
    tick(owner, clock)
    thread = make(quick(counted), backend=backend)

    assert tick(thread, clock) == math.inf
    assert thread.stands_by()
    thread.check()
    assert tick(thread, clock) == math.inf
    killed(owner)
    thread.check()
    tick(thread, clock)

    assert counted.calls == 2


def test_yield(backend: MemoryBackend, clock: FakeClock) -> None:
    """A hosted chain yields to who asks, stands by, and comes back."""
    counted = Counted()
    task = quick(counted, success_cooldown=HOUR)
    hosted = make(task, backend=backend)
    command = make(task, backend=backend, mode=Mode.COMMAND)
    tick(hosted, clock)

    with command.ownership.request():
        hosted.check()
        tick(hosted, clock, 2)
        assert hosted.stands_by()
        tick(command, clock)
    hosted.check()
    assert not hosted.is_ending()
    assert tick(hosted, clock) == math.inf
    command.loop.release()
    hosted.check()

    assert tick(hosted, clock) == HOUR
    assert counted.calls == 2


def test_yield_that_nobody_wants_any_more(
    backend: MemoryBackend, clock: FakeClock
) -> None:
    """An owner whose candidate has given up meanwhile goes on, in its cooldown."""
    thread = make(quick(Counted(), success_cooldown=HOUR), backend=backend)
    other = make(quick(Counted()), backend=backend, mode=Mode.COMMAND)
    tick(thread, clock)
    with other.ownership.request():
        thread.check()

    assert tick(thread, clock) == HOUR
    assert not thread.stands_by()


def test_frozen_candidate(backend: MemoryBackend, clock: FakeClock) -> None:
    """An owner that yields to a candidate that is frozen takes the chain back."""
    counted = Counted()
    thread = make(
        quick(counted, success_cooldown=1), backend=backend, mode=Mode.COMMAND
    )
    frozen = make(quick(Counted()), backend=backend, mode=Mode.COMMAND)
    tick(thread, clock)
    with frozen.ownership.request():
        for _ in range(10):
            thread.check()
            tick(thread, clock)
            clock.advance(1)

        assert not thread.is_ending()
        assert counted.calls > 1
        thread.check()
        assert tick(thread, clock) < math.inf


@pytest.mark.parametrize("mode", [Mode.COMMAND, Mode.ONCE])
def test_command_that_yields(
    backend: MemoryBackend, clock: FakeClock, mode: Mode
) -> None:
    """It ends when it sees the next owner, and not before; with `once` as failed."""
    counted = Counted()
    old = make(quick(counted), quick(counted), backend=backend, mode=mode)
    new = make(quick(Counted()), quick(Counted()), backend=backend, mode=Mode.COMMAND)
    new.chain = new.loop.chain = old.chain
    tick(old, clock)

    with new.ownership.request():
        old.check()
        tick(old, clock, 2)
        old.check()
        assert not old.is_ending()
        # The record is of the same chain: only its functions count.
        new.ownership._chain = old.chain  # type: ignore[attr-defined]
        tick(new, clock)
        old.check()

    assert old.is_ending()
    assert old.loop.failed == (mode is Mode.ONCE)
    assert counted.calls == 1


def test_command_that_yields_to_one_that_has_ended(
    backend: MemoryBackend, clock: FakeClock
) -> None:
    """It ends as well where the next owner has ended before it could look."""
    counted = Counted()
    old = make(quick(counted), backend=backend, mode=Mode.COMMAND)
    new = make(quick(Counted()), backend=backend, mode=Mode.COMMAND)
    tick(old, clock)
    with new.ownership.request():
        old.check()
        tick(old, clock)
        tick(new, clock)
        new.loop.release()

    tick(old, clock)

    assert old.is_ending()
    assert counted.calls == 1


def test_command_that_lends(backend: MemoryBackend, clock: FakeClock) -> None:
    """A command that yields to a single pass takes the chain back."""
    resting = quick(Counted(), success_cooldown=HOUR)
    owner = make(resting, backend=backend, mode=Mode.COMMAND)
    once = make(resting, backend=backend, mode=Mode.ONCE)
    tick(owner, clock)

    with once.ownership.request():
        owner.check()
        tick(owner, clock, 2)
        tick(once, clock)
    owner.check()
    assert not owner.is_ending()
    once.loop.release()
    owner.check()

    assert tick(owner, clock) == HOUR
    assert not owner.stands_by()


@pytest.mark.parametrize("looks", [True, False], ids=["looks", "misses it"])
def test_lender_goes_first(
    backend: MemoryBackend, clock: FakeClock, *, looks: bool
) -> None:
    """
    Who stands by leaves a chain that is given back to the command that lent it.

    Also when the single pass was over before the stand-by looked again.
    """
    resting = quick(Counted(), success_cooldown=HOUR)
    owner = make(resting, backend=backend, mode=Mode.COMMAND)
    once = make(resting, backend=backend, mode=Mode.ONCE)
    hosted = make(resting, backend=backend)
    tick(owner, clock)
    tick(hosted, clock)
    hosted.check()
    with once.ownership.request():
        owner.check()
        tick(owner, clock, 2)
        tick(once, clock)
        if looks:
            hosted.check()
    once.loop.release()
    hosted.check()
    assert hosted.stands_by()
    clock.advance(0.05)
    owner.check()
    hosted.check()

    assert tick(owner, clock) <= HOUR
    assert not owner.stands_by()
    assert not owner.is_ending()
    assert hosted.stands_by()


def test_lender_that_is_gone(backend: MemoryBackend, clock: FakeClock) -> None:
    """Where nobody takes it back, who stands by does, after five seconds."""
    resting = quick(Counted(), success_cooldown=HOUR)
    once = make(resting, resting, backend=backend, mode=Mode.ONCE)
    hosted = make(resting, resting, backend=backend)
    tick(once, clock)
    tick(hosted, clock)
    hosted.check()
    once.loop.release()
    hosted.check()
    tick(hosted, clock)
    assert hosted.stands_by()
    clock.advance(5)
    hosted.check()
    tick(hosted, clock)

    assert not hosted.stands_by()


def test_command_that_lends_for_long(backend: MemoryBackend, clock: FakeClock) -> None:
    """It looks often for the end of a single pass, however long that takes."""
    resting = quick(Counted(), success_cooldown=HOUR)
    owner = make(resting, backend=backend, mode=Mode.COMMAND)
    once = make(resting, backend=backend, mode=Mode.ONCE)
    tick(owner, clock)
    with once.ownership.request():
        owner.check()
        tick(owner, clock, 2)
        tick(once, clock)
    for _ in range(20):
        assert 0 < tick(owner, clock) < 0.1
        clock.advance(1)


def test_command_that_lends_twice(backend: MemoryBackend, clock: FakeClock) -> None:
    """It takes the chain back after a second single pass, which it was not asked by."""
    resting = quick(Counted(), success_cooldown=HOUR)
    owner = make(resting, backend=backend, mode=Mode.COMMAND)
    first = make(resting, backend=backend, mode=Mode.ONCE)
    second = make(resting, backend=backend, mode=Mode.ONCE)
    second.ownership._identity = Identity(  # type: ignore[attr-defined]
        1, None, "", 0, "memory", COMMAND
    )
    tick(owner, clock)

    with first.ownership.request():
        owner.check()
        tick(owner, clock, 2)
        tick(first, clock)
    first.loop.release()
    tick(second, clock)
    owner.check()
    assert not owner.is_ending()
    second.loop.release()
    owner.check()

    assert tick(owner, clock) == HOUR
    assert not owner.stands_by()


def test_single_pass_that_is_asked_to_yield(
    backend: MemoryBackend, clock: FakeClock
) -> None:
    """It goes on where it was when it gets the chain back, and runs nothing twice."""
    calls: list[str] = []
    tasks = noting(calls, "a"), noting(calls, "b")
    once = make(*tasks, backend=backend, mode=Mode.ONCE)
    other = make(*tasks, backend=backend, mode=Mode.ONCE)
    tick(once, clock)
    with other.ownership.request():
        once.check()
        tick(once, clock)
    once.check()
    tick(once, clock)

    assert calls == ["a", "b"]
    assert once.is_ending()
    assert not once.loop.failed


# A claim that is lost, and other breakdowns.


def test_lost(backend: MemoryBackend, clock: FakeClock) -> None:
    """A chain whose claim is lost says so, writes nothing, and begins anew."""
    counted = Counted()
    thread = make(quick(counted, success_cooldown=HOUR), backend=backend)
    tick(thread, clock)
    before = json.dumps(document(backend))
    killed(thread)
    thread.state.put("other", 1, now=True)

    with log() as kept, received("chain_stopped") as told:
        tick(thread, clock)

    assert kept.actions() == ["ownership_lost"]
    assert len(told) == 1
    assert json.dumps(document(backend)) == before
    tick(thread, clock)
    assert claim_of(thread).token == 2


def test_lost_in_a_run(backend: MemoryBackend, clock: FakeClock) -> None:
    """The cooldown after a run is served, though the claim was lost in it."""
    thread: RunnerThread

    def lose() -> None:
        counted()
        if counted.calls == 1:
            # As when the pidfile is removed: the record is gone with it.
            killed(thread)
            thread.ownership._kept.record = None  # type: ignore[attr-defined]

    counted = Counted()
    thread = make(quick(lose, success_cooldown=HOUR), backend=backend)

    tick(thread, clock, 2)
    assert tick(thread, clock) == HOUR
    assert counted.calls == 1


def test_lost_long_ago(backend: MemoryBackend, clock: FakeClock) -> None:
    """What was next when the claim was lost counts for the next claim alone."""
    first, second = Counted(), Counted()
    tasks = quick(first, success_cooldown=HOUR), quick(second, success_cooldown=60)
    thread = make(*tasks, backend=backend)
    tick(thread, clock)
    killed(thread)
    tick(thread, clock, 2)
    thread.wake()
    assert tick(thread, clock) == 60

    thread.loop.release()
    assert tick(thread, clock) == 60


class Broken(BaseException):
    """Nothing that anybody catches, and that says nothing."""


@pytest.mark.parametrize("exc", [OSError(28, "No space left"), Broken()], ids=type)
def test_breakdown(
    backend: MemoryBackend,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    exc: BaseException,
) -> None:
    """What breaks down in the machinery is told, and the chain begins anew later."""
    counted = Counted()
    thread = make(quick(counted), backend=backend)

    def fail(run: Any) -> None:
        raise exc

    with monkeypatch.context() as patch, log() as kept:
        patch.setattr(MemoryClaim, "mark", lambda self, run: fail(run))
        for _ in range(3):
            thread._iterate()
            clock.advance(60)

    assert kept.actions().count("chain_broken") == 1
    assert thread.reason
    assert counted.calls == 0
    thread._iterate()
    assert counted.calls == 1
    assert thread.reason == ""


def test_backoff(backend: MemoryBackend, clock: FakeClock) -> None:
    """The wait after a breakdown doubles up to ten seconds, and a wake ends it."""
    thread = make(quick(Counted()), backend=backend)
    waits = []
    for _ in range(6):
        thread.loop.break_down(OSError("no"))
        waits.append(tick(thread, clock))
        clock.advance(60)

    assert waits == [1, 2, 4, 8, 10, 10]
    thread.loop.break_down(OSError("no"))
    thread.wake()
    assert tick(thread, clock) < 1


def test_once_that_breaks_down(backend: MemoryBackend, clock: FakeClock) -> None:
    """A single pass that breaks down has failed, and is not begun anew."""
    thread = make(quick(Counted()), backend=backend, mode=Mode.ONCE)
    thread.loop.break_down(OSError("no"))

    assert thread.is_ending()
    assert thread.loop.failed


def test_trouble_of_a_standby(backend: MemoryBackend, clock: FakeClock) -> None:
    """What keeps a chain that stands by from trying is told once, until it ends."""
    owner = make(quick(Counted()), backend=backend)
    tick(owner, clock)
    thread = make(quick(Counted()), backend=backend)
    tick(thread, clock)
    with log() as kept:
        thread.ownership.error = OSError(13, "Permission denied")  # type: ignore[attr-defined]
        thread.check()
        thread.loop._stand_by(0.0)
        thread.check()
        thread.loop._stand_by(0.0)
        assert "Permission denied" in thread.reason
        thread.ownership.error = None  # type: ignore[attr-defined]
        thread.ownership.silent = "frozen"  # type: ignore[attr-defined]
        thread.check()
        tick(thread, clock)
        thread.check()
        tick(thread, clock)

    assert kept.actions() == ["chain_broken"] * 2
    thread.ownership.silent = None  # type: ignore[attr-defined]
    thread.check()
    tick(thread, clock)
    assert thread.reason == ""


def test_other_functions(backend: MemoryBackend, clock: FakeClock) -> None:
    """A chain that stands by behind other functions of its name says so, once."""

    def other() -> None:
        """Do nothing."""

    tick(make(quick(other), backend=backend), clock)
    thread = make(quick(Counted()), backend=backend)
    tick(thread, clock)

    with log() as kept:
        thread.check()
        tick(thread, clock)
        thread.check()
        tick(thread, clock)

    assert kept.actions() == ["chain_broken"]
    assert "The name chain is taken" in thread.reason


# What the next owner knows.


def heir_of(thread: RunnerThread, *tasks: Task, **options: Any) -> RunnerThread:
    """Return the next owner, in another process, after `thread` has let go."""
    thread.loop.release()
    kept = thread.ownership._kept  # type: ignore[attr-defined]
    backend = MemoryBackend(thread.loop.clock)
    backend._chains["chain"] = kept
    return make(*(tasks or thread.chain.tasks), backend=backend, **options)


@pytest.mark.parametrize(
    ("passed", "changes", "expected"),
    [
        (0, {}, 12 * HOUR),
        (HOUR, {}, 11 * HOUR),
        (13 * HOUR, {}, 0),
        (0, {"success_cooldown": 60, "fail_cooldown": 30}, 60),
    ],
    ids=["at once", "later", "over", "shortened"],
)
def test_cooldown_survives(
    backend: MemoryBackend,
    clock: FakeClock,
    passed: float,
    changes: dict[str, Any],
    expected: float,
) -> None:
    """A cooldown is served by the next owner, as it is now, and not begun anew."""
    counted = Counted()
    task = quick(counted, success_cooldown=12 * HOUR)
    thread = make(task, backend=backend)
    tick(thread, clock)
    heir = heir_of(thread, quick(counted, **changes) if changes else task)
    clock.advance(passed)

    if expected:
        assert tick(heir, clock) == pytest.approx(expected)
        assert counted.calls == 1
    else:
        tick(heir, clock)
        assert counted.calls == 2


@pytest.mark.parametrize("seconds", [DAY, -DAY], ids=["back", "forward"])
def test_clock_that_was_set(
    backend: MemoryBackend, clock: FakeClock, seconds: float
) -> None:
    """A clock that was set makes no cooldown of the next owner longer."""
    thread = make(quick(Counted(), success_cooldown=HOUR), backend=backend)
    tick(thread, clock)
    heir = heir_of(thread)
    clock.set_back(seconds)

    assert tick(heir, clock) <= HOUR


@pytest.mark.parametrize(
    ("cooldown", "runs", "pause", "saves"),
    [(2.0, 3, 2.0, 3), (0.1, 20, 0.1, 0), (1.0, 11, 1.0, 2)],
    ids=["long", "short", "counts"],
)
def test_when_a_cooldown_is_saved(
    backend: MemoryBackend,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    cooldown: float,
    runs: int,
    pause: float,
    saves: int,
) -> None:
    """Each long one is, when it begins; others now and then, and when it stops."""
    saved = 0
    thread = make(quick(Counted(), success_cooldown=cooldown), backend=backend)
    save = thread.state._save

    def count(claim: Any) -> None:
        nonlocal saved
        saved += 1
        save(claim)

    monkeypatch.setattr(thread.state, "_save", count)
    for _ in range(runs):
        tick(thread, clock)
        clock.advance(pause)

    assert saved == saves
    thread.loop.release()
    assert document(backend)["schedule"]["due"] == pytest.approx(
        clock.time() - pause + cooldown, abs=0.01
    )


def test_failures_are_saved_each_second(
    backend: MemoryBackend, clock: FakeClock
) -> None:
    """While a task fails, what a killed owner knew is a second old at the most."""
    thread = make(failing(fail_cooldown=0.1), backend=backend)
    for _ in range(25):
        tick(thread, clock)
        clock.advance(0.1)
    killed(thread)

    [downtime] = document(backend)["downtimes"].values()
    assert 15 <= downtime["failures"] <= 25


def test_many_failures_of_many_tasks(
    backend: MemoryBackend, clock: FakeClock, settings: Any
) -> None:
    """However much fails, in whatever alphabet, what is kept is small, and is read."""
    settings.RUNNER = {"EMAIL": False}
    runs = itertools.count()

    def fail() -> None:
        word = "".join(chr(0x430 + int(digit)) for digit in str(next(runs)))
        raise ValueError(f"{word} {'ошибка ' * 60}")

    tasks = [quick(lambda: fail(), name=f"task{number}") for number in range(125)]
    thread = make(*tasks, backend=backend)
    tick(thread, clock, 125 * 15)
    thread.loop.release()

    kept = document(backend)
    size = len(json.dumps(kept, ensure_ascii=False).encode())
    assert size < 400_000
    heir = make(*tasks, backend=backend)
    tick(heir, clock)
    assert [one.downtime.failures for one in heir.tasks[1:]] == [15] * 124


def test_saved_before_it_is_told(backend: MemoryBackend, clock: FakeClock) -> None:
    """What comes next is saved before those are called who hear of the end."""
    seen: list[Any] = []
    thread = make(quick(Counted(), success_cooldown=0.5), backend=backend)
    tick(thread, clock)

    def look(sender: Any) -> None:
        seen.append(document(backend).get("schedule"))

    from yourlabs.runner import chain_stopped

    with chain_stopped.connected_to(look):
        thread.loop.release()

    assert seen[0] is not None


def test_woken_before_it_begins(backend: MemoryBackend, clock: FakeClock) -> None:
    """A chain that is woken when it is started runs at once, whatever is due."""
    counted = Counted()
    before = make(quick(counted, success_cooldown=HOUR), backend=backend)
    tick(before, clock)
    before.loop.release()
    thread = make(quick(counted, success_cooldown=HOUR), backend=backend)
    thread.wake()
    tick(thread, clock)

    assert counted.calls == 2


def test_woken_while_it_stands_by(backend: MemoryBackend, clock: FakeClock) -> None:
    """It has no cooldown to end, and cuts none when it is its turn."""
    counted = Counted()
    before = make(quick(counted, success_cooldown=HOUR), backend=backend)
    tick(before, clock)
    thread = make(quick(counted, success_cooldown=HOUR), backend=backend)
    tick(thread, clock)
    thread.wake()
    tick(thread, clock)
    before.loop.release()
    thread.check()

    assert tick(thread, clock) == HOUR
    assert counted.calls == 1


def test_killed_while_it_is_told(backend: MemoryBackend, clock: FakeClock) -> None:
    """A kill while the admins are told that the chain runs again interrupts no run."""
    told = []

    class Teller(ProblemReporter):
        def clear(self) -> None:
            record = thread.ownership.owner()
            told.append(record is not None and record.run)

    chain = make(quick(Counted())).chain
    thread = make(
        quick(Counted(), success_cooldown=HOUR),
        backend=backend,
        trouble=Teller(chain),
    )
    tick(thread, clock, 2)

    assert told == [None, None]


def test_woken_and_stopped(backend: MemoryBackend, clock: FakeClock) -> None:
    """A chain that was woken, and stopped before it ran, is due for the next owner."""
    counted = Counted()
    thread = make(quick(counted, success_cooldown=HOUR), backend=backend)
    tick(thread, clock)
    thread.wake()
    thread.loop.stop_asked = True
    tick(thread, clock)
    tick(heir_of(thread), clock)

    assert counted.calls == 2


def test_reordered_chain(backend: MemoryBackend, clock: FakeClock) -> None:
    """A chain that was reordered goes on with the task that was next."""
    calls: list[str] = []
    a, b, c = (noting(calls, name, success_cooldown=HOUR) for name in "abc")
    thread = make(a, b, c, backend=backend)
    tick(thread, clock)
    heir = heir_of(thread, c, b, a)
    clock.advance(HOUR)
    tick(heir, clock)

    assert calls == ["a", "b"]


def test_person_starts_it(backend: MemoryBackend, clock: FakeClock) -> None:
    """A chain that a person starts begins at once, with its first task, once."""
    counted = Counted()
    task = quick(counted, success_cooldown=12 * HOUR)
    thread = make(task, backend=backend)
    tick(thread, clock)
    command = heir_of(thread, task, mode=Mode.COMMAND)

    assert tick(command, clock) == 12 * HOUR
    assert counted.calls == 2
    assert command.is_new_start
    killed(command)
    tick(command, clock)
    assert tick(command, clock) == 12 * HOUR
    assert not command.is_new_start


@pytest.mark.parametrize(
    ("mode", "is_cut", "expected"),
    [
        (Mode.COMMAND, False, True),
        (Mode.COMMAND, True, False),
        (Mode.HOSTED, False, False),
        (Mode.ONCE, False, False),
    ],
)
def test_new_start(
    backend: MemoryBackend, clock: FakeClock, mode: Mode, is_cut: bool, expected: bool
) -> None:
    """It is one where a person starts a chain, and nobody was killed before."""
    before = make(quick(Counted(), success_cooldown=HOUR), backend=backend)
    tick(before, clock)
    if is_cut:
        killed(before)
    thread = heir_of(before, mode=mode)
    tick(thread, clock)

    assert thread.is_new_start is expected


def test_downtime_survives(backend: MemoryBackend, clock: FakeClock) -> None:
    """A downtime goes on with the next owner, and is recovered from once."""
    results: list[str] = ["fail"]

    def sometimes() -> None:
        if results.pop(0) == "fail":
            raise ValueError("no")

    thread = make(quick(sometimes), backend=backend)
    tick(thread, clock)
    clock.advance(60)
    results += ["fail", "succeed"]
    heir = heir_of(thread)
    with received("task_failed", "task_recovered") as told:
        tick(heir, clock, 2)

    [(_, _, failed), (_, _, recovered)] = told
    assert failed["failure"].consecutive == 2
    assert failed["failure"].downtime == timedelta(seconds=60)
    assert recovered["recovery"].failures == 2


def test_downtime_that_another_owner_ended(
    backend: MemoryBackend, clock: FakeClock
) -> None:
    """A chain that is taken back knows that its task has recovered elsewhere."""
    fails = [True]

    def sometimes() -> None:
        if fails[0]:
            raise ValueError("no")

    task = quick(sometimes)
    thread = make(task, backend=backend)
    tick(thread, clock)
    thread.loop.release()
    fails[0] = False
    other = make(task, backend=backend)
    tick(other, clock)
    other.loop.release()
    with received("task_recovered") as told:
        tick(thread, clock)

    assert told == []
    assert thread.status().down_since is None


def test_state_that_is_not_ours(backend: MemoryBackend, clock: FakeClock) -> None:
    """What no owner can have written is as if there were nothing, and is said."""
    thread = make(quick(Counted(), success_cooldown=HOUR), backend=backend)
    tick(thread, clock)
    thread.state.put("schedule", [1])
    thread._store = None
    claim_of(thread)
    backend.store(thread.chain).save(
        claim_of(thread), {"schedule": [1], "downtimes": {"x": 1}}
    )
    killed(thread)
    with log() as kept:
        assert tick(make(thread.tasks[0].task, backend=backend), clock) == HOUR

    assert "downtimes_dropped" in kept.actions()


# Owners that died inside a run.


def test_interrupted(backend: MemoryBackend, clock: FakeClock) -> None:
    """It is a failure, told and saved, and its cooldown is served first."""
    counted = Counted()
    tasks = quick(counted, fail_cooldown=60, success_cooldown=1), quick(Counted())
    interrupted(make(*tasks, backend=backend))
    counted.calls = 0
    heir = make(*tasks, backend=backend)

    with received("task_failed") as told:
        assert tick(heir, clock) == 60

    [(_, _, payload)] = told
    assert payload["failure"].exception_type.endswith("Interrupted")
    assert counted.calls == 0
    [downtime] = document(backend)["downtimes"].values()
    assert downtime["interrupted"] == 1
    # The next in the chain follows, not the one that was interrupted.
    assert document(backend)["schedule"]["index"] == 1


@pytest.mark.parametrize(
    ("mode", "deaths", "expected"),
    [
        (Mode.HOSTED, 1, 60),
        (Mode.HOSTED, 3, 240),
        (Mode.COMMAND, 1, 0),
        (Mode.COMMAND, 2, 120),
        (Mode.ONCE, 3, 0),
    ],
)
def test_interrupted_again_and_again(
    backend: MemoryBackend,
    clock: FakeClock,
    mode: Mode,
    deaths: int,
    expected: float,
) -> None:
    """The wait grows; a person's start runs at once, unless it crashed twice."""
    task = quick(Counted(), fail_cooldown=60)
    thread = make(task, backend=backend)
    for _ in range(deaths):
        interrupted(thread)
        thread = make(task, backend=backend)
    thread = make(task, backend=backend, mode=mode)

    assert tick(thread, clock) == expected


def test_interruption_that_is_not_booked_yet(
    backend: MemoryBackend, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is known until it is in the state."""
    task = quick(Counted(), fail_cooldown=60)
    interrupted(make(task, backend=backend))
    heir = make(task, backend=backend)
    with monkeypatch.context() as patch:
        patch.setattr(heir.state, "open", lambda claim: 1 / 0)
        heir._iterate()
    clock.advance(10)

    assert tick(make(task, backend=backend), clock) == 60


def test_interrupted_success(backend: MemoryBackend, clock: FakeClock) -> None:
    """A run that ends well after a crash is a recovery."""
    task = quick(Counted(), fail_cooldown=60)
    interrupted(make(task, backend=backend))
    heir = make(task, backend=backend)
    tick(heir, clock)
    clock.advance(60)
    with received("task_recovered") as told:
        tick(heir, clock)

    assert len(told) == 1


# Signals of the chain.


def test_chain_signals(backend: MemoryBackend, clock: FakeClock) -> None:
    """A chain tells when it begins and ends to run here, around its runs."""
    thread = make(quick(Counted()), backend=backend)
    names = "chain_started", "task_started", "task_succeeded", "chain_stopped"
    with received(*names) as told:
        tick(thread, clock)
        thread.loop.release()

    assert [name for name, *_ in told] == list(names)
    assert told[0][1] is told[-1][1] is thread


def test_receiver_that_stops_the_chain(
    backend: MemoryBackend, clock: FakeClock
) -> None:
    """A receiver may stop the chain that it hears of: no run begins."""
    counted = Counted()
    thread = make(quick(counted), backend=backend)

    def stop(sender: RunnerThread) -> None:
        sender.stop(0)

    from yourlabs.runner import chain_started

    with chain_started.connected_to(stop):
        tick(thread, clock)

    assert counted.calls == 0


def test_ready(backend: MemoryBackend, clock: FakeClock) -> None:
    """A chain waits for its process to be set up, and then begins by itself."""
    waits = [3.0, 0.0]
    counted = Counted()
    thread = make(quick(counted), backend=backend, until_ready=lambda: waits.pop(0))

    assert tick(thread, clock) == 3
    tick(thread, clock, 2)

    assert counted.calls == 2
