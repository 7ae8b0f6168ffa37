"""Who may have a lease: tables and invented histories."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yourlabs.runner.chain.decorator import task
from yourlabs.runner.chain.task import make_chain
from yourlabs.runner.cluster.rules import (
    ASK_EVERY_S,
    LEASE_S,
    LOOK_EVERY_S,
    RENEW_EVERY_S,
    SILENCE_S,
    TIMEOUT_S,
    WANTED_S,
    Row,
    interrupted,
    key_of,
    may_take,
    next_look,
)
from yourlabs.runner.ownership.record import HOSTED, Identity, OwnerRecord, RunMark

HERE, ELSEWHERE = "id boot 1 2", "id boot 1 3"
ROW = Row(None, 7, "holder", ELSEWHERE, 12.0, "", -1.0, "{}")


@task
def first() -> None:
    """Do nothing."""


CHAIN = make_chain([first.runner_task], name="chain")
ME = Identity(1, 2, "boot", 3, "web1", HOSTED)
OTHER = replace(ME, pid=4)
RECORD = OwnerRecord(OTHER, 7, 0.0, CHAIN.paths, run=RunMark(CHAIN.paths[0], 1.0))


def test_durations() -> None:
    """Two renewals may time out before the silence, and that is before the end."""
    assert RENEW_EVERY_S + TIMEOUT_S < SILENCE_S < LEASE_S
    assert SILENCE_S + TIMEOUT_S < LEASE_S
    # Who asks does so again before that ends, and is seen while it lasts.
    assert LOOK_EVERY_S + ASK_EVERY_S < WANTED_S


@pytest.mark.parametrize(
    ("changes", "request_id", "expected"),
    [
        pytest.param({}, None, False, id="held"),
        pytest.param({"left": 0.0}, None, True, id="ended"),
        pytest.param({"root": HERE}, None, True, id="same machine"),
        pytest.param({"left": -1.0, "wanted": "a"}, None, True, id="old request"),
        pytest.param(
            {"left": -1.0, "wanted": "a", "wanted_left": 1.0}, None, False, id="wanted"
        ),
        pytest.param(
            {"left": -1.0, "wanted": "a", "wanted_left": 1.0}, "b", False, id="behind"
        ),
        pytest.param(
            {"left": -1.0, "wanted": "a", "wanted_left": 1.0}, "a", True, id="first"
        ),
        pytest.param(
            {"root": HERE, "wanted": "a", "wanted_left": 1.0}, None, False, id="both"
        ),
    ],
)
def test_may_take(
    changes: dict[str, object], request_id: str | None, expected: bool
) -> None:
    """A lease is to be had when it is over, and nobody else goes first."""
    assert may_take(replace(ROW, **changes), HERE, request_id) is expected


@given(
    st.floats(0, 1e9),
    st.lists(st.floats(-100, 100)),
    st.booleans(),
)
def test_next_look(now: float, lefts: list[float], asks: bool) -> None:
    """There is a look at least every two seconds, and when a lease ends."""
    then = next_look(now, lefts, asks=asks)
    assert now <= then <= now + (ASK_EVERY_S if asks else LOOK_EVERY_S)
    assert all(then <= now + left for left in lefts if left > 0)


@given(
    st.lists(
        st.tuples(st.sampled_from(["take", "renew", "wait"]), st.integers(0, 2)),
        max_size=60,
    ),
    st.lists(st.floats(0.1, 9.0), min_size=60, max_size=60),
)
def test_no_two_may_start(steps: list[tuple[str, int]], waits: list[float]) -> None:
    """
    Whatever three machines do and when, no two of them may start a run at once.

    Each counts its silence from before it sent its statement, which takes a while.
    """
    now, row, silent = 0.0, replace(ROW, left=0.0), [0.0, 0.0, 0.0]
    ends, holder = 0.0, -1
    tokens = [row.token]
    for (step, machine), wait in zip(steps, waits, strict=False):
        sent = now
        now += wait / 10
        seen = replace(row, left=ends - now, root=f"root {holder}")
        if (
            step == "take"
            and machine != holder
            and may_take(seen, f"root {machine}", None)
        ):
            holder, ends, row = (
                machine,
                now + LEASE_S,
                replace(row, token=row.token + 1),
            )
            silent[machine] = sent + SILENCE_S
            tokens.append(row.token)
        elif step == "renew" and machine == holder:
            ends, silent[machine] = now + LEASE_S, sent + SILENCE_S
        else:
            now += wait
        assert sum(now < until for until in silent) <= 1
    assert tokens == sorted(set(tokens))


@pytest.mark.parametrize(
    ("row", "local", "expected"),
    [
        pytest.param(ROW, None, None, id="nobody before"),
        pytest.param(replace(ROW, record=RECORD), None, RECORD, id="in a run"),
        pytest.param(
            replace(ROW, record=replace(RECORD, run=None)), None, None, id="in no run"
        ),
        pytest.param(
            replace(ROW, record=replace(RECORD, owner=ME)), None, None, id="itself"
        ),
        pytest.param(
            replace(ROW, record=replace(RECORD, run=RunMark("gone.task", 1.0))),
            None,
            None,
            id="no function of the chain",
        ),
        pytest.param(
            replace(ROW, root=HERE, record=replace(RECORD, run=None)),
            RECORD,
            RECORD,
            id="the pidfile knows more",
        ),
        pytest.param(
            replace(ROW, root=HERE, record=replace(RECORD, run=None)),
            replace(RECORD, owner=ME),
            None,
            id="the pidfile is of another one",
        ),
        pytest.param(
            replace(ROW, record=replace(RECORD, run=None)),
            RECORD,
            None,
            id="the pidfile is of another time",
        ),
    ],
)
def test_interrupted(
    row: Row, local: OwnerRecord | None, expected: OwnerRecord | None
) -> None:
    """A run is booked once: what the row says, and what only the machine knows."""
    assert interrupted(row, CHAIN, ME, HERE, local) == expected


def test_key() -> None:
    """Names that differ in case alone have rows of their own."""
    assert key_of("A") != key_of("a")
    assert len(key_of("é" * 200)) == 64
