"""Taking a chain over from another process, and taking over from the dead."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.jobs import work
from tests.places import Child, Place, overlaps, wait_for
from yourlabs.runner.chain.task import make_chain
from yourlabs.runner.ownership import process as processes
from yourlabs.runner.ownership.pidfile import PidfileOwnership
from yourlabs.runner.ownership.record import COMMAND
from yourlabs.runner.ownership.request import LEFT_FREE_S
from yourlabs.runner.ownership.takeover import log_pidfile, take_over

WORK = "tests.jobs.work"
OTHER = "tests.jobs.other"
GATE = "tests.jobs.wait_at_gate"
GAVE_UP = 75
torture = pytest.mark.torture


def assert_no_overlap(place: Place) -> None:
    """Hold the log of the tasks to it that no two runs overlapped."""
    assert overlaps(place.events(), {}) == []


def runs_of(place: Place, child: Child) -> list[dict[str, Any]]:
    """Return the runs that were begun in a process."""
    return [event for event in place.events("enter") if event["pid"] == child.pid]


def own(place: Place, child: Child, count: int = 1) -> Child:
    """Wait until a process has begun so many runs."""
    wait_for(lambda: len(runs_of(place, child)) >= count or child.has_ended())
    assert len(runs_of(place, child)) >= count, child.text()[-3000:]
    return child


# From another run_functions.


def test_upgrade(place: Place) -> None:
    """The old process finishes its running function and exits 0, the new one runs."""
    old = own(place, place.command(GATE))
    new = place.command(GATE)
    new.wait_for(f"Waiting for process {old.pid} on ")
    assert place.events("leave") == []
    place.gate.touch()
    opened = time.monotonic()

    assert old.wait() == 0
    own(place, new, 2)
    # It looks for requests about once a second.
    assert runs_of(place, old)[-1]["at"] - opened < 2
    assert place.events("leave")[0]["pid"] == old.pid
    assert place.owner("wait_at_gate")["pid"] == new.pid
    assert f"Found pidfile wait_at_gate containing: {old.pid}" in new.text()
    assert_no_overlap(place)


def test_upgrade_in_a_cooldown(place: Place) -> None:
    """A sleeping process lets go when it looks for requests: each second."""
    old = own(place, place.command(WORK, JOB_COOLDOWN="3600"))
    old.wait_for("Sleeping 3600")
    new = place.command(WORK)
    new.wait_for("Waiting for process")
    asked = time.monotonic()

    assert old.wait() == 0
    own(place, new)
    assert runs_of(place, new)[0]["at"] - asked < 2


@torture
def test_candidates_do_not_cut_a_run(place: Place) -> None:
    """However many candidates ask and give up, the running function is finished."""
    old = own(place, place.command(GATE))
    for _ in range(3):
        candidate = place.command("--takeover-timeout", "0.1", GATE)
        assert candidate.wait() == GAVE_UP
        assert f"Waiting for process {old.pid} on " in candidate.text()
    assert not old.has_ended()
    assert place.owner("wait_at_gate")["pid"] == old.pid
    place.gate.touch()
    own(place, old, 3)
    assert place.events()[1]["event"] == "leave"


@pytest.mark.parametrize("frozen", [False, pytest.param(True, marks=torture)])
def test_owner_goes_on(place: Place, frozen: bool) -> None:
    """An owner whose candidate has given up goes on; the next signal stops it."""
    old = own(place, place.command(GATE))
    if frozen:
        old.send(signal.SIGSTOP)
    candidate = place.command("--takeover-timeout", "0.1", GATE)
    assert candidate.wait() == GAVE_UP
    old.send(signal.SIGCONT)
    place.gate.touch()

    own(place, old, 3)
    old.send(signal.SIGTERM)
    assert old.wait() == 0


def test_person_and_candidate(place: Place) -> None:
    """A signal from a person counts, whether a candidate waits or not."""
    old = own(place, place.command(GATE))
    new = place.command(GATE)
    new.wait_for("Waiting for process")
    old.send(signal.SIGTERM)
    time.sleep(0.2)
    assert not old.has_ended()

    assert old.insist(signal.SIGTERM) == 128 + signal.SIGTERM
    place.gate.touch()
    own(place, new)


def test_refused(place: Place) -> None:
    """With ``--no-killconcurrent`` the owner is named, and left alone."""
    owner = own(place, place.command(WORK))
    refused = place.command("--no-killconcurrent", WORK)

    assert refused.wait() == 1
    assert f"is run by process {owner.pid} on " in refused.text()
    assert "Traceback" not in refused.text()
    own(place, owner, len(runs_of(place, owner)) + 2)


@torture
def test_not_refused(place: Place) -> None:
    """With ``--no-killconcurrent`` a chain that nobody runs is run."""
    own(place, place.command(WORK)).kill()

    own(place, place.command("--no-killconcurrent", WORK))


@pytest.mark.parametrize(
    "frozen", [pytest.param(False, marks=torture), True], ids=["busy", "frozen"]
)
def test_timeout(place: Place, frozen: bool) -> None:
    """An owner that does not let go in time is named, with its function, and lives."""
    owner = own(place, place.command(WORK, JOB_SECONDS="60"))
    if frozen:
        owner.send(signal.SIGSTOP)
    candidate = place.command("--takeover-timeout", "0.3", WORK)

    assert candidate.wait() == GAVE_UP
    assert f"still run by process {owner.pid} on " in candidate.text()
    assert f"in {WORK} for " in candidate.text()
    assert "Nothing was killed" in candidate.text()
    assert not owner.has_ended()
    assert runs_of(place, candidate) == []


def test_killed_candidate(place: Place) -> None:
    """A candidate that dies while it waits asks for nothing any more."""
    owner = own(place, place.host(GATE))
    candidate = place.command(GATE)
    candidate.wait_for("Waiting for process")
    candidate.kill()
    place.gate.touch()

    own(place, owner, 2)
    # It never let go: it would have said again that it owns.
    assert owner.text().count("The chain runs in this process") == 1
    assert not owner.has_ended()


def test_other_functions(place: Place) -> None:
    """A chain of other functions under the same name is an error that names both."""
    owner = own(place, place.command("--name", "sync", WORK))
    other = place.command("--name", "sync", OTHER)

    assert other.wait() == 1
    for word in (str(owner.pid), WORK, OTHER, "name=", "sync"):
        assert word in other.text()
    assert "Traceback" not in other.text()
    own(place, owner, len(runs_of(place, owner)) + 2)
    assert not (place.root / "sync.takeover").exists()


@torture
def test_twenty_at_once(place: Place) -> None:
    """Of many that start at once one is left, and no two runs overlapped."""
    started = [place.command(WORK) for _ in range(20)]
    wait_for(lambda: sum(not child.has_ended() for child in started) == 1, 90)
    [last] = [child for child in started if not child.has_ended()]
    own(place, last, 3)

    assert place.owner("work")["pid"] == last.pid
    assert {child.wait() for child in started if child is not last} == {0}
    assert_no_overlap(place)
    assert place.owner("work")["seq"] == 20


# From a process with other work.


def test_hosted_owner(place: Place) -> None:
    """A host lives on: it yields after its function, and takes the chain back."""
    host = own(place, place.host(WORK, JOB_SECONDS="0.3"))
    command = own(place, place.command(WORK))

    assert not host.has_ended()
    before = len(runs_of(place, host))
    own(place, command, 4)
    assert len(runs_of(place, host)) == before
    command.send(signal.SIGTERM)
    assert command.wait() == 0
    ended = time.monotonic()
    own(place, host, before + 1)
    assert runs_of(place, host)[before]["at"] - ended < 1
    assert_no_overlap(place)


@torture
def test_hosts_of_other_functions(place: Place) -> None:
    """A host of other functions under a taken name says so, and stands by."""
    owner = own(place, place.host(WORK, HOST_CHAIN="sync"))
    other = place.host(OTHER, HOST_CHAIN="sync")
    other.wait_for("The name sync is taken")

    own(place, owner, len(runs_of(place, owner)) + 20)
    assert other.text().count("tries again: The name sync is taken") == 1
    assert runs_of(place, other) == []


# From a candidate that is frozen, or borrows.


def freeze(candidate: Child) -> None:
    """Stop it while it asks for the chain."""
    candidate.wait_for("Waiting for process")
    candidate.send(signal.SIGSTOP)


@pytest.mark.parametrize("kind", ["host", "command"])
def test_frozen_candidate(place: Place, kind: str) -> None:
    """A candidate that is frozen keeps a chain from running for five seconds.

    Nobody else took it, so a command does not end. When the candidate thaws it asks
    anew, and is served.
    """
    owner = own(place, getattr(place, kind)(WORK))
    candidate = place.command(WORK)
    freeze(candidate)

    def gaps() -> list[float]:
        entered = [run["at"] for run in runs_of(place, owner)]
        return [after - before for before, after in pairwise(entered)]

    wait_for(lambda: max(gaps(), default=0) > LEFT_FREE_S - 1)
    assert max(gaps()) < LEFT_FREE_S + 3
    assert not owner.has_ended()
    candidate.send(signal.SIGCONT)
    own(place, candidate)
    if kind == "command":
        assert owner.wait() == 0
    assert_no_overlap(place)


@torture
def test_frozen_candidate_and_standby(place: Place) -> None:
    """Who stands by takes a chain whose owner died while a candidate is frozen."""
    owner = own(place, place.host(WORK))
    standby = place.host(WORK)
    standby.wait_for("Chains may run in this process")
    freeze(place.command(WORK))
    owner.kill()

    own(place, standby)
    assert_no_overlap(place)


@pytest.mark.parametrize("kind", ["host", "command"])
def test_borrowed(place: Place, kind: str) -> None:
    """``--once`` borrows the chain: its owner stands by, and takes it back."""
    owner = own(place, getattr(place, kind)(WORK, JOB_SECONDS="0.2"))
    borrower = place.command("--once", WORK)

    assert borrower.wait() == 0
    assert len(runs_of(place, borrower)) == 1
    own(place, owner, len(runs_of(place, owner)) + 1)
    assert not owner.has_ended()
    assert_no_overlap(place)


def test_borrowed_beside_a_standby(place: Place) -> None:
    """The command that lent the chain gets it back, and not a web worker."""
    owner = own(place, place.command(WORK, JOB_SECONDS="0.1"))
    standby = place.host(WORK)
    standby.wait_for("Chains may run in this process")
    for _ in range(3):
        assert place.command("--once", WORK).wait() == 0
        own(place, owner, len(runs_of(place, owner)) + 1)

    assert not owner.has_ended()
    assert runs_of(place, standby) == []
    assert_no_overlap(place)


# From the dead.


def test_survivors_of_a_task(place: Place) -> None:
    """What a task has started does not keep the chain from the next owner."""
    owner = place.host("tests.jobs.leave_children", JOB_COOLDOWN="3600")
    place.wait_for_events(1, "leave")
    heir = place.host("tests.jobs.leave_children", JOB_COOLDOWN="0")
    heir.wait_for("Chains may run in this process")
    # Its children have its process group, and live on.
    before = time.monotonic()
    os.kill(owner.pid, signal.SIGKILL)

    heir.wait_for("The chain runs in this process")
    assert time.monotonic() - before < 1
    [forked] = place.events("forked")[:1]
    assert processes.start_ticks(forked["child"]) is not None


@torture
def test_kill_in_cooldowns(place: Place) -> None:
    """Whenever the owner is killed, one of those that stand by runs in a second."""
    hosts = [place.host(WORK, JOB_COOLDOWN="0.2") for _ in range(5)]
    latencies = []
    for _ in range(3):
        owner = wait_for(lambda: owner_among(place, hosts))
        own(place, owner)
        wait_for(lambda: place.owner("work")["run"] is None)
        killed = time.monotonic()
        owner.kill()
        hosts.remove(owner)
        hosts.append(place.host(WORK, JOB_COOLDOWN="0.2"))
        wait_for(lambda: place.events("enter")[-1]["at"] > killed)  # noqa: B023
        latencies.append(place.events("enter")[-1]["at"] - killed)

    assert max(latencies) < 1, latencies
    assert_no_overlap(place)


def owner_among(place: Place, children: list[Child]) -> Child | None:
    """Return the process that the pidfile names."""
    pid = place.owner("work").get("pid")
    return next((child for child in children if child.pid == pid), None)


# Pidfiles that lie.


@pytest.fixture(scope="module")
def innocent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """Return a process that has nothing to do with all this."""
    place = Place(tmp_path_factory.mktemp("innocent"))
    yield place.script("import time; time.sleep(600)")
    place.close()


def record_of(place: Place, innocent: Child, **values: Any) -> bytes:
    """Return the record that the innocent would have written as the owner."""
    record = {
        "version": 1,
        "pid": innocent.pid,
        "start": processes.start_ticks(innocent.pid),
        "boot": processes.boot_id(),
        "pidns": processes.pid_namespace(),
        "host": "here",
        "kind": "command",
        "seq": 7,
        "since": time.time(),
        "functions": [WORK],
        "released": False,
        "run": None,
        **values,
    }
    return f"{record['pid']}\n{json.dumps(record)}\n".encode()


LIES: dict[str, Callable[[Place, Child], bytes]] = {
    "its pid": lambda place, child: f"{child.pid}\n".encode(),
    "minus one": lambda place, child: b"-1\n",
    "zero": lambda place, child: b"0\n",
    "one": lambda place, child: b"1\n",
    "empty": lambda place, child: b"",
    "garbage": lambda place, child: b"garbage\n",
    "self": lambda place, child: b"self\n",
    "a huge number": lambda place, child: b"9" * 400,
    "binary": lambda place, child: bytes(range(256)),
    "a megabyte": lambda place, child: f"{child.pid}\n".encode() + b"\0" * 2**20,
    "forged": record_of,
    "forged as hosted": lambda place, child: record_of(place, child, kind="hosted"),
    "of another boot": lambda place, child: record_of(place, child, boot="other"),
    "of another namespace": lambda place, child: record_of(place, child, pidns=1),
    "of others": lambda place, child: record_of(place, child, functions=[OTHER]),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_lying_pidfile(
    place: Place, innocent: Child, lie: Callable[[Place, Child], bytes]
) -> None:
    """A pidfile that lies kills nobody and stops nothing."""
    place.root.mkdir(0o750, parents=True)
    place.pidfile("work").write_bytes(lie(place, innocent))
    chain = make_chain([work.runner_task])
    ownership = PidfileOwnership(place.root, chain, COMMAND)

    log_pidfile(ownership, chain)
    claim = take_over(ownership, chain, timeout=timedelta(0), pause=lambda _: True)
    assert claim is not None
    assert place.owner("work")["pid"] == os.getpid()
    claim.release()
    assert not innocent.has_ended()


def test_forged_pidfile(place: Place, innocent: Child) -> None:
    """The same holds for the command itself."""
    place.root.mkdir(parents=True)
    place.pidfile("work").write_bytes(record_of(place, innocent))
    child = place.command("--once", WORK)

    assert child.wait() == 0
    assert not innocent.has_ended()
    assert child.lines()[:3] == [
        f"Found pidfile work containing: {innocent.pid}",
        f"Process {innocent.pid} is not the owner of pidfile work, wiping it",
        "Wrote pidfile work",
    ]


def test_lying_pidfile_of_an_owner(place: Place, innocent: Child) -> None:
    """Whoever the pidfile names while another process owns it is left alone."""
    owner = own(place, place.command(WORK, JOB_COOLDOWN="3600"))
    owner.wait_for("Sleeping")
    place.pidfile("work").write_bytes(record_of(place, innocent))
    new = own(place, place.command(WORK))

    assert owner.wait() == 0
    assert not innocent.has_ended()
    assert place.owner("work")["pid"] == new.pid


def fifo(path: Path) -> None:
    """Be something that a reader waits at."""
    os.mkfifo(path)


def link(path: Path) -> None:
    """Point elsewhere."""
    path.symlink_to(path.parent / "elsewhere")


@pytest.mark.parametrize(
    ("make", "suffix"),
    [
        (fifo, ".pid"),
        (fifo, ".takeover"),
        pytest.param(link, ".pid", marks=torture),
        pytest.param(link, ".takeover", marks=torture),
        pytest.param(Path.mkdir, ".pid", marks=torture),
        pytest.param(Path.mkdir, ".takeover", marks=torture),
    ],
)
def test_no_plain_file(place: Place, make: Callable[[Path], None], suffix: str) -> None:
    """What is no plain file is refused with an error; a host lives on, and recovers."""
    host = None
    if suffix == ".takeover":
        host = own(place, place.host(WORK))
    place.root.mkdir(parents=True, exist_ok=True)
    path = place.pidfile("work").with_suffix(suffix)
    make(path)
    command = place.command(WORK)

    assert command.wait() == 1
    assert "CommandError: " in command.text()
    assert str(path) in command.text()
    assert "Traceback" not in command.text()
    if host is not None:
        own(place, host, len(runs_of(place, host)) + 1)
        return
    host = place.host(WORK)
    host.wait_for("tries again")
    assert str(path) in host.text()
    path.rmdir() if path.is_dir() else path.unlink()
    own(place, host)
    assert host.text().count("tries again") == 1


# Faults of RUN_ROOT.


@pytest.mark.parametrize(
    ("kind", "remove"),
    [
        ("command", Path.unlink),
        pytest.param("host", Path.unlink, marks=torture),
        pytest.param("host", lambda path: shutil.rmtree(path.parent), marks=torture),
    ],
)
def test_removed_pidfile(
    place: Place, kind: str, remove: Callable[[Path], None]
) -> None:
    """An owner whose pidfile is deleted says so, and goes on under a new one."""
    child = own(place, getattr(place, kind)(WORK))
    remove(place.pidfile("work"))
    removed = time.monotonic()
    child.wait_for("The pidfile was removed or replaced.")

    assert time.monotonic() - removed < 1.5
    wait_for(place.pidfile("work").exists)
    own(place, child, len(runs_of(place, child)) + 2)
    wait_for(lambda: place.owner("work").get("pid") == child.pid)
    assert child.text().count("The pidfile was removed or replaced.") == 1


@torture
def test_removed_directory(place: Place) -> None:
    """While RUN_ROOT cannot be made the chain waits, in peace, and then goes on."""
    child = own(place, place.host(WORK))
    aside = place.folder / "aside"
    (place.folder / "var").rename(aside)
    (place.folder / "var").write_text("no directory")
    child.wait_for("tries again")
    begun, used = len(place.events("enter")), cpu_seconds(child.pid)
    time.sleep(1.2)

    assert len(place.events("enter")) == begun
    assert cpu_seconds(child.pid) - used < 0.3
    (place.folder / "var").unlink()
    own(place, child, begun + 1)
    assert child.text().count("tries again") == 1


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def test_directory_of_everybody(place: Place) -> None:
    """No chain starts in a RUN_ROOT that everybody may write to; it says what to do.

    A host lives on, and runs it when that was done.
    """
    place.root.mkdir(parents=True)
    place.root.chmod(0o777)
    command, host = place.command(WORK), place.host(WORK)

    assert command.wait() == 1
    assert "CommandError: RUN_ROOT" in command.text()
    assert f"To mend it: chmod o-w {place.root}" in command.text()
    host.wait_for("tries again: RUN_ROOT")
    assert list(place.root.glob("*.pid")) == []
    place.root.chmod(0o775)
    own(place, host)


@pytest.fixture
def mounted(place: Place) -> Iterator[Callable[..., None]]:
    """Return a function that mounts RUN_ROOT with some options."""
    if os.geteuid():
        pytest.skip("needs root")
    place.root.mkdir(parents=True)

    def mount(*options: str) -> None:
        command = ["mount", *options, str(place.root)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("cannot mount")

    yield mount
    place.close()
    subprocess.run(["umount", "-l", str(place.root)], capture_output=True)


def fill(place: Place) -> Path:
    """Leave no room in RUN_ROOT."""
    filler = place.root / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(b"x" * 2**20)
    return filler


@torture
@pytest.mark.parametrize("fault", ["read-only", "full"])
def test_unwritable(place: Place, mounted: Callable[..., None], fault: str) -> None:
    """A RUN_ROOT that cannot be written to is told once, and the chain recovers."""
    is_full = fault == "full"
    mounted(
        "-t", "tmpfs", "-o", "mode=750,size=16k" if is_full else "mode=750,ro", "tmpfs"
    )
    filler = fill(place) if is_full else None
    command = place.command(WORK)
    assert command.wait() == 1
    assert "CommandError: " in command.text()
    assert str(place.pidfile("work")) in command.text()
    host = place.host(WORK)
    host.wait_for("tries again")
    if filler is None:
        mounted("-o", "remount,rw")
    else:
        filler.unlink()

    own(place, host)
    assert host.text().count("tries again") == 1


@torture
def test_full_while_owning(place: Place, mounted: Callable[..., None]) -> None:
    """A chain that runs already goes on when the disk is full, and says so once."""
    mounted("-t", "tmpfs", "-o", "mode=750,size=32k", "tmpfs")
    host = own(place, place.host("tests.jobs.fail", JOB_FAIL_COOLDOWN="0.6"))
    filler = fill(place)
    own(place, host, len(runs_of(place, host)) + 4)
    filler.unlink()
    own(place, host, len(runs_of(place, host)) + 2)

    assert host.text().count("cannot be written") == 1
    state = json.loads((place.root / "fail.json").read_text())
    assert state["downtimes"]["tests.jobs.fail"]["failures"] >= 6


@torture
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_owner_in_a_container(place: Place) -> None:
    """An owner in another pid namespace is excluded, and yields when it is asked."""
    owner = place.script(
        "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])",
        *("unshare", "--pid", "--fork", "--mount-proc", "--kill-child"),
        *(sys.executable, "-m", "yourlabs.runner", WORK),
    )
    wait_for(lambda: place.owner("work").get("pid") == 1 or owner.has_ended())
    assert place.command("--takeover-timeout", "0", WORK).wait() == GAVE_UP
    new = own(place, place.command(WORK))

    assert owner.wait() == 0
    assert new.text().count("Waiting for process 1 on ") == 1
    assert "Process 1 is in another container, or outside of this one" in new.text()
    assert "wiping" not in new.text()
    assert_no_overlap(place)
