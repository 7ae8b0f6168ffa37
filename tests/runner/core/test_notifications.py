"""Who fails is told once; what is told adds up; and it is never too much."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yourlabs.runner.chain.task import Task
from yourlabs.runner.failures.records import Failure, Stall
from yourlabs.runner.notify.histories import MAX_KNOWN, NOTHING, History, Rules
from yourlabs.runner.notify.history_json import history_from_json, history_to_json
from yourlabs.runner.notify.notifications import (
    begin,
    record_failure,
    record_recovery,
    record_stall,
    record_stall_end,
)
from yourlabs.runner.notify.report import Kind, Report
from yourlabs.runner.notify.telling import make_report, told, wait

START = datetime(2026, 11, 20, 18, tzinfo=timezone.utc)
TASK = Task(func=lambda: None, path="app.tasks.sync", name="sync")
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
RULES = Rules()
NO_TIME = timedelta()


@dataclass
class Admin:
    """Runs one task under a fake clock, and is told of it."""

    rules: Rules = RULES
    now: datetime = START
    history: History = NOTHING
    inbox: list[Report] = field(default_factory=list)
    is_reachable: bool = True
    failures: int = 0
    consecutive: int = 0
    down_since: datetime | None = None

    def fail(self, message: str = "boom", after: timedelta = 5 * MINUTE) -> None:
        self.pass_time(after)
        self.failures += 1
        self.consecutive += 1
        if self.down_since is None:
            self.down_since = self.now
        self.history = record_failure(self.history, self.failure(message), self.rules)
        self.deliver()

    def failure(self, message: str) -> Failure:
        assert self.down_since is not None
        return Failure(
            TASK,
            "sync",
            self.now,
            self.now,
            NO_TIME,
            "app.Error",
            message,
            "Traceback …",
            message,
            self.consecutive,
            self.down_since,
            self.now - self.down_since,
        )

    def succeed(self, after: timedelta = 5 * MINUTE) -> None:
        self.pass_time(after)
        if self.down_since is None:
            return
        downtime = self.now - self.down_since
        self.history = record_recovery(self.history, self.now, downtime, self.rules)
        self.down_since = None
        self.consecutive = 0
        self.deliver()

    def pass_time(self, length: timedelta) -> None:
        until = self.now + length
        if self.history.pending and self.is_reachable:
            left = wait(self.history, self.now, self.rules)
            while left is not None and self.now + left <= until:
                # A thread tells what had to wait as soon as it may.
                self.now += left
                self.deliver()
                left = wait(self.history, self.now, self.rules)
        self.now = until

    def deliver(self) -> None:
        if self.history.pending and self.is_reachable:
            self.history, report = make_report(
                self.history, self.now, self.rules, chain="sync", task="sync"
            )
            if report is not None:
                self.inbox.append(report)
                self.history = told(self.history, report, self.now, self.rules)

    def recycle(self, start: str = "", *, more: bool = True) -> None:
        """Another process goes on with what this one wrote."""
        text = json.dumps(history_to_json(self.history))
        self.history = history_from_json(json.loads(text), self.now)
        self.history = begin(self.history, self.now, self.rules, start=start, more=more)
        self.deliver()

    @property
    def kinds(self) -> list[list[Kind]]:
        return [[reason.kind for reason in report.reasons] for report in self.inbox]

    def check_that_it_adds_up(self) -> None:
        told_failures = sum(report.failures for report in self.inbox)
        assert told_failures + self.history.tally.failures == self.failures
        for report in self.inbox:
            assert sum(item.count for item in report.exceptions) <= report.failures


def test_the_documented_example() -> None:
    """Failing each second, down after three: told of failures 1, 4, 7 and 10."""
    admin = Admin(Rules(timedelta(seconds=3), 5))
    numbers = []
    for number in range(1, 12):
        before = len(admin.inbox)
        admin.fail(after=timedelta(milliseconds=1_003))
        numbers += [number] * (len(admin.inbox) - before)

    assert numbers == [1, 4, 7, 10]
    assert admin.kinds == [
        [Kind.FIRST],
        [Kind.REACHED],
        [Kind.REACHED_AGAIN],
        [Kind.REACHED_AGAIN],
    ]
    assert [report.failures for report in admin.inbox] == [1, 3, 3, 3]


def test_clocks_may_differ_by_milliseconds() -> None:
    """A downtime that is short of the limit by a clock's error has reached it."""
    admin = Admin(Rules(timedelta(seconds=3), 5))
    for _ in range(4):
        admin.fail(after=timedelta(milliseconds=997))

    assert admin.kinds == [[Kind.FIRST], [Kind.REACHED]]


def test_the_same_failure_is_told_once() -> None:
    """A failure that was told is counted, not told, until the downtime is reached."""
    admin = Admin()
    for _ in range(100):
        admin.fail()

    assert admin.kinds == [[Kind.FIRST]]
    assert admin.history.tally.failures == 99


def test_another_failure_is_new() -> None:
    """An exception that nobody was told of is told, once."""
    admin = Admin()
    for message in ("one", "two", "one", "two", "three"):
        admin.fail(message)

    assert admin.kinds == [[Kind.FIRST], [Kind.NEW], [Kind.NEW]]
    assert [report.reasons[0].message for report in admin.inbox] == [
        "one",
        "two",
        "three",
    ]


@pytest.mark.parametrize("limit", [0, 1, 5])
def test_new_exceptions_are_limited(limit: int) -> None:
    """No more than the limit of new exceptions are told in one period."""
    admin = Admin(Rules(max_new_exceptions=limit))
    for number in range(100):
        admin.fail(f"word {number}")

    assert admin.kinds == [[Kind.FIRST], *[[Kind.NEW]] * limit]
    admin.check_that_it_adds_up()


def test_what_was_not_told_is_in_the_reminder() -> None:
    """The reminder counts the failures that were too many to be told one by one."""
    admin = Admin()
    for number in range(12 * 12 + 2):
        admin.fail(f"word {number}")

    last = admin.inbox[-1]
    assert Kind.REACHED in admin.kinds[-1]
    assert last.consecutive == 145
    assert last.failures == 145 - 6
    assert len(last.exceptions) == 20


def test_a_recovery_is_told() -> None:
    """The first success after a failure that was told is told, and no other one."""
    admin = Admin()
    admin.succeed()
    admin.fail()
    admin.fail()
    admin.succeed()
    admin.succeed()

    assert admin.kinds == [[Kind.FIRST], [Kind.HEALED]]
    assert admin.inbox[-1].failures == 1
    assert admin.inbox[-1].consecutive == 2
    assert admin.inbox[-1].downtime == 10 * MINUTE


def test_a_failure_after_a_recovery_is_told() -> None:
    """Who was told that it works again is told when it does not, known or not."""
    admin = Admin()
    for _ in range(2):
        admin.fail()
        admin.succeed()

    assert admin.kinds == [[Kind.FIRST], [Kind.HEALED], [Kind.AGAIN], [Kind.HEALED]]


def test_flapping_is_one_conversation() -> None:
    """Failing and recovering each minute is told five times, then summed up."""
    admin = Admin()
    for _ in range(60 * 7):
        admin.fail(after=MINUTE)
        admin.succeed(after=MINUTE)

    assert len(admin.inbox) <= 1 + 5 + 2
    assert [report.is_flapping for report in admin.inbox[:6]] == [False] * 5 + [True]
    assert admin.inbox[5].subject.startswith("[sync] Flapping: ")
    assert admin.inbox[-1].failures > 300
    assert len({report.thread for report in admin.inbox[5:]}) == 1
    admin.check_that_it_adds_up()


def test_the_last_recovery_of_a_flapping_task_is_told() -> None:
    """When it has calmed down, the admin learns so with the next reminder at most."""
    admin = Admin()
    for _ in range(100):
        admin.fail(after=MINUTE)
        admin.succeed(after=MINUTE)
    admin.pass_time(12 * HOUR)

    assert not admin.inbox[-1].is_down
    assert admin.history.pending == ()
    assert not admin.history.is_told_down
    admin.check_that_it_adds_up()


def test_what_could_not_be_sent_is_sent_later_as_one() -> None:
    """Reasons that wait for the mail server are merged, and none is lost."""
    admin = Admin(is_reachable=False)
    admin.fail("one")
    admin.fail("two")
    admin.succeed()
    assert admin.inbox == []

    admin.is_reachable = True
    admin.deliver()

    assert admin.kinds == [[Kind.FIRST, Kind.NEW, Kind.HEALED]]
    assert admin.inbox[0].failures == 2
    assert admin.inbox[0].subject == (
        "[sync] First exception caught: one; New exception caught: two; Process healed"
    )


def test_what_happens_during_the_send_is_told_after_it() -> None:
    """A report that is being sent takes with it only what it says."""
    admin = Admin(is_reachable=False)
    admin.fail("one")
    _, report = make_report(admin.history, admin.now, RULES)
    assert report is not None
    admin.fail("two")
    admin.fail("one")
    admin.history = told(admin.history, report, admin.now, RULES)

    assert [reason.kind for reason in admin.history.pending] == [Kind.NEW]
    assert admin.history.tally.failures == 2
    assert {item.message for item in admin.history.tally.exceptions} == {"one", "two"}


def test_a_recovery_during_the_send_is_told_after_it() -> None:
    """A failure that is told while the task recovers is followed by the recovery."""
    admin = Admin(is_reachable=False)
    admin.fail()
    _, report = make_report(admin.history, admin.now, RULES)
    assert report is not None
    admin.succeed()
    admin.history = told(admin.history, report, admin.now, RULES)

    assert [reason.kind for reason in admin.history.pending] == [Kind.HEALED]


def test_a_failure_during_the_send_of_a_recovery_is_told_after_it() -> None:
    """A recovery that is told while the task fails again is followed by that."""
    admin = Admin()
    admin.fail()
    admin.is_reachable = False
    admin.succeed()
    _, report = make_report(admin.history, admin.now, RULES)
    assert report is not None
    admin.fail()
    assert admin.history.pending == ()
    admin.history = told(admin.history, report, admin.now, RULES)

    assert [reason.kind for reason in admin.history.pending] == [Kind.AGAIN]
    assert admin.history.pending[0].message == "boom"


def test_a_report_that_arrives_twice_counts_once() -> None:
    """A send that was given up, repeated, and worked after all changes nothing."""
    admin = Admin(is_reachable=False)
    admin.fail()
    _, report = make_report(admin.history, admin.now, RULES)
    assert report is not None
    once = told(admin.history, report, admin.now, RULES)

    assert told(once, report, admin.now, RULES) == once


def test_recycled_processes_tell_once() -> None:
    """What one process told, the next ones neither repeat nor forget."""
    admin = Admin()
    for _ in range(3):
        admin.fail()
        admin.recycle()
    admin.succeed()

    assert admin.kinds == [[Kind.FIRST], [Kind.HEALED]]
    admin.check_that_it_adds_up()


def test_what_was_decided_is_told_by_the_next_process() -> None:
    """A process that ends between the decision and the send loses nothing."""
    admin = Admin(is_reachable=False)
    admin.fail("one")
    admin.is_reachable = True
    admin.recycle()

    assert admin.kinds == [[Kind.FIRST]]
    assert admin.inbox[0].evidence is not None
    assert admin.inbox[0].evidence.traceback == "Traceback …"


def test_a_new_start_begins_with_a_first_exception() -> None:
    """After a new start a known failure is told again, and the mail says why."""
    admin = Admin()
    admin.fail()
    admin.recycle(start="release 2, it was 1")
    admin.fail()
    admin.fail()

    assert admin.kinds == [[Kind.FIRST], [Kind.FIRST]]
    assert admin.inbox[1].start == "release 2, it was 1"
    assert "release 2, it was 1" in admin.inbox[1].body


def test_starts_are_bounded() -> None:
    """What starts it each five minutes for a weekend gets no more mails than others."""
    admin = Admin()
    for _ in range(64 * 12):
        admin.recycle(start="somebody started it", more=False)
        admin.fail(after=5 * MINUTE)

    assert len(admin.inbox) <= 1 + admin.rules.max_new_exceptions + 64 // 12
    assert admin.inbox[-1].failures > 100


def test_a_person_starts_it_often() -> None:
    """Whatever was told before, the first exception is told, and its end."""
    admin = Admin()
    for _ in range(20):
        admin.recycle(start="somebody started it")
        admin.fail(after=5 * MINUTE)
        admin.succeed(after=5 * MINUTE)

    assert admin.kinds == [[Kind.FIRST], [Kind.HEALED]] * 20


def test_a_clock_that_was_ahead() -> None:
    """What was told by it counts for nothing when it is right again."""
    admin = Admin()
    admin.now += timedelta(days=3650)
    for number in range(6):
        admin.fail(f"{number}", after=MINUTE)
    admin.now -= timedelta(days=3650)
    admin.down_since = None
    admin.pass_time(HOUR)
    admin.fail("another", after=HOUR)

    assert admin.kinds[-1] == [Kind.NEW]


def test_a_recovery_after_a_new_start_is_told() -> None:
    """What was told before a new start is healed after it."""
    admin = Admin()
    admin.fail()
    admin.recycle(start="a person started it")
    admin.succeed()

    assert admin.kinds == [[Kind.FIRST], [Kind.HEALED]]


def test_what_was_told_long_ago_has_expired() -> None:
    """Twice the downtime after the last mail the next owner begins anew."""
    admin = Admin()
    admin.fail()
    admin.succeed()
    admin.pass_time(25 * HOUR)
    admin.recycle()
    admin.fail()

    assert admin.kinds[-1] == [Kind.FIRST]


def test_what_still_fails_is_not_forgotten() -> None:
    """A task that fails all along is no stranger, however long nothing was told."""
    admin = Admin()
    admin.fail()
    admin.is_reachable = False
    for _ in range(26):
        admin.fail(after=HOUR)
    admin.is_reachable = True
    admin.history = admin.history._replace(pending=())
    admin.recycle()
    admin.fail()

    assert admin.kinds == [[Kind.FIRST]]


def test_down_again_in_a_new_way_does_not_wait_for_two_periods() -> None:
    """What was told to work and is down may borrow a mail, whatever it says."""
    admin = Admin()
    for number in range(50):
        admin.fail(f"word {number}", after=MINUTE)
        admin.succeed(after=MINUTE)
    admin.pass_time(12 * HOUR)
    assert not admin.inbox[-1].is_down
    admin.fail("another word")
    admin.pass_time(12 * HOUR)

    assert admin.inbox[-1].is_down
    assert admin.history.pending == ()


def test_a_fingerprint_expires() -> None:
    """In one process a failure that was told two periods ago is new again."""
    admin = Admin()
    admin.fail("one")
    admin.fail("two")
    admin.succeed()
    admin.fail("one", after=25 * HOUR)

    assert admin.kinds[-1] == [Kind.NEW]


def test_a_downtime_that_was_never_told_heals_in_silence() -> None:
    """Nobody is told of the end of what they did not know of."""
    admin = Admin()
    admin.down_since = START
    admin.succeed()

    assert admin.inbox == []


def test_a_stall_is_told_once_a_run() -> None:
    """A run that hangs is told, and told again when it has ended."""
    admin = Admin()
    stall = Stall(TASK, "sync", START, MINUTE, "File …, line 3")
    for _ in range(2):
        admin.history = record_stall(admin.history, stall)
        admin.deliver()
    for _ in range(2):
        admin.history = record_stall_end(admin.history, START + HOUR)
        admin.deliver()

    assert admin.kinds == [[Kind.STALLED], [Kind.RESUMED]]
    assert "line 3" in admin.inbox[0].body
    assert admin.history.stack == ""


def test_a_stall_that_ends_in_a_failure_is_one_mail() -> None:
    """The end of a hanging run and its failure are merged."""
    admin = Admin()
    admin.history = record_stall(
        admin.history, Stall(TASK, "sync", START, MINUTE, "File …, line 3")
    )
    admin.deliver()
    admin.is_reachable = False
    admin.history = record_stall_end(admin.history, START + HOUR)
    admin.fail()
    admin.is_reachable = True
    admin.deliver()

    assert admin.kinds == [[Kind.STALLED], [Kind.RESUMED, Kind.FIRST]]


def test_stalls_are_limited() -> None:
    """A task that hangs in every run does not flood the admin."""
    admin = Admin()
    for _ in range(100):
        admin.pass_time(5 * MINUTE)
        admin.history = record_stall(
            admin.history, Stall(TASK, "sync", admin.now, NO_TIME, "")
        )
        admin.deliver()
        admin.history = record_stall_end(admin.history, admin.now)
        admin.deliver()

    assert len(admin.inbox) <= 6
    told_stalls = sum(report.stalls for report in admin.inbox)
    assert told_stalls + admin.history.tally.stalls == 100


def test_a_downtime_of_weeks_is_reminded_of() -> None:
    """Each period of a downtime has one reminder, for as long as it lasts."""
    admin = Admin()
    for _ in range(24 * 28 + 1):
        admin.fail(after=HOUR)

    assert len(admin.inbox) == 1 + 28 * 2
    assert admin.inbox[-1].next_at == admin.inbox[-1].at + 12 * HOUR


def test_a_clock_that_is_set_back_changes_nothing() -> None:
    """A wall clock that jumps a year back neither floods nor silences."""
    admin = Admin()
    admin.fail()
    admin.now -= timedelta(days=365)
    for _ in range(10):
        admin.fail(after=MINUTE)
    admin.down_since = None
    admin.fail("other", after=MINUTE)

    assert admin.kinds == [[Kind.FIRST], [Kind.NEW]]


def test_reminders_after_a_change_of_their_period() -> None:
    """What was counted with another period is not waited for again."""
    admin = Admin(rules=Rules(HOUR))
    for _ in range(48):
        admin.fail(after=HOUR)
    admin.rules, told_before = Rules(12 * HOUR), len(admin.inbox)

    for _ in range(48):
        admin.fail(after=HOUR)

    assert 3 <= len(admin.inbox) - told_before <= 4


def test_reminders_after_a_clock_was_wrong() -> None:
    """A clock that was months ahead for a moment silences nothing."""
    admin = Admin()
    admin.fail()
    admin.history = admin.history._replace(reminders=180)

    for _ in range(24):
        admin.fail(after=HOUR)

    assert len(admin.inbox) == 3, "the first, and a reminder each 12 hours"


def test_a_clock_set_back_by_weeks_while_nothing_may_be_sent() -> None:
    """What had to wait waits for a period, not for the time that was left."""
    admin = Admin()
    for number in range(20):
        admin.fail(str(number))
        admin.succeed()
    assert admin.history.pending
    admin.now -= timedelta(days=30)
    told_before = len(admin.inbox)
    admin.deliver()

    admin.pass_time(2 * RULES.non_recoverable_downtime)

    assert len(admin.inbox) > told_before


def test_a_clock_set_back_by_days_before_a_restart() -> None:
    """What was decided is told by the next process, whatever time it is there."""
    admin = Admin(is_reachable=False)
    admin.fail()
    admin.now -= timedelta(days=2)
    admin.is_reachable = True

    admin.recycle()
    admin.deliver()

    assert [report.failures for report in admin.inbox] == [1]


def test_what_is_remembered_is_bounded() -> None:
    """Thousands of different failures, and a new start with each, take no more room."""
    admin = Admin(Rules(timedelta(seconds=1), 5))
    for number in range(2_000):
        admin.fail(f"word {number}", after=timedelta(seconds=2))
    small = len(json.dumps(history_to_json(admin.history)))

    assert len(admin.history.known) <= MAX_KNOWN
    assert small < 40_000


# A weekend: 64 hours, a run each five minutes.

RUNS = 64 * 12

Scenario = Callable[[random.Random], Iterator[str]]


def always(random: random.Random) -> Iterator[str]:
    while True:
        yield "boom"


def flapping(random: random.Random) -> Iterator[str]:
    share = random.choice((0.1, 0.5, 0.9))
    while True:
        yield "boom" if random.random() < share else ""


def in_turns(random: random.Random) -> Iterator[str]:
    length = random.randint(1, 30)
    while True:
        yield from ["boom"] * random.randint(1, length)
        yield from [""] * random.randint(1, length)


def all_different(random: random.Random) -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"word {number}" if random.random() < 0.99 else ""


def two_causes(random: random.Random) -> Iterator[str]:
    while True:
        yield from ("one", "two")


def recovering(random: random.Random) -> Iterator[str]:
    yield from ["boom"] * random.randint(1, RUNS)
    while True:
        yield ""


def anything(random: random.Random) -> Iterator[str]:
    while True:
        yield random.choice(("", "", "one", "two", f"word {random.random()}"))


SCENARIOS = [
    always,
    flapping,
    in_turns,
    all_different,
    two_causes,
    recovering,
    anything,
]


@pytest.mark.parametrize("scenario", SCENARIOS)
@given(seed=st.integers(0, 2**32), outage=st.booleans())
@settings(max_examples=60)
def test_a_weekend(scenario: Scenario, seed: int, outage: bool) -> None:
    """Whatever happens all weekend: few mails, nothing lost, and every count right."""
    spend_weekend(scenario, 0, seed, outage)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("recycled", [4, 12], ids=["recycled", "fail-over"])
@given(seed=st.integers(0, 2**32), outage=st.booleans())
@settings(max_examples=6)
def test_a_weekend_of_many_processes(
    scenario: Scenario, recycled: int, seed: int, outage: bool
) -> None:
    """So it is when a process lives for 20 minutes, or for an hour."""
    spend_weekend(scenario, recycled, seed, outage)


@pytest.mark.torture
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("recycled", [0, 4, 12], ids=["one", "recycled", "fail-over"])
@given(seed=st.integers(0, 2**32), outage=st.booleans())
@settings(max_examples=300)
def test_thousands_of_weekends(
    scenario: Scenario, recycled: int, seed: int, outage: bool
) -> None:
    """So it is for thousands of weekends."""
    spend_weekend(scenario, recycled, seed, outage)


def spend_weekend(scenario: Scenario, recycled: int, seed: int, outage: bool) -> None:
    dice = random.Random(seed)
    outcomes = scenario(dice)
    admin = Admin()
    down_at = dice.randrange(RUNS) if outage else -1
    for number in range(RUNS):
        if number == down_at:
            admin.is_reachable = False
        elif number == down_at + 24:
            admin.is_reachable = True
        message = next(outcomes)
        if message:
            admin.fail(message)
        else:
            admin.succeed()
        if recycled and number % recycled == 0:
            admin.recycle()
        if number == 0 and message and down_at != 0:
            assert admin.kinds == [[Kind.FIRST]]
    mails = len(admin.inbox)
    admin.is_reachable = True
    admin.pass_time(24 * HOUR)

    assert mails <= 1 + 5 + math.ceil(64 / 12)
    admin.check_that_it_adds_up()
    if admin.inbox and admin.down_since is None:
        assert not admin.history.is_told_down
        assert not admin.inbox[-1].is_down
    assert sum(Kind.FIRST in kinds for kinds in admin.kinds) == bool(admin.failures)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["first", "new", 1.7e9]),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)
FIELDS = st.sampled_from([*history_to_json(NOTHING)])


@given(st.dictionaries(FIELDS, JSON))
def test_any_json_is_a_history(value: object) -> None:
    """Whatever was written, a history comes of it that can go on and be written."""
    admin = Admin(history=history_from_json(value, START))
    admin.recycle()
    admin.fail()
    admin.succeed()
    admin.recycle(start="again")

    assert json.dumps(history_to_json(admin.history))
    assert admin.inbox == [] or admin.inbox[0].body


@pytest.mark.parametrize("value", [None, 1, "x", [], [1], {"pending": {}}, {1: 2}])
def test_no_json_is_no_history(value: object) -> None:
    """What is no history at all is as good as none."""
    assert history_from_json(value, START) == NOTHING


@given(st.data())
@settings(max_examples=50)
def test_a_damaged_history_goes_on(data: st.DataObject) -> None:
    """One wrong value in a real history never raises, and costs no more than itself."""
    admin = Admin(is_reachable=False)
    admin.fail("one")
    admin.fail("two")
    admin.history = record_stall(
        admin.history, Stall(TASK, "sync", START, MINUTE, "File …")
    )
    value = history_to_json(admin.history)
    value[data.draw(FIELDS)] = data.draw(JSON)
    admin.history = history_from_json(value, admin.now)
    admin.is_reachable = True
    admin.recycle()
    admin.fail("three")
    admin.pass_time(48 * HOUR)

    assert len(admin.inbox) >= 1


def test_a_history_survives_json() -> None:
    """What is written is what is read."""
    admin = Admin(is_reachable=False)
    admin.fail("one")
    admin.fail("two")
    text = json.dumps(history_to_json(admin.history))
    read = history_from_json(json.loads(text), admin.now)

    assert read.latest is not None
    assert read.latest.traceback == ""
    assert read._replace(latest=admin.history.latest) == admin.history
