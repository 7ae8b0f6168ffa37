"""What every kind of ownership promises: held against the files and the memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.runner.fakes import log
from yourlabs.runner import task
from yourlabs.runner.chain.task import Chain, make_chain
from yourlabs.runner.exceptions import AlreadyOwned, ChainNameTaken, TakeOverTimeout
from yourlabs.runner.ownership.base import Claim, Ownership
from yourlabs.runner.ownership.record import COMMAND, HOSTED, RunMark
from yourlabs.runner.ownership.request import LEFT_FREE_S
from yourlabs.runner.ownership.takeover import take_over
from yourlabs.runner.storage.base import Backend
from yourlabs.runner.storage.base import backend as chosen
from yourlabs.runner.storage.file import FileBackend
from yourlabs.runner.testing import FakeClock, MemoryBackend


@task
def first() -> None:
    """Do nothing."""


@task
def second() -> None:
    """Do nothing."""


CHAIN = make_chain([first.runner_task, second.runner_task], name="chain")
PATH = CHAIN.paths[0]


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that only the test moves."""
    return FakeClock(time.time())


@pytest.fixture(params=["memory", "files"])
def backend(
    request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path
) -> Backend:
    """Return one of the places where chains are kept."""
    if request.param == "memory":
        return MemoryBackend(clock)
    return FileBackend(tmp_path / "run", clock=clock)


Make = Callable[[], Ownership]


@pytest.fixture
def process(backend: Backend) -> Make:
    """Return a function that makes what one more process would have of the chain."""
    return lambda: backend.ownership(CHAIN, kind=COMMAND)


def acquired(ownership: Ownership) -> Claim:
    """Become the owner."""
    claim = ownership.acquire()
    assert claim is not None
    return claim


# Owning.


def test_one_owner(process: Make) -> None:
    """One process owns the chain at a time, and the next one when that lets go."""
    one, other = process(), process()
    claim = acquired(one)

    assert other.acquire() is None
    assert one.acquire() is None
    assert claim.check()
    claim.release()
    assert not claim.check()
    assert acquired(other).check()
    claim.release()
    assert one.acquire() is None


def test_token_rises(process: Make) -> None:
    """Each owner has a higher number than all before it."""
    tokens = []
    for _ in range(3):
        claim = acquired(process())
        tokens.append(claim.token)
        claim.release()

    assert tokens == [1, 2, 3]


def test_record(process: Make, clock: FakeClock) -> None:
    """Everybody can read who owns the chain, since when, and that it let go."""
    reader = process()
    assert reader.owner() is None
    claim = acquired(process())

    record = reader.owner()
    assert record is not None
    assert record.owner.kind == COMMAND
    assert (record.seq, record.functions) == (claim.token, CHAIN.paths)
    assert record.since == pytest.approx(clock.time(), abs=0.001)
    assert not record.released
    claim.release()
    record = reader.owner()
    assert record is not None
    assert record.released


def test_kind(backend: Backend) -> None:
    """The record tells whether the owner is a host or a command."""
    acquired(backend.ownership(CHAIN, kind=HOSTED))

    record = backend.ownership(CHAIN, kind=COMMAND).owner()
    assert record is not None
    assert record.owner.kind == HOSTED


def test_run_in_the_record(process: Make, clock: FakeClock) -> None:
    """The record tells which run goes on, and that none does."""
    claim, reader = acquired(process()), process()
    mark = RunMark(CHAIN.paths[1], clock.time(), 1)
    claim.mark(mark)
    record = reader.owner()

    assert record is not None
    assert record.run is not None
    assert (record.run.task, record.run.position) == (mark.task, 1)
    assert record.run.since == pytest.approx(mark.since, abs=0.001)
    claim.mark(None)
    record = reader.owner()
    assert record is not None
    assert record.run is None


def test_good_order(process: Make) -> None:
    """After an owner that let go, nothing was cut or interrupted."""
    claim = acquired(process())
    assert (claim.was_cut, claim.interrupted) == (False, None)
    claim.mark(RunMark(PATH, 0.0))
    claim.mark(None)
    claim.release()

    claim = acquired(process())
    assert (claim.was_cut, claim.interrupted) == (False, None)


# Asking for it.


def test_wanted(process: Make) -> None:
    """The owner is asked for as long as the request is open, and not by itself."""
    owner, candidate = process(), process()
    claim = acquired(owner)

    assert claim.wanted_by() is None
    assert candidate.candidate() is None
    with candidate.request():
        wanted = claim.wanted_by()
        assert wanted is not None
        asks = owner.candidate()
        assert asks is not None
        assert asks.kind == COMMAND
        claim.release()
        mine = acquired(candidate)
        assert mine.wanted_by() is None
        mine.release()
    assert acquired(owner).wanted_by() is None


def test_record_of_a_borrower(process: Make) -> None:
    """Who gives the chain back says so in its record, and nobody else does."""
    borrower, next_one = process(), process()
    borrower.borrows = True
    for ownership in (borrower, next_one):
        claim = acquired(ownership)
        record = next_one.owner()
        assert record is not None
        assert record.borrows == (ownership is borrower)
        claim.release()


def test_who_asks_goes_first(process: Make) -> None:
    """A free chain is left to who has asked for it, by all the others."""
    owner, standby, candidate = process(), process(), process()
    claim = acquired(owner)

    with candidate.request():
        assert standby.acquire() is None
        assert candidate.acquire() is None
        claim.release()
        assert standby.acquire() is None
        assert owner.acquire() is None
        acquired(candidate)


def test_frozen_candidate(process: Make, clock: FakeClock) -> None:
    """A free chain is left to one id for five seconds; then that id counts no more."""
    owner, standby, candidate = process(), process(), process()
    claim = acquired(owner)

    with candidate.request():
        claim.release()
        assert owner.acquire() is None
        clock.advance(LEFT_FREE_S - 0.1)
        assert owner.acquire() is None
        clock.advance(0.2)
        taken_back = acquired(owner)
        assert taken_back.wanted_by() is None
        # Another process finds that out by itself.
        taken_back.release()
        assert standby.acquire() is None
        clock.advance(LEFT_FREE_S)
        acquired(standby)


def test_thawed_candidate(process: Make, clock: FakeClock) -> None:
    """A candidate that finds another owner than it had asked asks that one anew."""
    owner, candidate = process(), process()
    claim = acquired(owner)

    with candidate.request():
        assert candidate.acquire() is None
        spent = claim.wanted_by()
        assert candidate.acquire() is None
        assert claim.wanted_by() == spent
        claim.release()
        assert owner.acquire() is None
        clock.advance(LEFT_FREE_S)
        claim = acquired(owner)
        assert claim.wanted_by() is None

        assert candidate.acquire() is None
        anew = claim.wanted_by()
        assert anew not in (None, spent)
        claim.release()
        assert owner.acquire() is None
        acquired(candidate)


def test_two_candidates(process: Make) -> None:
    """Of two that ask, one goes first, and then the other."""
    owner, one, other = process(), process(), process()
    claim = acquired(owner)

    with one.request():
        first_id = claim.wanted_by()
        with other.request():
            assert other.acquire() is None
            assert claim.wanted_by() == first_id
            claim.release()
            assert other.acquire() is None
            mine = acquired(one)
            assert other.acquire() is None
    assert one.candidate() is None
    with other.request():
        assert other.acquire() is None
        assert mine.wanted_by() not in (None, first_id)
        mine.release()
        acquired(other)


# Taking over.


class Pause:
    """Lets time pass instead of sleeping, and does something at a certain moment."""

    def __init__(self, clock: FakeClock, **moments: Callable[[], object]) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self._moments = {
            float(name.removeprefix("at_")): do for name, do in moments.items()
        }
        self.ends = False

    def __call__(self, seconds: float) -> bool:
        self._clock.advance(seconds)
        passed = self._clock.monotonic() - self._began
        for moment in [moment for moment in self._moments if moment <= passed]:
            self._moments.pop(moment)()
        return self.ends


MINUTE = timedelta(minutes=1)


def test_take_what_is_free(process: Make, clock: FakeClock) -> None:
    """A chain that nobody runs is taken at once, and nobody is asked."""
    claim = take_over(process(), CHAIN, timeout=MINUTE, pause=Pause(clock), clock=clock)

    assert claim is not None
    assert claim.wanted_by() is None


def test_take_over(process: Make, clock: FakeClock) -> None:
    """The owner is asked, and named in the log; it is taken over when it lets go."""
    owner = acquired(process())
    pause = Pause(clock, at_40=owner.release)

    with log() as records:
        claim = take_over(process(), CHAIN, timeout=MINUTE, pause=pause, clock=clock)

    assert claim is not None
    assert claim.token == owner.token + 1
    lines = [text for text in records.texts() if text.startswith("Waiting for ")]
    assert len(lines) == 2
    assert f"process {os.getpid()} on " in lines[0]
    # Nobody asks any more.
    assert process().candidate() is None


def test_give_up(process: Make, clock: FakeClock) -> None:
    """An owner that does not let go in time is named, and goes on."""
    owner = acquired(process())
    owner.mark(RunMark(PATH, clock.time()))

    with pytest.raises(TakeOverTimeout) as caught:
        take_over(process(), CHAIN, timeout=MINUTE, pause=Pause(clock), clock=clock)
    text = str(caught.value)
    assert f"still run by process {os.getpid()} on " in text
    assert f"in {PATH} for 60 s) after 60 seconds" in text
    assert text.endswith("Nothing was killed.")
    assert owner.check()
    assert owner.wanted_by() is None


def test_stopped_while_waiting(process: Make, clock: FakeClock) -> None:
    """Who is stopped while it waits asks no longer."""
    owner, pause = acquired(process()), Pause(clock)
    pause.ends = True

    assert take_over(process(), CHAIN, timeout=MINUTE, pause=pause, clock=clock) is None
    assert owner.wanted_by() is None


def test_take_over_of_other_functions(backend: Backend, clock: FakeClock) -> None:
    """A chain of other functions under the name is an error, and not asked."""
    other = Chain(CHAIN.name, CHAIN.tasks[:1])
    owner = acquired(backend.ownership(other, kind=COMMAND))
    asked: list[object] = []
    pause = Pause(clock, at_0=lambda: asked.append(owner.wanted_by()))

    with pytest.raises(ChainNameTaken, match="The name chain is taken"):
        take_over(
            backend.ownership(CHAIN, kind=COMMAND),
            CHAIN,
            timeout=MINUTE,
            pause=pause,
            clock=clock,
        )
    assert asked == [None]


def test_refuse(process: Make, clock: FakeClock) -> None:
    """Who is not to take over is told who runs the chain, and asks nobody."""
    owner, pause = acquired(process()), Pause(clock)

    with pytest.raises(AlreadyOwned, match=f"is run by process {os.getpid()} on "):
        take_over(process(), CHAIN, timeout=None, pause=pause, clock=clock)
    assert owner.wanted_by() is None
    owner.release()
    claim = take_over(process(), CHAIN, timeout=None, pause=pause, clock=clock)
    assert claim is not None
    assert claim.check()


def test_behind_another_candidate(process: Make, clock: FakeClock) -> None:
    """Who waits behind another candidate takes its turn."""
    owner, other = acquired(process()), process()

    def take_turn() -> None:
        owner.release()
        acquired(other).release()

    with ExitStack() as stack:
        stack.enter_context(other.request())
        pause = Pause(clock, at_1=take_turn, at_2=stack.close)
        claim = take_over(process(), CHAIN, timeout=MINUTE, pause=pause, clock=clock)

    assert claim is not None
    assert claim.token == owner.token + 2


# What is kept.


def test_store(backend: Backend, process: Make) -> None:
    """What an owner saves is there for the next one; what it leaves out is gone."""
    store = backend.store(CHAIN)
    assert store.load() == {}
    claim = acquired(process())
    store.save(claim, {"one": {"ä": [1, None, 2.5]}, "two": "x"})

    assert backend.store(CHAIN).load() == {"one": {"ä": [1, None, 2.5]}, "two": "x"}
    store.save(claim, {"two": "y"})
    assert backend.store(CHAIN).load() == {"two": "y"}


def test_store_of_a_lost_claim(backend: Backend, process: Make) -> None:
    """Who owns the chain no longer writes nothing over what the next owner wrote."""
    store = backend.store(CHAIN)
    old = acquired(process())
    store.save(old, {"by": "the old one"})
    old.release()
    new = acquired(process())
    store.save(new, {"by": "the new one"})

    store.save(old, {"by": "a ghost"})
    assert store.load() == {"by": "the new one"}


def test_steer(backend: Backend) -> None:
    """What people want of the chain is changed in one step, and read by everybody."""
    store = backend.store(CHAIN)
    assert store.desired() == {}
    store.steer(lambda desired: {**desired, "wake": 1})
    backend.store(CHAIN).steer(lambda desired: {"wake": desired["wake"] + 1})

    assert store.desired() == {"wake": 2}


def test_names(backend: Backend, process: Make) -> None:
    """The chains are known by name."""
    other = Chain("another", CHAIN.tasks)
    acquired(process())
    acquired(backend.ownership(other, kind=HOSTED))
    down = Chain("chain.down", CHAIN.tasks)
    acquired(backend.ownership(down, kind=HOSTED))

    assert backend.names() == ["another", "chain"]


def test_what_a_reader_sees(backend: Backend, process: Make) -> None:
    """Who does not own the chain sees whether it has an owner, and what that saved."""
    reader = process()
    assert not reader.lives(reader.owner())
    assert reader.seen_at() is None
    claim = acquired(process())
    backend.store(CHAIN).save(claim, {"tasks": 7})

    assert reader.lives(reader.owner())
    assert reader.seen_at() is not None
    assert backend.store(CHAIN).read()["tasks"] == 7
    claim.release()
    assert not reader.lives(reader.owner())


def test_forget(backend: Backend, process: Make) -> None:
    """Of a chain that has an owner nothing is removed; of another one all is."""
    claim = acquired(process())
    backend.store(CHAIN).steer(lambda _: {"wake": 1})

    assert not backend.forget(CHAIN.name)
    assert backend.store(CHAIN).desired() == {"wake": 1}
    assert claim.check()
    claim.release()
    assert backend.forget(CHAIN.name)
    assert backend.names() == []
    assert backend.store(CHAIN).desired() == {}
    assert backend.forget(CHAIN.name), "it is gone already"


# Where chains are kept.


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("yourlabs.runner.testing.MemoryBackend", MemoryBackend),
        ("yourlabs.runner.storage.file.FileBackend", FileBackend),
        ("yourlabs.runner.storage.file", FileBackend),
        (None, FileBackend),
    ],
)
def test_backend_of_the_settings(
    settings: Any, path: str | None, kind: type[Backend]
) -> None:
    """The setting leads to a class, or a module with `Backend`; it is made once."""
    settings.RUNNER = {} if path is None else {"BACKEND": path}

    assert isinstance(chosen(), kind)
    assert chosen() is chosen()


@pytest.mark.parametrize("path", ["nowhere.at_all", "yourlabs.runner.conf", "os.path"])
def test_backend_that_is_none(settings: Any, path: str) -> None:
    """What leads to no backend is named, with what is expected."""
    settings.RUNNER = {"BACKEND": path}

    with pytest.raises(ImproperlyConfigured, match=r"RUNNER\['BACKEND'\] is .*a class"):
        chosen()
