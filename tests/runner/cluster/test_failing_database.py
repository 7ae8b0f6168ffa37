"""What chains do while their database fails, and what they cost it."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import pytest

from tests.places import wait_for
from tests.runner.cluster.harness import (
    DEADLINE,
    Cluster,
    ClusterPostgreSQL,
    ClusterServer,
    small_disk,
)
from tests.runner.test_databases import folder_of
from yourlabs.runner.cluster.rules import SILENCE_S

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]

AWAY_S = float(os.environ.get("CLUSTER_AWAY_SECONDS", "13"))
"""For how long a database is away: longer than a machine may run without it."""


def test_database_away(cluster: Cluster, server: ClusterServer) -> None:
    """While the database is away no run begins; afterwards the chain goes on."""
    for root in ("one", "two"):
        cluster.machine(root, "a=quick")
    first = cluster.wait_for_run()
    server.kill()
    away = time.monotonic()
    try:
        time.sleep(AWAY_S)
        back = time.monotonic()
    finally:
        server.start()
    answered = time.monotonic()

    run = cluster.wait_for_run(since=back)
    last = [one for one in cluster.events(since=away) if one["at"] < back][-1]
    print(
        f"\nlast run {last['at'] - away:.1f} s after the database went, next "
        f"{run['at'] - answered:.1f} s after its return"
    )
    assert last["at"] - away < 10.5
    assert run["at"] - answered < 10.0
    # The same one when it was the first to renew: nobody else had it meanwhile.
    assert run["token"] >= first["token"]
    assert cluster.overlaps() == []


def test_short_absence(cluster: Cluster, server: ClusterServer) -> None:
    """A restart of the database, and cut connections, cost no ownership."""
    machine = cluster.machine("one", "a=quick")
    first = cluster.wait_for_run()
    server.cut_connections()
    cluster.wait_for_run(since=time.monotonic() + 2)
    server.stop()
    server.start()
    run = cluster.wait_for_run(since=time.monotonic() + 11)

    assert run["token"] == first["token"]
    assert "ownership_lost" not in "".join(machine.lines)


def test_read_only(cluster: Cluster, server: ClusterServer) -> None:
    """A database that takes no writes is as good as none, until it does again."""
    cluster.machine("one", "a=quick")
    first = cluster.wait_for_run()
    server.make_read_only(is_read_only=True)
    refused = time.monotonic()
    try:
        time.sleep(13)
        last = cluster.events()[-1]
    finally:
        server.make_read_only(is_read_only=False)
    run = cluster.wait_for_run(since=time.monotonic())

    assert last["at"] - refused < 10.5
    assert run["token"] > first["token"]


def test_locked_row(cluster: Cluster, server: ClusterServer) -> None:
    """A row that a session of somebody else has locked holds up its own chain alone."""
    if server.kind == "pgbouncer":
        pytest.skip("it takes no timeouts for one connection")
    cluster.machine("one", "a=quick", "b=quick")
    cluster.wait_for_run(lambda one: one["chain"] == "a")
    first = cluster.wait_for_run(lambda one: one["chain"] == "b")
    with server.transaction() as execute:
        execute("select * from yourlabs_runner_lease where name = 'a' for update")
        locked = time.monotonic()
        run = cluster.wait_for_run(
            lambda one: one["chain"] == "b", since=locked + SILENCE_S + 1
        )
        assert run["token"] == first["token"]
        runs = [one for one in cluster.events(since=locked) if one["chain"] == "a"]
        assert runs[-1]["at"] - locked < SILENCE_S + 0.5
    cluster.wait_for_run(lambda one: one["chain"] == "a", since=time.monotonic())


def test_deadlock(cluster: Cluster, server: ClusterServer) -> None:
    """A deadlock with a session of somebody else costs no ownership."""
    machine = cluster.machine("one", "a=rest", "b=rest")
    wait_for(lambda: len(cluster.events("leave")) == 2, DEADLINE)
    # The last runs have been written: only renewals have to do with the rows.
    time.sleep(2)
    lock = "select * from yourlabs_runner_lease where name = '{}' for update"
    # In one of the two orders the renewal has the other row already.
    for one, other in ("ab", "ba"):
        with server.transaction() as execute:
            execute(lock.format(one))
            wait_for(server.waiting, DEADLINE)
            with contextlib.suppress(Exception):
                execute(lock.format(other))

    ends = "select sum(lease_until), max(token) from yourlabs_runner_lease"
    ((before, _),) = server.execute(ends)
    wait_for(lambda: server.execute(ends)[0][0] > before, DEADLINE)
    assert server.execute(ends)[0][1] == 1
    assert "no longer run here" not in "".join(machine.lines)


def test_empty_replica(cluster: Cluster, server: ClusterServer) -> None:
    """Where the database has forgotten all, a process still counts on."""
    cluster.machine("one", "a=quick")
    first = cluster.wait_for_run()
    server.execute("delete from yourlabs_runner_lease")

    run = cluster.wait_for_run(lambda one: one["token"] != first["token"])
    assert run["token"] > first["token"]


@pytest.mark.torture
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")
def test_full_disk(postgresql: ClusterPostgreSQL, tmp_path: Path) -> None:
    """A database whose disk is full is as good as none, until there is room again."""
    psycopg = pytest.importorskip("psycopg")
    table = "yourlabs_runner_lease"
    cluster = Cluster(tmp_path, postgresql.database)
    with folder_of("postgres") as folder, small_disk(folder) as disk:
        postgresql.execute(f"delete from {table}")
        postgresql.execute(f"create tablespace small location '{disk}'")
        postgresql.execute(f"alter table {table} set tablespace small")
        cluster.machine("one", "a=quick")
        first = cluster.wait_for_run()
        with postgresql.transaction() as execute:
            # What this snapshot sees takes its room, however often it is updated.
            execute("set transaction isolation level repeatable read")
            execute(f"select * from {table}")
            with contextlib.suppress(OSError), (disk / "rest").open("wb", 0) as file:
                while file.write(b"x" * 512):
                    pass
            with contextlib.suppress(psycopg.errors.DiskFull):
                while True:
                    postgresql.execute(f"update {table} set desired = desired")
            full = time.monotonic()
            time.sleep(SILENCE_S + 2)
            last = cluster.events()[-1]
            (disk / "rest").unlink()
        run = cluster.wait_for_run(since=time.monotonic())
        cluster.close()
        postgresql.execute(f"alter table {table} set tablespace pg_default")
        postgresql.execute("drop tablespace small")

    assert last["at"] - full < SILENCE_S + 0.5
    assert run["token"] > first["token"]


def test_statements_at_rest(cluster: Cluster, server: ClusterServer) -> None:
    """100 chains on three machines cost three statements a second, at the most."""
    names = [f"chain{number}=rest" for number in range(100)]
    for root in ("one", "two", "three"):
        cluster.machine(root, *names)
    wait_for(lambda: len(cluster.events("leave")) == 100, 60)
    # What the last runs have left to write is written.
    time.sleep(2)
    server.begin_count()
    began = time.monotonic()
    # The renewals and looks of some rounds.
    time.sleep(12)
    found = server.count()
    rate = sum(count for _, count in found) / (time.monotonic() - began)

    print(f"\n{rate:.2f} statements a second: {[(t[:50], n) for t, n in found]}")
    assert rate <= 3.0


# Behind a pooler.


def test_pooled(pooled: Cluster, postgresql: ClusterPostgreSQL) -> None:
    """Behind a pooler in transaction mode everything is as before it."""
    owner = pooled.machine("one", "a=quick")
    pooled.wait_for_run()
    other = pooled.machine("one", "a=quick")
    second = pooled.machine("two", "a=quick")
    for machine in (other, second):
        machine.expect("started")
    time.sleep(1.5)
    died = pooled.kill_at_rest(owner)
    run = pooled.wait_for_run(lambda one: one["pid"] == other.process.pid)
    assert run["at"] - died < 1.0
    let_go = other.stop()
    run = pooled.wait_for_run(lambda one: one["root"] == "two")
    assert run["at"] - let_go < 2.0
    second.stop()
    states = postgresql.execute(
        "select count(*) from pg_stat_activity where state like 'idle in%'"
    )
    assert states == [(0,)]
    assert pooled.overlaps() == []
