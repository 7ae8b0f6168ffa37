"""What users test their tasks with: chains that run without waiting."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone

import pytest

from yourlabs.runner import task
from yourlabs.runner.exceptions import InvalidTask, TaskNotFound
from yourlabs.runner.tasks import divide_by_zero, divide_by_zero_sometimes
from yourlabs.runner.testing import FakeClock, eager_chain

DAY = 86_400.0


def test_clock() -> None:
    """The clock stands still until it is moved; it can be set back without moving."""
    clock = FakeClock(1_000.0)
    began = clock.monotonic()
    assert (clock.time(), clock.monotonic()) == (1_000.0, began)
    clock.advance(2.5)
    clock.set_back(100)

    assert (clock.time(), clock.monotonic()) == (902.5, began + 2.5)


def test_runs() -> None:
    """A chain runs its functions in order; the clock passes the cooldowns."""
    calls: list[str] = []

    @task(success_cooldown=timedelta(hours=12), name="one")
    def one() -> None:
        calls.append("one")

    @task(success_cooldown=60, name="two")
    def two() -> None:
        calls.append("two")

    began = time.monotonic()
    with eager_chain([one, two]) as chain:
        started = chain.clock.monotonic()
        chain.run()
        assert (calls, chain.cooldown) == (["one"], 43_200.0)
        chain.run(3)
        assert calls == ["one", "two", "one", "two"]
        assert chain.clock.monotonic() - started == 2 * 43_200.0 + 60.0
        assert (chain.runs, chain.failures, chain.reports) == (4, [], [])
    assert time.monotonic() - began < 5


def test_reports() -> None:
    """The reports are those that the admins would get, by the chain's own clock."""
    with eager_chain([divide_by_zero]) as chain:
        chain.run(12)

    assert len(chain.failures) == 12
    assert chain.failures[0].exception_type == "builtins.ZeroDivisionError"
    assert [failure.consecutive for failure in chain.failures] == list(range(1, 13))
    subjects = [report.subject for report in chain.reports]
    assert subjects[0] == "[divide_by_zero] First exception caught: division by zero"
    assert subjects[1:] == [
        "[divide_by_zero] Non recoverable downtime reached",
        "[divide_by_zero] Non recoverable downtime reached again",
        "[divide_by_zero] Non recoverable downtime reached again",
    ]
    assert "ZeroDivisionError: division by zero" in chain.reports[0].body


def test_recovery() -> None:
    """What fails and works again is told once each; a weekend takes no time."""
    fails = [True]

    @task(fail_cooldown=600, success_cooldown=600, name="flaky")
    def flaky() -> None:
        if fails[0]:
            raise OSError("the shelf is empty")

    clock = FakeClock(datetime(2026, 11, 28, tzinfo=timezone.utc).timestamp())
    with eager_chain([flaky], clock=clock) as chain:
        chain.run(int(2 * DAY / 600) + 1)
        fails.clear()
        fails.append(False)
        chain.run()

    [recovery] = chain.recoveries
    assert recovery.failures == 289
    assert recovery.downtime == timedelta(days=2, minutes=10)
    assert len(chain.reports) == 1 + 4 + 1
    assert chain.reports[-1].subject == "[flaky] Process healed"


def test_other_chains_do_not_count() -> None:
    """What another chain does meanwhile is not this one's."""
    with (
        eager_chain([divide_by_zero_sometimes]) as one,
        eager_chain([divide_by_zero]) as two,
    ):
        two.run()
        assert (one.runs, one.failures) == (0, [])
    assert (two.runs, len(two.failures)) == (1, 1)


def test_nothing_is_left() -> None:
    """The chain has no thread, and what comes after the block is not heard."""
    with eager_chain([divide_by_zero]) as chain:
        chain.run(2)
        # The mails to the admins have one, as they do in a site.
        assert {"divide_by_zero"}.isdisjoint(
            thread.name for thread in threading.enumerate()
        )
    with eager_chain([divide_by_zero]) as other:
        other.run()

    assert (chain.runs, other.runs) == (2, 1)


def test_wrong_functions() -> None:
    """What cannot be a chain is refused as by `start_chain`."""
    with pytest.raises(TaskNotFound), eager_chain(["nowhere.at_all"]):
        pass
    with pytest.raises(InvalidTask), eager_chain([]):
        pass
