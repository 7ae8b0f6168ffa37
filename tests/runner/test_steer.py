"""Chains are seen and steered from any process, by what their owners write."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.places import Child, Place, overlaps, wait_for
from tests.runner.fakes import log, quick, started
from yourlabs import runner
from yourlabs.runner.chain.registry import make_thread
from yourlabs.runner.chain.task import make_chain
from yourlabs.runner.chain.thread import RunnerThread
from yourlabs.runner.ownership.record import Mode
from yourlabs.runner.steer import health
from yourlabs.runner.steer.control import as_epoch, this_user
from yourlabs.runner.steer.reading import read_chain

WORK = "tests.jobs.work"
KEYS = [
    *("name", "reason", "state", "owner", "current", "next_run", "paused"),
    *("silenced", "asked", "seen", "tasks"),
]


@pytest.fixture
def root(tmp_path: Path, settings: Any) -> Path:
    """Return the RUN_ROOT of this test."""
    settings.RUN_ROOT = str(tmp_path / "run")
    return tmp_path / "run"


def chain_of(function: Any = lambda: None, **options: Any) -> RunnerThread:
    """Return a thread with real files, which is not started."""
    task = quick(function, success_cooldown=3_600, fail_cooldown=3_600, **options)
    return make_thread(make_chain([task], name="sync"), Mode.HOSTED)


def fail() -> None:
    """Raise."""
    raise ValueError("no <b>route</b> to host, password=hunter2")


def the(name: str = "sync") -> dict[str, Any]:
    """Return the status of one chain."""
    (found,) = runner.status(name)["chains"]
    return dict(found)


def command(*arguments: str, code: int = 0) -> str:
    """Run the command in this process; return what it prints."""
    out = io.StringIO()
    found, printed = 0, ""
    try:
        call_command("runner", *arguments, stdout=out, no_color=True)
    except CommandError as exc:
        found, printed = exc.returncode, str(exc)
    except SystemExit as exc:
        found = int(exc.code or 0)
    assert code == found, (printed, out.getvalue())
    return printed or out.getvalue()


def succeed() -> None:
    """Do nothing."""


# What is seen.


def test_status_of_a_chain_that_runs(root: Path) -> None:
    """Every key is there; a cooldown is one, and what failed says how."""
    thread = chain_of(fail)
    thread.loop.tick()
    found = runner.status()

    assert [*found] == ["version", "host", "at", "chains"]
    (chain,) = found["chains"]
    assert [*chain] == KEYS
    assert (chain["name"], chain["state"]) == ("sync", "cooling_down")
    assert [*chain["owner"]] == ["pid", "host", "kind", "since", "token", "alive"]
    assert (chain["owner"]["pid"], chain["owner"]["alive"]) == (os.getpid(), True)
    assert 3_000 < chain["next_run"] - found["at"] <= 3_600
    (task,) = chain["tasks"]
    assert [*task] == [
        *("path", "name", "runs", "failures", "consecutive", "last_run"),
        *("last_success", "last_duration", "down_since", "exception"),
    ]
    assert (task["runs"], task["failures"], task["consecutive"]) == (1, 1, 1)
    assert task["exception"] == {
        "type": "builtins.ValueError",
        "message": "no <b>route</b> to host, password=***",
    }
    assert json.loads(json.dumps(found)) == found
    thread.loop.release()
    assert the()["state"] == "stopped"
    assert the()["owner"] is None


def test_reader_touches_nothing(root: Path) -> None:
    """To look at a chain does not try for its lock, nor write anything."""
    thread = chain_of()
    thread.loop.tick()
    before = {path: path.stat().st_mtime_ns for path in root.iterdir()}
    runner.status()
    health.check()

    assert before == {path: path.stat().st_mtime_ns for path in root.iterdir()}
    thread.loop.release()


def test_unknown_chain(root: Path) -> None:
    """An unknown chain is an error that has the names there are; exit 2."""
    thread = chain_of()
    thread.loop.tick()
    thread.loop.release()
    for verb in ("status", "check", "wake", "pause", "forget"):
        message = command(verb, "nope", code=2)
        assert message == "No chain is called 'nope'. There are: sync."
    with pytest.raises(LookupError):
        runner.status("../../etc/passwd")
    with pytest.raises(runner.UnknownChain):
        runner.pause("nope")
    assert not [path for path in root.iterdir() if "nope" in path.name]


def test_table(root: Path) -> None:
    """One line a chain, in 80 columns; who needs somebody comes first."""
    threads = []
    for name in ("a-very-long-name-of-a-chain-that-does-not-fit", "fails"):
        task = quick(
            fail if name == "fails" else succeed,
            success_cooldown=3_600,
            fail_cooldown=3_600,
        )
        threads.append(make_thread(make_chain([task], name=name), Mode.HOSTED))
        threads[-1].loop.tick()
    lines = command("status").splitlines()

    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines] == [
        "CHAIN",
        "fails",
        "a-very-long-name-of-a-chai…",
    ]
    assert "failing" in lines[1]
    assert "down for 0 s: builtins.ValueError: no <b>" in command("status", "fails")
    for thread in threads:
        thread.loop.release()


def test_json_is_the_status(root: Path) -> None:
    """``--json`` prints what `runner.status` returns."""
    thread = chain_of()
    thread.loop.tick()
    printed = json.loads(command("status", "--json"))

    assert printed["chains"] == runner.status()["chains"]
    thread.loop.release()


def test_dead_owner_is_seen(place: Place, root: Path, settings: Any) -> None:
    """After kill -9 the owner is not alive within two seconds."""
    settings.RUN_ROOT = str(place.root)
    child = place.command(WORK, JOB_COOLDOWN="60")
    place.wait_for_events(1, "leave")
    wait_for(lambda: the("work")["state"] == "cooling_down")
    assert the("work")["owner"]["kind"] == "command"
    child.kill()
    killed = time.monotonic()
    wait_for(lambda: not the("work")["owner"]["alive"])

    assert time.monotonic() - killed < 2
    assert the("work")["state"] == "stopped"
    assert the("work")["reason"].startswith(f"Its owner, process {child.pid} on ")


# What is wanted.


def test_pause_and_resume(root: Path) -> None:
    """It is told until when, by whom and why; each act is remembered, and logged."""
    thread = chain_of()
    thread.loop.tick()
    until = datetime.now(timezone.utc) + timedelta(hours=1)
    with log() as kept:
        runner.pause("sync", until, "deploy", by="ann")
    assert "[sync] Pause, asked by ann: deploy" in kept.texts()
    assert the()["paused"] == {
        "until": until.timestamp(),
        "by": "ann",
        "reason": "deploy",
    }
    assert (the()["state"], the()["reason"]) == ("paused", "By ann: deploy")
    assert health.check()["sync"] == (True, "paused")
    runner.resume("sync", by="bob", reason="done")
    assert the()["paused"] is None
    acts = read_chain("sync").desired.acts
    assert [act[1:] for act in acts] == [
        ("pause", "ann", "deploy"),
        ("resume", "bob", "done"),
    ]
    content = json.loads((root / "sync.control").read_text())
    assert [*content][:4] == ["version", "paused", "silenced", "wake"]
    thread.loop.release()


def test_wake_is_refused_while_paused(root: Path) -> None:
    """It would run nothing: exit 1, and who has paused it."""
    thread = chain_of()
    thread.loop.tick()
    command("pause", "sync", "--for", "2h", "--reason", "deploy")
    message = command("wake", "sync", code=1)

    assert message == f"sync is paused. By {this_user()}: deploy"
    thread.loop.release()


def test_wake_number_rises(root: Path) -> None:
    """It is one more than what was written, and than what was seen."""
    thread = chain_of()
    thread.loop.tick()
    assert [runner.wake("sync"), runner.wake("sync")] == [1, 2]
    thread.check()
    thread.loop.tick()
    assert the()["seen"] == {"wake": 2}
    (root / "sync.control").unlink()

    assert runner.wake("sync") == 3
    thread.loop.release()


@pytest.mark.parametrize("fails", [False, True])
def test_wait_for_a_run(root: Path, fails: bool) -> None:
    """``wake --wait`` returns when the run has ended, with its outcome."""
    thread = chain_of(fail if fails else succeed)
    with started(thread):
        wait_for(lambda: runner.status()["chains"])
        wait_for(lambda: the()["state"] == "cooling_down")
        before = the()["tasks"][0]["runs"]
        output = command("wake", "sync", "--wait", code=int(fails))
        assert the()["tasks"][0]["runs"] == before + 1

    assert ("it failed" if fails else "it has run") in output


def test_wait_without_an_owner(root: Path) -> None:
    """Nobody waits for what nobody runs."""
    thread = chain_of()
    thread.loop.tick()
    thread.loop.release()

    assert "nobody runs it" in command("wake", "sync", "--wait", code=1)
    assert "nobody runs it" in command("pause", "sync", "--wait")


def test_wait_for_the_end_of_a_function(place: Place, settings: Any) -> None:
    """``pause --wait`` returns when the running function has ended; none begins."""
    settings.RUN_ROOT = str(place.root)
    place.command("tests.jobs.wait_at_gate")
    place.wait_for_events(1)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(command, "pause", "wait_at_gate", "--wait")
        wait_for(lambda: read_chain("wait_at_gate").seen.paused is not None)
        assert not waiting.done()
        place.gate.touch()
        assert "seen" in waiting.result(20)

    assert len(place.events("enter")) == len(place.events("leave")) == 1


def test_until() -> None:
    """A time is a moment or a length; what is neither is refused."""
    assert as_epoch(None) is None
    assert as_epoch(7) == 7.0
    assert abs(as_epoch(timedelta(hours=1)) - time.time() - 3_600) < 5  # type: ignore[operator]
    for wrong in (-1, float("nan"), 1e300, timedelta(days=-40_000)):
        with pytest.raises(ValueError, match="is no time"):
            as_epoch(wrong)


@pytest.mark.parametrize("text", ["2 hours", "-1h", "1e9", "h", "", "٣h"])
def test_length_of_time_that_is_none(root: Path, text: str) -> None:
    """What is no length of time is refused."""
    with pytest.raises(CommandError, match="is no length of time"):
        call_command("runner", "pause", "sync", f"--for={text}")


def test_forget(root: Path) -> None:
    """What is left of a chain is cleared away, of one that runs never."""
    thread = chain_of()
    thread.loop.tick()
    runner.silence("sync")
    assert "runs: only a chain that has no owner" in command("forget", "sync", code=1)
    assert the()["owner"]["alive"]
    thread.loop.release()
    command("forget", "sync")

    assert list(root.iterdir()) == []
    assert runner.status()["chains"] == []


def test_survives_owners(place: Place, settings: Any) -> None:
    """Paused stays paused: after kill -9, a take-over, and a start by a person."""
    settings.RUN_ROOT = str(place.root)
    first = place.host(WORK)
    place.wait_for_events(2)
    command("pause", "work", "--wait", "--reason", "deploy")
    runs = len(place.events("enter"))
    second = place.host(WORK)
    first.kill()
    wait_for(lambda: (the("work")["owner"] or {}).get("pid") == second.pid)
    third = place.command(WORK)
    wait_for(lambda: (the("work")["owner"] or {}).get("pid") == third.pid)
    assert the("work")["state"] == "paused"
    third.send(signal.SIGTERM)
    third.wait()
    wait_for(lambda: (the("work")["owner"] or {}).get("pid") == second.pid)
    assert the("work")["state"] == "paused"
    assert len(place.events("enter")) == runs
    command("resume", "work", "--wait")
    place.wait_for_events(runs + 1)


def test_a_hundred_wakes(place: Place, settings: Any) -> None:
    """From five processes: at least one run, at most a hundred, none in parallel."""
    settings.RUN_ROOT = str(place.root)
    place.command(WORK, JOB_COOLDOWN="3600", JOB_SECONDS="0.01")
    place.wait_for_events(1, "leave")
    wait_for(lambda: the("work")["state"] == "cooling_down")
    program = (
        "from pathlib import Path\n"
        "from django.conf import settings\n"
        "from yourlabs.runner.__main__ import embedded_settings\n"
        "settings.configure(**embedded_settings(Path.cwd()))\n"
        "import django; django.setup()\n"
        "from yourlabs import runner\n"
        "for _ in range(20): runner.wake('work')\n"
    )
    children = [place.script(program) for _ in range(5)]
    assert [child.wait() for child in children] == [0] * 5
    wait_for(lambda: the("work")["seen"] == {"wake": 100})
    wait_for(lambda: read_chain("work").wake_done == 100)

    runs = len(place.events("enter")) - 1
    assert 1 <= runs <= 100
    assert overlaps(place.events(), {}) == []
    assert the("work")["asked"] == {"wake": 100}


OBEYS = """
import sys
from pathlib import Path
from django.conf import settings
from yourlabs.runner.__main__ import embedded_settings
settings.configure(**embedded_settings(Path.cwd()))
import django; django.setup()
from yourlabs import runner

thread = runner.start_chain([sys.argv[1]])
for order in sys.stdin:
    if order == "wake\\n":
        thread.wake()
    else:
        thread.stop()
        thread = runner.start_chain([sys.argv[1]])
"""
"""A process that ends a cooldown of its chain, or lets go of it and stands by again."""


@pytest.mark.services
@pytest.mark.timeout(600)
def test_counters_never_fall(place: Place, settings: Any) -> None:
    """Over fifty owners, killed and stopped, what is counted only rises."""
    settings.RUN_ROOT = str(place.root)
    seen: list[tuple[int, int]] = []

    def look() -> int:
        if (place.root / "work.pid").exists():
            chain = the("work")
            runs = sum(task["runs"] for task in chain["tasks"])
            token = (chain["owner"] or {}).get("token", 0)
            if token:
                seen.append((token, runs))
        return len(place.events("enter"))

    def tell(child: Child, order: str) -> None:
        assert child.process.stdin is not None
        child.process.stdin.write(f"{order}\n".encode())
        child.process.stdin.flush()

    def next_owner(token: int) -> tuple[int, Child] | None:
        record = place.owner("work")
        if record.get("seq", 0) <= token:
            return None
        return record["seq"], next(one for one in hosts if one.pid == record["pid"])

    # A cooldown that is long enough to be written when it begins.
    hosts = [place.script(OBEYS, WORK, JOB_COOLDOWN="1.2") for _ in range(3)]
    token = 0
    for number in range(50):
        token, owner = wait_for(lambda token=token: next_owner(token))  # type: ignore[misc]
        count = look()
        tell(owner, "wake")
        wait_for(lambda count=count: look() > count)  # type: ignore[misc]
        if number % 2:
            owner.kill()
            hosts.remove(owner)
            hosts.append(place.script(OBEYS, WORK, JOB_COOLDOWN="1.2"))
        else:
            tell(owner, "let go")
    look()
    assert len({token for token, _ in seen}) >= 50
    assert seen == sorted(seen)
    assert seen[-1][1] > 10


# Bad input.


def corrupt(content: bytes, dice: random.Random) -> bytes:
    """Return a document with something wrong in it."""
    kind = dice.randrange(6)
    if kind == 0:
        return content[: dice.randrange(len(content))]
    if kind == 1:
        place = dice.randrange(len(content))
        return content[:place] + dice.randbytes(3) + content[place + 3 :]
    if kind == 2:
        return dice.randbytes(dice.randrange(300))
    values = json.loads(content)
    for _ in range(dice.randrange(1, 4)):
        target = values
        while isinstance(target, (dict, list)) and target:
            keys = [*target] if isinstance(target, dict) else [*range(len(target))]
            key = dice.choice(keys)
            if not isinstance(target[key], (dict, list)) or dice.random() < 0.3:
                target[key] = dice.choice(NONSENSE)
                break
            target = target[key]
    return json.dumps(values).encode()


NONSENSE: list[Any] = [
    *(None, True, -1, 0, 2**70, 1e308, float("nan"), float("inf"), "", "<script>"),
    *("\ud800", [], {}, [[]], {"a": 1}, "9" * 5_000, [1, 2, 3]),
]


def test_fuzz(root: Path) -> None:
    """A thousand corrupt documents: no reader raises, and none changes a file."""
    thread = chain_of(fail)
    thread.loop.tick()
    runner.pause("sync", reason="deploy")
    thread.check()
    thread.loop.tick()
    thread.loop.release()
    names = ("sync.json", "sync.control", "sync.pid")
    whole = {name: (root / name).read_bytes() for name in names}
    dice = random.Random(7)
    for number in range(1_000):
        name = names[number % 3]
        content = corrupt(whole[name], dice) if name != "sync.pid" else b"7\n{}"
        (root / name).write_bytes(content)

        (chain,) = runner.status()["chains"]
        assert chain["state"] in ("unknown", "paused", "stopped"), chain
        assert chain["reason"]
        json.dumps(chain)
        health.check()
        command("status", "sync")
        assert (root / name).read_bytes() == content
        (root / name).write_bytes(whole[name])
    assert sorted(path.name for path in root.iterdir()) == [
        *("sync.control", "sync.control.lock", "sync.json", "sync.pid")
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"version": 2}', "its version is 2, expected 1"),
        (b"[" * 100_000, "nested"),
        (b'{"version": 1}' + b" " * 5 * 2**20, "bytes, at most"),
    ],
)
def test_document_that_cannot_be_read(root: Path, content: bytes, reason: str) -> None:
    """It is unknown, with the reason, for whoever looks."""
    thread = chain_of()
    thread.loop.tick()
    thread.loop.release()
    (root / "sync.json").write_bytes(content)

    assert the()["state"] == "unknown"
    assert reason in the()["reason"]
    assert health.check()["sync"][0] is None
    command("check", code=2)


def test_symbolic_link_is_no_document(root: Path, tmp_path: Path) -> None:
    """What is not ours counts for nothing, and is not read."""
    root.mkdir()
    (tmp_path / "secret").write_text('{"version": 1}')
    (root / "sync.json").symlink_to(tmp_path / "secret")

    assert the()["state"] == "unknown"
    assert "symbolic link" in the()["reason"]


# Health.


def test_health_of_what_is_expected(root: Path) -> None:
    """Who ended in good order is missed by nobody; who was killed is."""
    thread = chain_of()
    thread.loop.tick()
    assert health.check() == {"sync": (True, "")}
    pidfile = root / "sync.pid"
    running = pidfile.read_bytes()
    thread.loop.release()
    assert health.check() == {}
    pidfile.write_bytes(running.replace(b'"start": ', b'"start": 1', 1))
    assert health.check() == {"sync": (True, "")}, "within the grace"
    os.utime(pidfile, (time.time() - 60,) * 2)
    well, reason = health.check()["sync"]

    assert well is False
    assert "no owner for 60 s" in reason
    assert "sync: unhealthy: It has had no owner" in command("check", code=1)


def test_failing_is_healthy_unless_strict(root: Path) -> None:
    """To restart a process does not mend an API."""
    thread = chain_of(fail)
    thread.loop.tick()

    assert "healthy" in command("check")
    assert "quick fails." in command("check", "--strict", code=1)
    thread.loop.release()


def test_overdue(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is later than twice its cooldown is missed."""
    thread = chain_of()
    thread.loop.tick()
    reading = read_chain("sync")
    assert reading.due is not None
    now = reading.due + 2 * 3_600

    assert health.judge(reading, now - 1) == (True, "")
    assert health.judge(reading, now + 1) == (
        False,
        "Its next run has been due for 7201 s.",
    )
    thread.loop.release()


def test_stalled(place: Place, settings: Any) -> None:
    """A run that hangs is seen by every process, without a notifier."""
    settings.RUN_ROOT = str(place.root)
    program = """
import time
from pathlib import Path
from django.conf import settings
from yourlabs.runner.__main__ import embedded_settings
settings.configure(**{**embedded_settings(Path.cwd()), "RUNNER": {"EMAIL": False}})
import django; django.setup()
from yourlabs import runner

@runner.task(max_duration=0.1, name="hangs")
def hangs():
    time.sleep(600)

runner.Runner([hangs]).run()
"""
    place.script(program)
    wait_for(lambda: (place.root / "hangs.json").exists())
    wait_for(lambda: the("hangs")["state"] == "stalled")

    assert the("hangs")["reason"] == "hangs takes longer than the 0.1 s it may take."
    assert the("hangs")["current"]["task"].endswith("hangs")
    assert health.check()["hangs"][0] is False


@pytest.fixture
def shell(tmp_path: Path) -> Any:
    """Run the command without a project, in a shell."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        environ.pop("DJANGO_SETTINGS_MODULE", None)
        return subprocess.run(
            [sys.executable, "-m", "yourlabs.runner", *arguments],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
        )

    return run


def test_without_a_project(shell: Any) -> None:
    """``python -m yourlabs.runner status`` is the same command."""
    assert shell("status").stdout == "No chain is known here.\n"
    done = shell("wake", "nope")
    assert (done.returncode, done.stderr) == (
        2,
        "CommandError: No chain is called 'nope'. There is none.\n",
    )
