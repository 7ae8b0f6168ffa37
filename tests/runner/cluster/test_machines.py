"""How a chain moves between processes and machines, with real servers and kills."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.places import wait_for
from tests.processes import Child
from tests.runner.cluster.harness import Cluster, Network

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]


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
    assert cluster.overlaps() == []


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
    assert cluster.overlaps() == []


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
def test_partition(cluster: Cluster) -> None:
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
