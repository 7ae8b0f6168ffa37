"""What is owed is what is and was not told: once, bounded, and nothing is lost."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yourlabs.runner.failures.downtime import (
    MAX_DISTINCT,
    Downtime,
    Hang,
    Latest,
    downtimes_from_json,
)
from yourlabs.runner.notify.throttle import (
    CHANGES_AT_ONCE,
    Kind,
    Limits,
    Reason,
    delivered,
    owed,
)
from yourlabs.runner.notify.told import (
    MAX_KNOWN,
    Told,
    as_of,
    baseline,
    started_anew,
    told_from_json,
)

START = 1_795_197_600.0
MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
LIMITS = Limits()


class Mail(NamedTuple):
    """What was told at one time."""

    at: float
    reasons: tuple[Reason, ...]
    failures: int
    counted: dict[str, int]
    is_down: bool


@dataclass
class Admin:
    """Runs one task under a clock of its own, and is told of it."""

    limits: Limits = LIMITS
    now: float = START
    is_: Downtime = field(default_factory=Downtime)
    told: Told = field(default_factory=Told)
    inbox: list[Mail] = field(default_factory=list)
    is_reachable: bool = True
    began: float = 0.0

    def fail(self, word: str = "boom", after: float = 5 * MINUTE) -> None:
        self.pass_time(after)
        if not self.is_.is_down:
            self.began = self.now
        latest = Latest("app.Error", word, f"Traceback of {word}", word, self.now)
        self.is_ = self.is_.failed(latest, lasted=self.now - self.began)
        self.deliver()

    def succeed(self, after: float = 5 * MINUTE) -> None:
        self.pass_time(after)
        self.is_ = self.is_.recovered(lasted=self.now - self.began)
        self.deliver()

    def stall(self) -> None:
        self.is_ = self.is_.stalled(Hang(self.now, 60.0, 61.0, "File …, line 3"))
        self.deliver()

    def end_stall(self, took: float | None = HOUR) -> None:
        self.is_ = self.is_.hang_ended(took)
        self.deliver()

    def pass_time(self, length: float) -> None:
        until = self.now + length
        self.deliver()
        # A thread tells what had to wait as soon as it may.
        while self.is_reachable and (wait := self.owed().wait) is not None:
            if self.now + wait > until:
                break
            self.now += wait
            self.deliver()
        self.now = until

    def owed(self) -> Any:
        self.told = as_of(self.told, self.is_, self.now)
        return owed(self.is_, self.told, self.now, self.limits)

    def deliver(self) -> None:
        reasons = self.owed().reasons
        if reasons and self.is_reachable:
            told = delivered(self.is_, self.told, reasons, self.now, self.limits)
            counted = {
                one.fingerprint: new
                for one in self.is_.seen
                if (new := self.told.new_failures_of(one))
            }
            failures = self.is_.failures - self.told.failures
            self.inbox.append(
                Mail(self.now, reasons, failures, counted, self.is_.is_down)
            )
            self.told = told

    def recycle(self, why: str = "") -> None:
        """Another process goes on with what this one wrote."""
        text = json.dumps([self.is_.to_json(), asdict(self.told)])
        is_, told = json.loads(text)
        self.is_ = downtimes_from_json({"key": is_})["key"].hang_ended(None)
        self.told = told_from_json(told)
        if why:
            self.told = started_anew(self.told, self.is_, why)
        self.deliver()

    @property
    def kinds(self) -> list[list[Kind]]:
        return [[reason.kind for reason in mail.reasons] for mail in self.inbox]

    def check_that_it_adds_up(self) -> None:
        """No failure was in two mails, and none is lost."""
        told = sum(mail.failures for mail in self.inbox)
        assert told == self.told.failures <= self.is_.failures
        for mail in self.inbox:
            assert sum(mail.counted.values()) <= mail.failures


def test_the_documented_example() -> None:
    """Failing each second, down after three: told of failures 1, 4, 7 and 10."""
    admin = Admin(Limits(3.0, 5))
    numbers = []
    for number in range(1, 13):
        before = len(admin.inbox)
        admin.fail("division by zero", after=1.003)
        numbers += [number] * (len(admin.inbox) - before)
    admin.succeed(after=1.003)

    assert numbers == [1, 4, 7, 10]
    assert admin.kinds == [
        [Kind.FIRST],
        [Kind.REACHED],
        [Kind.REACHED_AGAIN],
        [Kind.REACHED_AGAIN],
        [Kind.HEALED],
    ]
    assert [mail.failures for mail in admin.inbox] == [1, 3, 3, 3, 2]


def test_clocks_may_differ_by_milliseconds() -> None:
    """A downtime that is short of the limit by a clock's error has reached it."""
    admin = Admin(Limits(3.0, 5))
    for _ in range(4):
        admin.fail(after=0.997)

    assert admin.kinds == [[Kind.FIRST], [Kind.REACHED]]


def test_the_same_failure_is_told_once() -> None:
    """A failure that was told is counted, not told, until the downtime is reached."""
    admin = Admin()
    for _ in range(100):
        admin.fail()

    assert admin.kinds == [[Kind.FIRST]]
    assert admin.is_.failures - admin.told.failures == 99


def test_another_failure_is_new() -> None:
    """An exception that nobody was told of is told, once."""
    admin = Admin()
    for message in ("one", "two", "one", "two", "three"):
        admin.fail(message)

    assert admin.kinds == [[Kind.FIRST], [Kind.NEW], [Kind.NEW]]
    assert [mail.reasons[0].message for mail in admin.inbox] == ["one", "two", "three"]


@pytest.mark.parametrize("limit", [0, 1, 5, 10**9])
def test_new_exceptions_are_limited(limit: int) -> None:
    """No more than the limit of new exceptions are told at once."""
    admin = Admin(Limits(max_new=limit))
    for number in range(100):
        admin.fail(f"word {number}")

    assert admin.kinds[: 1 + limit] == [[Kind.FIRST], *[[Kind.NEW]] * min(limit, 99)]
    assert len(admin.inbox) == min(1 + limit, 100)
    admin.check_that_it_adds_up()


def test_what_was_not_told_is_in_the_reminder() -> None:
    """The reminder counts the failures that were too many to be told one by one."""
    admin = Admin()
    for number in range(12 * 12 + 8):
        admin.fail(f"word {number}")

    last = admin.inbox[-1]
    assert admin.kinds[-1] == [Kind.NEW, Kind.REACHED]
    assert last.at == START + 5 * MINUTE + 12 * HOUR
    assert last.failures == 145 - 6
    assert len(last.counted) == MAX_DISTINCT


def test_what_is_held_back_is_not_what_is() -> None:
    """An exception that had to wait is told below the one that fails now."""
    admin = Admin(Limits(20.0, 5), is_reachable=False)
    for word in ("a", "b", "", "a", "", "a", "", "a"):
        admin.fail(word, after=1) if word else admin.succeed(after=1)
    for _ in range(13):
        admin.fail("b", after=1)
    admin.is_reachable = True
    admin.deliver()

    [mail] = admin.inbox
    assert mail.reasons[0] == Reason(Kind.FIRST, "b")
    assert mail.counted == {"a": 4, "b": 14}


def test_what_waited_while_another_one_fails() -> None:
    """With a reminder the reader learns that it is still down, then what was new."""
    admin = Admin(is_reachable=False)
    admin.fail("known")
    admin.told = replace(admin.told, known=("known",))
    admin.fail("held back")
    for _ in range(13 * 12):
        admin.fail("known")
    admin.is_reachable = True
    admin.deliver()

    assert [reason.kind for reason in admin.inbox[0].reasons] == [
        Kind.REACHED,
        Kind.NEW,
    ]
    assert admin.inbox[0].reasons[1].message == "held back"


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


def test_a_failure_after_a_recovery_is_told() -> None:
    """Who was told that it works again is told when it does not, known or not."""
    admin = Admin()
    for _ in range(2):
        admin.fail()
        admin.succeed()

    assert admin.kinds == [[Kind.FIRST], [Kind.HEALED], [Kind.AGAIN], [Kind.HEALED]]


def test_flapping() -> None:
    """Failing and recovering each minute is told a few times, then once a period."""
    admin = Admin()
    for _ in range(60 * 7):
        admin.fail(after=MINUTE)
        admin.succeed(after=MINUTE)
    mails = len(admin.inbox)
    admin.pass_time(DAY)

    assert mails <= 1 + CHANGES_AT_ONCE + math.ceil(14 / 12)
    assert admin.told.is_down is False
    assert not admin.inbox[-1].is_down
    assert max(mail.failures for mail in admin.inbox) > 300
    admin.check_that_it_adds_up()


def test_what_could_not_be_sent_is_sent_later_as_one() -> None:
    """What happens while the mail server is dead is one mail, with its end first."""
    admin = Admin(is_reachable=False)
    admin.fail("one")
    admin.fail("two")
    admin.succeed()
    assert admin.inbox == []

    admin.is_reachable = True
    admin.deliver()

    assert admin.kinds == [[Kind.HEALED, Kind.FIRST]]
    assert admin.inbox[0].failures == 2
    assert admin.inbox[0].counted == {"one": 1, "two": 1}


def test_what_happens_during_the_send_is_told_after_it() -> None:
    """A report that is being sent takes with it only what it says."""
    admin = Admin(is_reachable=False)
    admin.fail("one")
    sending, reasons = admin.is_, admin.owed().reasons
    admin.fail("two")
    admin.fail("one")
    admin.told = delivered(sending, admin.told, reasons, admin.now, LIMITS)

    assert admin.owed().reasons == (Reason(Kind.NEW, "two"),)
    assert admin.is_.failures - admin.told.failures == 2


def test_a_recovery_during_the_send_is_told_after_it() -> None:
    """A failure that is told while the task recovers is followed by the recovery."""
    admin = Admin(is_reachable=False)
    admin.fail()
    sending, reasons = admin.is_, admin.owed().reasons
    admin.succeed()
    admin.told = delivered(sending, admin.told, reasons, admin.now, LIMITS)

    assert admin.owed().reasons == (Reason(Kind.HEALED),)


def test_a_failure_during_the_send_of_a_recovery_is_told_after_it() -> None:
    """A recovery that is told while the task fails again is followed by that."""
    admin = Admin()
    admin.fail()
    admin.is_reachable = False
    admin.succeed()
    sending, reasons = admin.is_, admin.owed().reasons
    admin.fail()
    assert admin.owed().reasons == ()
    admin.told = delivered(sending, admin.told, reasons, admin.now, LIMITS)

    assert admin.owed().reasons == (Reason(Kind.AGAIN, "boom"),)


def test_recycled_processes_tell_once() -> None:
    """What one process told, the next ones neither repeat nor forget."""
    admin = Admin()
    for _ in range(3):
        admin.fail()
        admin.recycle()
    admin.succeed()

    assert admin.kinds == [[Kind.FIRST], [Kind.HEALED]]
    admin.check_that_it_adds_up()


def test_what_is_owed_is_told_by_the_next_process() -> None:
    """A process that ends between the failure and the send loses nothing."""
    admin = Admin(is_reachable=False)
    admin.fail("one")
    admin.succeed()
    admin.is_reachable = True
    admin.recycle()

    assert admin.kinds == [[Kind.HEALED, Kind.FIRST]]
    assert admin.is_.latest is not None
    assert admin.is_.latest.traceback == "Traceback of one"


def test_a_new_start_begins_with_a_first_exception() -> None:
    """After a new start a known failure is told again, and it is known why."""
    admin = Admin()
    admin.fail()
    admin.recycle("release 2, it was 1")
    assert admin.inbox[1:] == []
    assert admin.told.start == "release 2, it was 1"
    admin.fail()
    admin.fail()

    assert admin.kinds == [[Kind.FIRST], [Kind.FIRST]]
    assert admin.told.start == ""


def test_the_very_first_start_needs_no_reason() -> None:
    """Who was never told anything is not told why it is told again."""
    assert started_anew(Told(), Downtime(), "somebody started it").start == ""


def test_what_was_mended_is_told_as_healed() -> None:
    """Failures before a new start are no first exception after it: one mail, healed."""
    admin = Admin()
    admin.fail()
    admin.fail()
    admin.fail()
    admin.recycle("release 2, it was 1")
    admin.succeed()

    assert admin.kinds == [[Kind.FIRST], [Kind.HEALED]]
    assert admin.inbox[1].failures == 2


def test_starts_are_bounded() -> None:
    """What starts it each five minutes for a weekend gets no more mails than others."""
    admin = Admin()
    for _ in range(64 * 12):
        admin.recycle("somebody started it")
        admin.fail(after=5 * MINUTE)

    assert len(admin.inbox) <= 1 + 5 + 64 // 12
    assert admin.inbox[-1].failures > 100


def test_a_recovery_after_a_new_start_is_told() -> None:
    """What was told before a new start is healed after it."""
    admin = Admin()
    admin.fail()
    admin.recycle("a person started it")
    admin.succeed()

    assert admin.kinds == [[Kind.FIRST], [Kind.HEALED]]


def test_a_new_channel_is_told_of_what_is() -> None:
    """It hears that a task is down, and nothing of downtimes that are over."""
    admin = Admin()
    admin.fail("over")
    admin.succeed()
    admin.told = baseline(admin.is_)
    assert admin.owed() == ((), None)
    admin.fail("down")
    admin.told = baseline(admin.is_)

    assert admin.owed().reasons == (Reason(Kind.FIRST, "down"),)


def test_counts_that_were_lost() -> None:
    """Where the chain's counts begin anew, so does what was told; nothing is false."""
    admin = Admin()
    for _ in range(5):
        admin.fail()
    admin.is_ = Downtime()
    admin.recycle()
    assert admin.kinds == [[Kind.FIRST]]
    admin.fail()
    admin.succeed()

    assert admin.kinds[1:] == [[Kind.AGAIN], [Kind.HEALED]]
    assert [mail.failures for mail in admin.inbox[1:]] == [1, 0]


def test_a_downtime_that_was_never_told_heals_in_silence() -> None:
    """A known failure that was over before it could be told is counted, that is all."""
    admin = Admin()
    admin.fail()
    admin.succeed()
    admin.is_reachable = False
    admin.fail()
    admin.succeed()
    admin.is_reachable = True
    admin.deliver()

    assert admin.kinds == [[Kind.FIRST], [Kind.HEALED]]
    assert admin.is_.failures - admin.told.failures == 1


def test_a_stall_is_told_once_a_run() -> None:
    """A run that hangs is told, and told again when it has ended."""
    admin = Admin()
    admin.stall()
    admin.deliver()
    admin.end_stall()
    admin.deliver()

    assert admin.kinds == [[Kind.STALLED], [Kind.RESUMED]]


def test_a_stall_that_is_over_before_it_could_be_told() -> None:
    """It is told with its end."""
    admin = Admin(is_reachable=False)
    admin.stall()
    admin.end_stall()
    admin.is_reachable = True
    admin.deliver()

    assert admin.kinds == [[Kind.RESUMED, Kind.STALLED]]


def test_a_stall_that_ends_in_a_failure_is_one_mail() -> None:
    """The end of a hanging run and its failure are merged; the failure comes first."""
    admin = Admin()
    admin.stall()
    admin.is_reachable = False
    admin.end_stall()
    admin.fail()
    admin.is_reachable = True
    admin.deliver()

    assert admin.kinds == [[Kind.STALLED], [Kind.FIRST, Kind.RESUMED]]


def test_a_stall_outlives_its_process() -> None:
    """That a run hangs no more is told by the next owner, who does not know its end."""
    admin = Admin()
    admin.stall()
    admin.recycle()

    assert admin.kinds == [[Kind.STALLED], [Kind.RESUMED]]
    assert admin.is_.hang is not None
    assert admin.is_.hang.took is None


def test_stalls_are_limited() -> None:
    """A task that hangs in every run does not flood the admin."""
    admin = Admin()
    for _ in range(100):
        admin.pass_time(5 * MINUTE)
        admin.stall()
        admin.end_stall()

    assert len(admin.inbox) <= CHANGES_AT_ONCE
    assert admin.is_.stalls == 100


def test_a_downtime_of_weeks_is_reminded_of() -> None:
    """Each period of a downtime has one reminder, for as long as it lasts."""
    admin = Admin()
    for _ in range(24 * 28 + 1):
        admin.fail(after=HOUR)

    assert len(admin.inbox) == 1 + 28 * 2


@pytest.mark.parametrize("period", [3e9, 8e13])
def test_a_period_of_centuries(period: float) -> None:
    """Who wants no reminder is told of everything else, whatever was told before."""
    admin = Admin(Limits(1.0))
    for _ in range(1_200):
        admin.fail(after=1)
    admin.limits = Limits(period)
    for number in range(10):
        admin.fail(f"word {number}")
    admin.succeed()

    assert admin.kinds[-1] == [Kind.HEALED, Kind.NEW]
    admin.check_that_it_adds_up()


def test_a_clock_that_is_set_back_changes_nothing() -> None:
    """A wall clock that jumps a year back neither floods nor silences."""
    admin = Admin()
    admin.fail()
    admin.now -= 365 * DAY
    for _ in range(10):
        admin.fail(after=MINUTE)
    admin.fail("other", after=MINUTE)

    assert admin.kinds == [[Kind.FIRST], [Kind.NEW]]


def test_a_clock_set_back_while_nothing_may_be_sent() -> None:
    """What had to wait waits for a period, not for the time that was set back."""
    admin = Admin()
    for number in range(20):
        admin.fail(str(number))
        admin.succeed()
    told_before = len(admin.inbox)
    admin.now -= 30 * DAY
    admin.pass_time(2 * LIMITS.period)

    assert len(admin.inbox) > told_before
    assert admin.told.failures == 20


def test_reminders_after_a_change_of_their_period() -> None:
    """What was counted with another period is not waited for again."""
    admin = Admin(limits=Limits(HOUR))
    for _ in range(48):
        admin.fail(after=HOUR)
    admin.limits, told_before = Limits(12 * HOUR), len(admin.inbox)
    for _ in range(48):
        admin.fail(after=HOUR)

    assert 3 <= len(admin.inbox) - told_before <= 4


def test_what_is_remembered_is_bounded() -> None:
    """Thousands of different failures, and a new start with each, take no more room."""
    admin = Admin(Limits(1.0, 5))
    for number in range(2_000):
        admin.fail(f"word {number}", after=2)

    assert len(admin.told.known) <= MAX_KNOWN
    assert len(json.dumps(asdict(admin.told))) < 4_000


# A weekend: 64 hours, a run each five minutes.

RUNS = 64 * 12

Scenario = Callable[[random.Random], Iterator[str]]


def always(dice: random.Random) -> Iterator[str]:
    while True:
        yield "boom"


def flapping(dice: random.Random) -> Iterator[str]:
    share = dice.choice((0.1, 0.5, 0.9))
    while True:
        yield "boom" if dice.random() < share else ""


def in_turns(dice: random.Random) -> Iterator[str]:
    length = dice.randint(1, 30)
    while True:
        yield from ["boom"] * dice.randint(1, length)
        yield from [""] * dice.randint(1, length)


def all_different(dice: random.Random) -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"word {number}" if dice.random() < 0.99 else ""


def two_causes(dice: random.Random) -> Iterator[str]:
    while True:
        yield from ("one", "two")


def recovering(dice: random.Random) -> Iterator[str]:
    yield from ["boom"] * dice.randint(1, RUNS)
    while True:
        yield ""


def flapping_differently(dice: random.Random) -> Iterator[str]:
    while True:
        yield from (f"word {dice.randrange(400)}", "")


def hanging(dice: random.Random) -> Iterator[str]:
    while True:
        yield dice.choice(("", "hang", "hang and boom", "boom"))


def anything(dice: random.Random) -> Iterator[str]:
    while True:
        yield dice.choice(("", "", "one", "two", "hang", f"word {dice.random()}"))


DOWN_ALL_ALONG = [always, two_causes]
SCENARIOS = [
    *DOWN_ALL_ALONG,
    flapping,
    in_turns,
    all_different,
    recovering,
    flapping_differently,
    hanging,
    anything,
]


@pytest.mark.parametrize("scenario", SCENARIOS)
@given(seed=st.integers(0, 2**32), outage=st.booleans())
@settings(max_examples=30)
def test_a_weekend(scenario: Scenario, seed: int, outage: bool) -> None:
    """Whatever happens all weekend: few mails, nothing lost, and every count right."""
    spend_weekend(scenario, 0, seed, outage)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("recycled", [4, 12], ids=["recycled", "fail-over"])
@given(seed=st.integers(0, 2**32), outage=st.booleans(), anew=st.booleans())
@settings(max_examples=6)
def test_a_weekend_of_many_processes(
    scenario: Scenario, recycled: int, seed: int, outage: bool, anew: bool
) -> None:
    """So it is when a process lives for 20 minutes, or for an hour, or is new."""
    spend_weekend(scenario, recycled, seed, outage, "somebody did it" if anew else "")


@pytest.mark.torture
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("recycled", [0, 4, 12], ids=["one", "recycled", "fail-over"])
@given(seed=st.integers(0, 2**32), outage=st.booleans(), anew=st.booleans())
@settings(max_examples=300)
def test_thousands_of_weekends(
    scenario: Scenario, recycled: int, seed: int, outage: bool, anew: bool
) -> None:
    """So it is for thousands of weekends."""
    spend_weekend(scenario, recycled, seed, outage, "somebody did it" if anew else "")


def spend_weekend(
    scenario: Scenario, recycled: int, seed: int, outage: bool, why: str = ""
) -> None:
    dice = random.Random(seed)
    outcomes = scenario(dice)
    admin = Admin()
    down_at = dice.randrange(RUNS) if outage else -1
    for number in range(RUNS):
        if number == down_at:
            admin.is_reachable = False
        elif number == down_at + 24:
            admin.is_reachable = True
        outcome = next(outcomes)
        if "hang" in outcome:
            admin.stall()
            admin.pass_time(MINUTE)
            admin.end_stall(MINUTE)
        word = outcome.removeprefix("hang").removeprefix(" and ")
        admin.fail(word) if word else admin.succeed()
        if recycled and number % recycled == 0:
            admin.recycle(why)
        if number == 0 and word and down_at:
            assert Kind.FIRST in admin.kinds[-1]
    mails = len(admin.inbox)
    admin.is_reachable = True
    admin.pass_time(25 * HOUR)

    hours = (admin.now - START) / HOUR
    periods = math.ceil(hours / 12)
    if scenario in DOWN_ALL_ALONG:
        assert mails <= 1 + 5 + math.ceil(64 / 12)
    assert len(admin.inbox) <= 1 + 5 + 4 + 2 * periods
    # Nothing that is goes untold, and every failure is in one mail.
    assert admin.told.is_down == admin.is_.is_down
    assert not admin.told.hangs
    assert {one.fingerprint for one in admin.is_.seen} <= set(admin.told.known) or why
    assert any(Kind.FIRST in kinds for kinds in admin.kinds) == bool(admin.is_.failures)
    admin.check_that_it_adds_up()


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["fail", "succeed", "stall", "end", "restart", "wait"]),
            st.integers(0, 30),
            st.sampled_from([0.0, 1.0, MINUTE, HOUR, 6 * HOUR, 11.9 * HOUR, 13 * HOUR]),
        ),
        max_size=200,
    )
)
@settings(max_examples=100)
def test_bound(steps: list[tuple[str, int, float]]) -> None:
    """Whatever happens, and when: no more mails than the two buckets hold."""
    admin = Admin()
    for what, number, after in steps:
        admin.pass_time(after)
        if what == "fail":
            admin.fail(f"word {number}", after=0)
        elif what == "succeed":
            admin.succeed(after=0)
        elif what == "stall":
            admin.stall()
        elif what == "end":
            admin.end_stall()
        elif what == "restart":
            admin.recycle("again")
        periods = (admin.now - START) / LIMITS.period
        assert len(admin.inbox) <= 1 + 5 + 4 + 2 * periods + 1e-6


# What is read of a file.

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


@given(st.dictionaries(st.sampled_from([*asdict(Told())]), JSON))
def test_any_json(changes: dict[str, Any]) -> None:
    """What no channel can have written is refused; what is read can go on."""
    try:
        told = told_from_json({**asdict(Told()), **changes})
    except ValueError:
        return
    admin = Admin(told=told)
    admin.fail()
    admin.succeed()
    admin.recycle("again")

    assert json.dumps(asdict(admin.told))


@pytest.mark.parametrize("value", [None, 1, "x", [], [1], {"news": {}}, {1: 2}])
def test_no_json_of_ours(value: object) -> None:
    """What is nothing of ours is refused."""
    with pytest.raises(ValueError, match="expected what was told"):
        told_from_json(value)


def test_what_was_told_survives_json() -> None:
    """What is written is what is read."""
    admin = Admin()
    admin.fail("one")
    admin.fail("two")
    admin.stall()
    text = json.dumps(asdict(admin.told))

    assert told_from_json(json.loads(text)) == admin.told
