"""What a chain on several machines promises, with real servers and real kills."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.places import wait_for
from tests.processes import Child
from tests.runner.cluster.harness import (
    DEADLINE,
    Cluster,
    ClusterPostgreSQL,
    ClusterServer,
    Network,
    overlaps,
    small_disk,
)
from tests.runner.test_databases import folder_of
from yourlabs.runner.cluster.rules import SILENCE_S

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]

AWAY_S = float(os.environ.get("CLUSTER_AWAY_SECONDS", "13"))
"""For how long a database is away: longer than a machine may run without it."""


def runs_and_leaves(cluster: Cluster) -> list[dict[str, object]]:
    """Return all that was told, in order."""
    return [
        json.loads(line)
        for line in cluster.log.read_text().rpartition("\n")[0].splitlines()
    ]


def test_dead_process(cluster: Cluster) -> None:
    """When a process is killed, another one of its machine goes on at once."""
    owner = cluster.machine("one", "a=quick")
    first = cluster.wait_for_run()
    other = cluster.machine("one", "a=quick")
    other.expect("started")
    # It has looked who the owner is.
    time.sleep(1.5)
    died = cluster.kill_at_rest(owner)

    run = cluster.wait_for_run(lambda one: one["pid"] == other.process.pid)
    print(f"\nnext run {run['at'] - died:.3f} s after the kill")
    assert run["at"] - died < 1.0
    assert run["token"] > first["token"]


def test_dead_machine(cluster: Cluster) -> None:
    """
    When a machine dies, another one goes on when its lease has ended.

    Here as everywhere in these tests, all machines have the same host name.
    """
    owner = cluster.machine("one", "a=quick")
    first = cluster.wait_for_run()
    cluster.machine("two", "a=quick").expect("started")
    died = cluster.kill_at_rest(owner)

    run = cluster.wait_for_run(lambda one: one["root"] == "two")
    print(f"\nnext run {run['at'] - died:.3f} s after the machine died")
    assert 9.0 < run["at"] - died < 25.0
    assert run["token"] > first["token"]


def test_good_order(cluster: Cluster) -> None:
    """When a machine ends in good order, another one goes on within two seconds."""
    owner = cluster.machine("one", "a=quick")
    cluster.wait_for_run()
    cluster.machine("two", "a=quick").expect("started")
    time.sleep(1.0)
    let_go = owner.stop()

    run = cluster.wait_for_run(lambda one: one["root"] == "two")
    print(f"\nnext run {run['at'] - let_go:.3f} s after it let go")
    assert run["at"] - let_go < 2.0
    assert overlaps(runs_and_leaves(cluster)) == []


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
    assert run["token"] > first["token"]
    assert overlaps(runs_and_leaves(cluster)) == []


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


def test_frozen(cluster: Cluster) -> None:
    """A machine that was frozen past its lease starts nothing when it thaws."""
    owner = cluster.machine("one", "a=quick")
    cluster.wait_for_run()
    cluster.machine("two", "a=quick").expect("started")
    owner.process.send_signal(signal.SIGSTOP)
    run = cluster.wait_for_run(lambda one: one["root"] == "two")
    thawed = time.monotonic()
    owner.process.send_signal(signal.SIGCONT)
    cluster.wait_for_run(lambda one: one["root"] == "two", since=thawed + 3)

    late = [one for one in cluster.events(since=run["at"]) if one["root"] == "one"]
    assert late == []


def test_command_of_another_machine(cluster: Cluster) -> None:
    """A command takes the chain over from another machine, and gives it back."""
    cluster.machine("one", "a=quick")
    cluster.wait_for_run()
    asked = time.monotonic()
    command = cluster.machine("two", "a=quick", COMMAND="1")
    taken = cluster.wait_for_run(lambda one: one["root"] == "two")
    command.process.send_signal(signal.SIGTERM)
    command.process.wait(20)
    ended = time.monotonic()
    back = cluster.wait_for_run(
        lambda one: one["root"] == "one" and one["token"] > taken["token"]
    )

    print(f"\ntaken after {taken['at'] - asked:.1f} s, back {back['at'] - ended:.1f} s")
    assert taken["at"] - asked < 10
    assert back["at"] - ended < 3
    assert overlaps(runs_and_leaves(cluster)) == []


def test_command_replaces_command(cluster: Cluster) -> None:
    """A command that another machine's command takes over from ends by itself."""
    old = cluster.machine("one", "a=quick", COMMAND="1")
    cluster.wait_for_run()
    cluster.machine("two", "a=quick", COMMAND="1")
    cluster.wait_for_run(lambda one: one["root"] == "two")

    assert old.process.wait(15) == 0


def test_candidate_of_the_same_machine(cluster: Cluster) -> None:
    """A command gets past a web worker that stands by on its own machine."""
    cluster.machine("one", "a=quick")
    cluster.wait_for_run()
    cluster.machine("two", "a=quick").expect("started")
    time.sleep(1.5)
    command = cluster.machine("two", "a=quick", COMMAND="1")

    cluster.wait_for_run(lambda one: one["pid"] == command.process.pid)


STEER = """
import json, sys
from tests.runner.cluster.machine import configure
configure(*sys.argv[1:4])
from yourlabs import runner
for line in sys.stdin:
    if line == "pause\\n":
        runner.pause("a", reason="for a test")
    elif line == "resume\\n":
        runner.resume("a")
    (chain,) = runner.status("a")["chains"]
    print(chain["state"], chain["owner"]["pid"], flush=True)
"""


def test_seen_and_steered_from_any_machine(cluster: Cluster) -> None:
    """A machine that runs nothing sees the owner of another one, and pauses it."""
    owner = cluster.machine("one", "a=quick")
    cluster.wait_for_run()
    database, root = json.dumps(cluster.database), str(cluster.folder / "reader")
    with Child("-c", STEER, database, root, str(cluster.log)) as reader:
        reader.send("pause")
        reader.expect(str(owner.process.pid))
        paused = time.monotonic() + 3
        with pytest.raises(AssertionError, match="no such run"):
            cluster.wait_for_run(since=paused, deadline=5)
        reader.send("look")
        reader.expect("paused")
        reader.send("resume")
        cluster.wait_for_run(since=paused)


def test_interrupted_on_another_machine(cluster: Cluster) -> None:
    """A machine that dies inside a run leaves word of it to the next one."""
    owner = cluster.machine("one", "a=cut")
    cluster.wait_for_run()
    time.sleep(0.5)
    other = cluster.machine("two", "a=cut")
    other.expect("started")
    owner.kill()

    other.expect("Its process ended while the task was running.")


def test_copied_folder(cluster: Cluster, tmp_path: Path) -> None:
    """A copy of a RUN_ROOT, id and all, is another machine."""
    owner = cluster.machine("one", "a=quick")
    cluster.wait_for_run()
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    died = cluster.kill_at_rest(owner)
    cluster.machine("two", "a=quick")

    run = cluster.wait_for_run(lambda one: one["root"] == "two")
    assert run["at"] - died > 9.0


def test_clocks(cluster: Cluster) -> None:
    """Machines whose clocks are hours off hand over as others do."""
    owner = cluster.machine("one", "a=quick", HOURS_OFF="5")
    first = cluster.wait_for_run()
    second = cluster.machine("two", "a=quick", HOURS_OFF="-7")
    second.expect("started")
    time.sleep(1.0)
    let_go = owner.stop()
    run = cluster.wait_for_run(lambda one: one["root"] == "two")

    assert run["at"] - let_go < 3.0
    assert run["token"] == first["token"] + 1


def test_two_chains_two_machines(cluster: Cluster) -> None:
    """Each chain has one owner, wherever it is."""
    for root in ("one", "two", "three"):
        cluster.machine(root, "a=quick", "b=steady")
    cluster.wait_for_run(since=time.monotonic() + 5)

    owners = {(one["token"], one["root"]) for one in cluster.events()}
    assert {token for token, _ in owners} == {1}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make networks")
def test_partition(cluster: Cluster, server: ClusterServer) -> None:
    """A machine that is cut off starts nothing more; it joins again afterwards."""
    network = Network(f"clu{os.getpid() % 10000}", os.getpid() % 200)
    try:
        cluster.machine("one", "a=quick", NETWORK=network.name, ADDRESS=network.address)
        cluster.wait_for_run()
        cluster.machine("two", "a=quick").expect("started")
        network.pull()
        cut = time.monotonic()
        run = cluster.wait_for_run(lambda one: one["root"] == "two")
        last = [one for one in cluster.events() if one["root"] == "one"][-1]
        print(
            f"\nsilent {last['at'] - cut:.1f} s after the cut, next run after "
            f"{run['at'] - cut:.1f} s"
        )
        assert last["at"] - cut < 10.5
        assert last["at"] < run["at"]
        assert run["at"] - cut < 25.0
        network.plug()
        cluster.machines[1].stop()
        cluster.wait_for_run(lambda one: one["root"] == "one", since=time.monotonic())
    finally:
        cluster.close()
        network.close()


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


def test_mails(cluster: Cluster, tmp_path: Path) -> None:
    """A failure is told once, and healed once, though the owner moves ten times."""
    mails = tmp_path / "mails"
    options = json.dumps(
        {
            "EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend",
            "EMAIL_FILE_PATH": str(mails),
            "ADMINS": [["admin", "admin@example.com"]],
        }
    )
    machines = [
        cluster.machine(root, "a=fail", OPTIONS=options) for root in ("one", "two")
    ]
    cluster.wait_for_run()
    for move in range(10):
        owner = cluster.events()[-1]
        # Its first run was told, or will be: a mail takes a moment.
        wait_for(lambda: list(mails.glob("*")))
        machine = next(m for m in machines if m.process.pid == owner["pid"])
        machines.remove(machine)
        machine.stop() if move % 2 else cluster.kill_at_rest(machine, 0.3)
        machines.append(cluster.machine(machine.root, "a=fail", OPTIONS=options))
        cluster.wait_for_run(
            lambda one, token=owner["token"]: one["token"] > token  # type: ignore[misc]
        )
    Path(f"{cluster.log}.go").touch()

    def subjects() -> list[str]:
        texts = [path.read_text() for path in sorted(mails.glob("*"))]
        lines = [line for text in texts for line in text.splitlines()]
        return [line for line in lines if line.startswith("Subject: ")]

    wait_for(lambda: any("healed" in one for one in subjects()))
    time.sleep(2)
    print(*subjects(), sep="\n")
    assert sum("First exception" in one for one in subjects()) == 1
    assert sum("healed" in one for one in subjects()) == 1
    assert len(subjects()) == 2


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
    assert overlaps(runs_and_leaves(pooled)) == []
