"""Chains of this process, by name; and a process that is one chain."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import request_started
from django.db import close_old_connections

from tests.runner.failing import FAILING
from tests.runner.fakes import PATIENCE, Counted, cooling, happens, log, quick, until
from yourlabs import runner
from yourlabs.runner.chain import registry as runners
from yourlabs.runner.chain.decorator import task
from yourlabs.runner.chain.watcher import watcher
from yourlabs.runner.exceptions import (
    AlreadyOwned,
    ChainNameTaken,
    InvalidTask,
    TakeOverTimeout,
    TaskNotFound,
)

HOUR = 3_600.0


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Iterator[Path]:
    """RUN_ROOT of this test; its chains are stopped with it."""
    settings.RUN_ROOT = tmp_path / "run"
    settings.RUNNER = {"EMAIL": False}
    yield tmp_path / "run"
    assert runner.stop_all(PATIENCE)


def resting(name: str = "rest") -> Any:
    """A function that counts its calls, an hour apart."""
    return task(name=name, success_cooldown=HOUR, fail_cooldown=HOUR)(Counted())


def owns(thread: runner.RunnerThread) -> bool:
    claim = thread.loop.claim
    return claim is not None and claim.check()


# start_chain.


def test_start_chain(root: Path) -> None:
    """A chain runs in a thread of this process, with its files in RUN_ROOT."""
    first, second = resting("first"), resting("second")

    thread = runner.start_chain([first, second])

    until(lambda: cooling(thread))
    assert isinstance(thread, runner.RunnerThread)
    assert thread.name == "first_second"
    assert runner.chains() == {"first_second": thread}
    assert (first.calls, second.calls) == (1, 0)
    assert root.stat().st_mode & 0o777 == 0o750
    pidfile = root / "first_second.pid"
    assert pidfile.read_text().split("\n")[0] == str(os.getpid())
    assert pidfile.stat().st_mode & 0o777 == 0o600
    assert thread.stop(PATIENCE)
    assert runner.chains() == {}
    assert json.loads((root / "first_second.json").read_text())["schedule"]["due"]


def test_start_chain_by_path(settings: Any) -> None:
    """Functions are given by their dotted paths as well."""
    path = "yourlabs.runner.tasks.divide_by_zero"
    settings.RUNNER = {"EMAIL": False, "TASKS": {path: {"fail_cooldown": HOUR}}}

    thread = runner.start_chain([path])

    until(lambda: cooling(thread))
    assert thread.name == "divide_by_zero"
    assert thread.status().failures == 1


def test_start_chain_twice() -> None:
    """Asked again for the same chain, the thread is the same one."""
    function = resting()

    thread = runner.start_chain([function])

    assert runner.start_chain([function]) is thread
    assert runner.start_chain([function], name="rest") is thread
    until(lambda: cooling(thread))
    assert runner.start_chain([function]) is thread
    assert function.calls == 1


def test_start_chain_of_methods_twice() -> None:
    """Bound methods are new objects each time, and the same chain."""

    class Office:
        def clean(self) -> None:
            """Do nothing."""

    office = Office()
    thread = runner.start_chain([office.clean])

    assert runner.start_chain([office.clean]) is thread
    with pytest.raises(ChainNameTaken):
        runner.start_chain([Office().clean])


def test_start_chain_from_many_threads() -> None:
    """However many threads ask for a chain at once, there is one."""
    function = resting()
    found: list[Any] = []
    together = threading.Barrier(20)

    def ask() -> None:
        together.wait(PATIENCE)
        found.append(runner.start_chain([function]))

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert len(found) == 20
    assert len({id(thread) for thread in found}) == 1
    until(lambda: cooling(found[0]))
    assert function.calls == 1


def test_start_chain_within_start_chain(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To declare a chain may import a module that declares another."""
    (tmp_path / "declaring.py").write_text(
        "from yourlabs import runner\n"
        "def rest():\n"
        "    pass\n"
        "runner.start_chain([rest], name='inner')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    path = "declaring.rest"
    settings.RUNNER = {"EMAIL": False, "TASKS": {path: {"fail_cooldown": 5}}}
    found: list[Any] = []

    def rest() -> None:
        """Share its name with the function in the module."""

    thread = threading.Thread(
        target=lambda: found.append(runner.start_chain([rest], name="outer")),
        daemon=True,
    )
    thread.start()
    thread.join(PATIENCE)

    assert found
    assert sorted(runner.chains()) == ["inner", "outer"]


def test_task_that_goes_elsewhere(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that changes the working directory does not lose the chain."""
    monkeypatch.chdir(tmp_path)
    settings.RUN_ROOT = "relative"
    moves = Counted(enough=3)

    @task(name="move", success_cooldown=0)
    def move() -> None:
        os.chdir("/")
        moves()

    with log() as kept:
        thread = runner.start_chain([move])
        assert happens(moves.reached)
        assert thread.stop(PATIENCE)

    assert "ownership_lost" not in kept.actions()
    assert (tmp_path / "relative" / "move.json").exists()


def test_name_taken() -> None:
    """Another chain under a name that is taken is an error that names both."""
    runner.start_chain([resting("first")], name="mailing")

    with pytest.raises(ValueError, match=r"mailing is taken in this process.*name="):
        runner.start_chain([resting("second")], name="mailing")
    with pytest.raises(ChainNameTaken):
        runner.start_chain([resting("first"), resting("second")], name="mailing")


def test_name_taken_by_another_partial() -> None:
    """Two partials of one function have its path: the error says how they differ."""
    runner.start_chain([partial(resting("sync"))])

    with pytest.raises(ChainNameTaken, match=r"other partials.*name="):
        runner.start_chain([partial(resting("sync"))])


def test_start_chain_again() -> None:
    """A chain that was stopped can be started again, also with other functions."""
    first = runner.start_chain([resting()])
    assert first.stop(PATIENCE)

    second = runner.start_chain([resting()])

    assert second is not first
    until(lambda: second.status().state == "cooling down")


@pytest.mark.parametrize(
    ("functions", "error", "message"),
    [
        ([], InvalidTask, "at least one function"),
        ("tests.x", InvalidTask, "is one string"),
        (["nowhere.sync"], TaskNotFound, "no module 'nowhere'"),
        ([5], InvalidTask, "is no function"),
        (["yourlabs.runner.tasks.divide_by"], TaskNotFound, "did you mean"),
    ],
)
def test_bad_functions(
    functions: Any, error: type[Exception], message: str, root: Path
) -> None:
    """What cannot run is an error at once, and no file is made for it."""
    with pytest.raises(error, match=message):
        runner.start_chain(functions)
    assert runner.chains() == {}
    assert not root.exists()


def test_unusual_functions() -> None:
    """Methods, partials, lambdas and objects run in one chain."""

    class Listing(list):  # type: ignore[type-arg]
        """Callable, and without a hash."""

        def __call__(self) -> None:
            calls.append("object")

        def method(self) -> None:
            calls.append("method")

    calls: list[str] = []
    thing = Listing()

    thread = runner.start_chain(
        [
            quick(thing, name="thing").func,
            thing.method,
            quick(lambda: calls.append("lambda"), name="lambda").func,
            quick(
                partial(calls.append, "partial"), name="partial", success_cooldown=HOUR
            ).func,
        ],
        name="unusual",
    )

    until(lambda: calls)
    thread.wake()
    until(lambda: thread.wake() or "partial" in calls)
    assert calls[:4] == ["object", "method", "lambda", "partial"]


@pytest.mark.parametrize("word", ["0", "off"])
def test_autostart_off(monkeypatch: pytest.MonkeyPatch, word: str, root: Path) -> None:
    """Where chains are not to start, the thread is unstarted and says why."""
    monkeypatch.setenv("RUNNER_AUTOSTART", word)
    function = resting()

    thread = runner.start_chain([function])

    status = thread.status()
    assert status.state == "stopped"
    assert "autostart is off" in status.reason
    assert not thread.is_alive()
    assert runner.chains() == {"rest": thread}
    assert runner.start_chain([function]) is thread
    assert thread.stop(PATIENCE)
    assert runner.chains() == {}
    assert function.calls == 0
    assert not root.exists()


def test_asked_again_where_it_was_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain that was only declared is started by who asks where it may run."""
    function = resting()
    monkeypatch.setenv("RUNNER_AUTOSTART", "0")
    thread = runner.start_chain([function])
    assert thread.status().reason
    monkeypatch.setenv("RUNNER_AUTOSTART", "1")

    assert runner.start_chain([function]) is thread

    until(lambda: cooling(thread))
    assert thread.status().reason == ""


def test_no_thread_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """The site boots all the same; the chain is started by the next request or call."""
    function = resting()

    def request() -> None:
        # Connections that another test left in this thread are not the server's.
        request_started.disconnect(close_old_connections)
        try:
            request_started.send(sender="a server")
        finally:
            request_started.connect(close_old_connections)

    def refuse(*_: Any, **__: Any) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    for start in (request, lambda: runner.start_chain([function])):
        with monkeypatch.context() as patch, log() as kept:
            patch.setattr(threading.Thread, "start", refuse)
            thread = runner.start_chain([function])
        assert "start_failed" in kept.actions()
        assert thread.status().state == "stopped"
        assert "can't start new thread" in thread.status().reason

        start()
        until(lambda: cooling(thread))  # noqa: B023
        assert thread.stop(PATIENCE)


def test_asked_again_while_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that has just begun is known, though Python says it is not alive."""
    begun, go = threading.Event(), threading.Event()
    usual = threading.Thread._set_native_id  # type: ignore[attr-defined]

    def slowly(thread: threading.Thread) -> None:
        usual(thread)
        if isinstance(thread, runner.RunnerThread):
            begun.set()
            happens(go)

    monkeypatch.setattr(threading.Thread, "_set_native_id", slowly)
    function = resting()
    found: list[Any] = []
    first = threading.Thread(
        target=lambda: found.append(runner.start_chain([function]))
    )
    first.start()
    assert happens(begun)

    assert list(runner.chains()) == ["rest"]
    second = threading.Thread(
        target=lambda: found.append(runner.start_chain([function]))
    )
    second.start()
    go.set()
    for one in (first, second):
        one.join(PATIENCE)

    assert found[0] is found[1]


@pytest.mark.parametrize("functions", [resting, None, 5])
def test_no_list_of_functions(functions: Any) -> None:
    """Who forgets the brackets is told."""
    with pytest.raises(InvalidTask, match="is no list of functions: expected"):
        runner.start_chain(functions)


def test_run_root_that_is_no_path(settings: Any) -> None:
    """A RUN_ROOT of another type is named."""
    settings.RUN_ROOT = 5

    with pytest.raises(ImproperlyConfigured, match="RUN_ROOT is 5: expected the path"):
        runner.start_chain([resting()])


# Stopping.


def test_stop_chain() -> None:
    """A chain is stopped by its name; one that is not there has stopped."""
    thread = runner.start_chain([resting()])
    until(lambda: cooling(thread))

    assert runner.stop_chain("rest", timeout=PATIENCE) is True
    assert runner.stop_chain("rest") is True
    assert runner.stop_chain("never heard of") is True
    assert not thread.is_alive()


def test_stop_chain_that_runs() -> None:
    """A chain that is inside a function stops after it."""
    begun, go = threading.Event(), threading.Event()

    @task(name="hang")
    def hang() -> None:
        begun.set()
        assert happens(go)

    runner.start_chain([hang])
    assert happens(begun)

    assert runner.stop_chain("hang", timeout=0) is False
    assert "hang" in runner.chains()
    assert runner.stop_all(timeout=0.01) is False
    go.set()
    assert runner.stop_chain("hang", timeout=PATIENCE) is True
    assert runner.chains() == {}


def test_stop_chain_that_was_started_again() -> None:
    """It has stopped when the old thread of it has, too."""
    begun, go = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        assert happens(go)

    function = quick(hang, name="hang", success_cooldown=HOUR).func
    runner.start_chain([function])
    assert happens(begun)
    assert not runner.stop_chain("hang", timeout=0)
    runner.start_chain([function])

    assert runner.stop_chain("hang", timeout=0.05) is False
    go.set()
    assert runner.stop_chain("hang", timeout=PATIENCE) is True


def test_stop_with_a_limit_beyond_the_clock() -> None:
    """However long somebody is ready to wait, it is possible."""
    runner.start_chain([resting()])

    assert runner.stop_all(timedelta.max.total_seconds())


def test_start_chain_that_was_asked_to_stop() -> None:
    """A chain that is stopping is started anew, and begins when the old one ended."""
    running, end = threading.Event(), threading.Event()
    calls: list[str] = []

    def work() -> None:
        calls.append(threading.current_thread().name)
        running.set()
        end.wait(PATIENCE)

    work = quick(work, name="work", success_cooldown=HOUR).func
    old = runner.start_chain([work])
    assert running.wait(PATIENCE)
    assert not runner.stop_chain("work", timeout=0)

    new = runner.start_chain([work])

    assert new is not old
    assert runner.start_chain([work]) is new
    assert runner.chains() == {"work": new}
    assert not runner.stop_all(timeout=0.01), "both are waited for"
    newest = runner.start_chain([work])
    end.set()
    assert old.stop(PATIENCE)
    assert new.stop(PATIENCE)
    until(lambda: newest.status().state == "cooling down")
    assert len(calls) == 1, "its cooldown is served"


def test_stop_from_inside() -> None:
    """A task may stop all chains, and its own among them."""
    answers: list[bool] = []
    other = runner.start_chain([resting("other")])

    @task(name="last", success_cooldown=HOUR)
    def last() -> None:
        answers.append(runner.stop_all(PATIENCE))

    thread = runner.start_chain([last])
    thread.join(PATIENCE)

    assert not thread.is_alive()
    assert answers == [False]
    other.join(PATIENCE)
    assert not other.is_alive()


def test_many_chains() -> None:
    """Many chains run beside each other and stop together."""
    functions = [resting(f"number_{number}") for number in range(50)]
    threads = [runner.start_chain([function]) for function in functions]
    until(lambda: all(cooling(thread) for thread in threads))

    assert runner.stop_all(timeout=PATIENCE)

    assert [function.calls for function in functions] == [1] * 50


def test_started_and_stopped_again_and_again() -> None:
    """However often a chain is started and stopped, nothing is left of it."""
    function = resting()
    actions: list[Any] = [
        lambda thread: None,
        lambda thread: thread.wake(),
        lambda thread: until(lambda: cooling(thread)),
        lambda thread: until(lambda: thread.status().state != "starting"),
        lambda thread: thread.ask_to_stop(),
    ]
    runner.start_chain([function]).stop(PATIENCE)
    until(lambda: watcher_ended())
    before = len(os.listdir("/proc/self/fd"))

    for number in range(100):
        thread = runner.start_chain([function])
        actions[number % len(actions)](thread)
        assert thread.stop(PATIENCE)
        assert runner.chains() == {}
        assert not owns(thread)

    until(lambda: watcher_ended())
    assert len(os.listdir("/proc/self/fd")) == before
    names = [thread.name for thread in threading.enumerate()]
    assert "rest" not in names
    assert "runner-watcher" not in names


def test_registry_forgets() -> None:
    """Of chains that have ended, whatever their names, nothing is kept."""
    function = resting()

    for number in range(21):
        assert runner.start_chain([function], name=f"chain-{number}").stop(PATIENCE)

    assert {} == runner.chains()
    assert [] == runners.registry._threads


def test_end_of_a_chain_whose_name_is_taken_over(settings: Any, root: Path) -> None:
    """The late end of a chain takes nothing from the one that has its name by now."""
    settings.RUNNER = {"EMAIL": True}
    failures = [LookupError("no shelf"), OSError("no disk")]
    in_task, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        in_task.set()
        if not may_end.wait(PATIENCE):
            raise TimeoutError

    def fail() -> None:
        raise failures.pop(0)

    held = task(name="work", success_cooldown=HOUR)(hold)
    failing = task(name="work", fail_cooldown=HOUR)(fail)
    old = runner.start_chain([held], name="work")
    assert happens(in_task)
    old.ask_to_stop()
    (root / "work.pid").unlink()
    new = runner.start_chain([failing], name="work")
    until(lambda: cooling(new))
    may_end.set()
    old.join(PATIENCE)
    new.wake()
    until(lambda: new.status().failures == 2 and cooling(new))

    # The channel still knows the chain: what is new is told, and what is known is not.
    assert new.stop(PATIENCE)
    assert [
        "First exception caught: no shelf",
        "New exception caught: no disk",
    ] == [one.subject.rpartition("] ")[2] for one in mail.outbox]


def watcher_ended() -> bool:
    return not any(one.name == "runner-watcher" for one in threading.enumerate())


def test_disturbed_from_all_sides() -> None:
    """Woken, looked at and looked after by many threads, runs never overlap."""
    inside: list[int] = []
    overlaps: list[int] = []
    errors: list[BaseException] = []
    runs = Counted(enough=100)

    @task(name="busy", success_cooldown=HOUR)
    def busy() -> None:
        inside.append(1)
        if len(inside) > 1:
            overlaps.append(1)
        inside.pop()
        runs()

    thread = runner.start_chain([busy])

    def disturb() -> None:
        try:
            while not runs.reached.is_set():
                thread.wake()
                thread.notify()
                thread.check()
                assert thread.status().name == "busy"
                assert runner.start_chain([busy]) is thread
        except BaseException as exc:
            errors.append(exc)

    disturbers = [threading.Thread(target=disturb) for _ in range(6)]
    for disturber in disturbers:
        disturber.start()
    assert happens(runs.reached)
    for disturber in disturbers:
        disturber.join(PATIENCE)

    assert errors == []
    assert overlaps == []


@pytest.mark.parametrize("hangs", [False, True])
def test_end_of_the_host(settings: Any, hangs: bool) -> None:
    """A host that ends stops its chains, and says which it had to cut."""
    settings.RUNNER = {"EMAIL": False, "STOP_TIMEOUT": 0.05 if hangs else PATIENCE}
    begun, go = threading.Event(), threading.Event()

    @task(name="work", success_cooldown=HOUR)
    def work() -> None:
        begun.set()
        if hangs:
            assert happens(go)

    thread = runner.start_chain([work])
    assert happens(begun)
    if not hangs:
        until(lambda: cooling(thread))
    with log() as kept:
        runners._stop_with_host()
        go.set()

    texts = [text for text in kept.texts() if "was still running" in text]
    assert texts == (
        ["[work] work was still running when the process ended; it was cut."]
        if hangs
        else []
    )


def test_end_of_the_host_between_two_runs(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chain that does not leave in time is told of, though no task is to blame."""
    settings.RUNNER = {"EMAIL": False}
    thread = runner.start_chain([resting()], name="work")
    until(lambda: cooling(thread))

    with log() as kept, monkeypatch.context() as patched:
        patched.setattr(runners, "stop_all", lambda timeout: False)
        runners._stop_with_host()

    assert kept.texts() == [
        "[work] The chain was still running when the process ended; it was cut."
    ]


# Forks.


def test_forked_child(root: Path) -> None:
    """A forked child of an owner has no chains, runs nothing and locks nothing."""
    function = resting()
    thread = runner.start_chain([function])
    until((root / "rest.json").exists)
    until(lambda: cooling(thread))
    read, write = os.pipe()

    child = os.fork()
    if child == 0:  # pragma: no cover - leaves by _exit
        try:
            state = owns(thread), thread.is_alive(), runner.chains()
            thread.state.put("forged", 1, now=True)
            again = runner.start_chain([function])
            until(lambda: again.status().state == "standby")
            answer = [*state, again is thread, again.stop(PATIENCE), function.calls]
            os.write(write, repr(answer).encode())
        except BaseException as exc:
            os.write(write, repr(exc).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    answer = os.read(read, 1_000).decode()
    os.close(read)

    assert answer == "[False, False, {}, False, True, 1]"
    assert owns(thread)
    assert cooling(thread)
    assert "forged" not in (root / "rest.json").read_text()


def test_declared_before_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was declared and not started is known in the child."""
    monkeypatch.setenv("RUNNER_AUTOSTART", "0")
    thread = runner.start_chain([resting()])
    read, write = os.pipe()

    child = os.fork()
    if child == 0:  # pragma: no cover - leaves by _exit
        os.write(write, repr(runner.chains() == {"rest": thread}).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)

    assert os.read(read, 100) == b"True"
    os.close(read)


# Runner.


def test_concurrency_security(root: Path) -> None:
    """It takes the pidfile, and from then on no other process has the chain."""
    one = runner.Runner([resting()])
    with log() as kept:
        assert one.concurrency_security() is True
    other = runner.Runner([resting()], killconcurrent=False)

    with pytest.raises(AlreadyOwned, match=f"run by process {os.getpid()} on "):
        other.concurrency_security()

    assert (root / "rest.pid").read_text().startswith(f"{os.getpid()}\n")
    assert kept.texts() == [
        "Did not find pidfile rest, continuing normally",
        "Wrote pidfile rest",
    ]
    one.thread.loop.release()
    assert other.concurrency_security() is True
    other.thread.loop.release()


def test_found_pidfile(root: Path) -> None:
    """What is found in a pidfile is said, and what becomes of it."""
    root.mkdir()
    (root / "rest.pid").write_text("4194304")

    with log() as kept:
        one = runner.Runner([resting()])
        one.concurrency_security()
        one.thread.loop.release()

    assert kept.texts() == [
        "Found pidfile rest containing: 4194304",
        "Could not find /proc/4194304, wiping pidfile rest",
        "The process that ran rest before has ended",
        "Wrote pidfile rest",
    ]


def test_foreign_pidfile(root: Path) -> None:
    """What a stranger has written does nothing to the terminal that shows the log."""
    root.mkdir()
    (root / "rest.pid").write_text("\x1b[31m1\u202e\u200b\n")

    with log() as kept:
        one = runner.Runner([resting()])
        one.concurrency_security()
        one.thread.loop.release()

    assert "Found pidfile rest containing: '\\x1b[31m1\\u202e\\u200b'" in kept.texts()
    assert all(text.isprintable() for text in kept.texts())


@pytest.mark.parametrize("timeout", [0, 0.05, timedelta(seconds=0.05)])
def test_takeover_timeout(timeout: Any) -> None:
    """An owner that does not let go is waited for, and then named."""
    one = runner.Runner([resting()])
    one.concurrency_security()
    other = runner.Runner([resting()], takeover_timeout=timeout)

    with pytest.raises(TakeOverTimeout, match=r"still run by process .* Nothing was k"):
        other.concurrency_security()

    one.thread.loop.release()


def test_other_functions() -> None:
    """A chain of other functions under the name is left alone, and named."""
    one = runner.Runner(["yourlabs.runner.tasks.divide_by_zero"], name="mailing")
    one.concurrency_security()
    other = runner.Runner([resting()], name="mailing")

    with pytest.raises(ChainNameTaken, match=r"divide_by_zero.*--name"):
        other.concurrency_security()

    one.thread.loop.release()


def test_take_over_within_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain that is hosted here yields to a `Runner`, and comes back."""
    monkeypatch.setattr("yourlabs.runner.chain.watcher.LOOK_EVERY_S", 0.01)
    function = resting()
    hosted = runner.start_chain([function])
    until(lambda: cooling(hosted))
    one = runner.Runner([function])

    assert one.concurrency_security() is True
    assert hosted.status().state == "standby"
    assert f"process {os.getpid()}" in hosted.status().reason

    one.thread.loop.release()
    until(lambda: cooling(hosted))


@pytest.mark.parametrize(
    ("function", "code"), [(lambda: None, 0), (FAILING["exit"], 1)]
)
def test_run_once(function: Any, code: int) -> None:
    """With `once`, the exit code says whether a function failed."""
    tasks = [quick(function, name="one").func, resting("two")]

    assert runner.Runner(tasks, once=True).run() == code
    assert tasks[1].calls == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_run_until_a_signal(root: Path, number: signal.Signals) -> None:
    """A signal ends a run in good order, and the handlers are as before."""
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    finished = []

    def function() -> None:
        os.kill(os.getpid(), number)
        until(lambda: one.thread.is_ending())
        finished.append(True)

    one = runner.Runner([quick(function, success_cooldown=HOUR).func])

    assert one.run() == 0

    assert finished == [True]
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == before
    assert json.loads((root / "quick.pid").read_text().split("\n")[1])["released"]


def test_signal_while_waiting() -> None:
    """A signal that comes while the owner is waited for ends it all."""
    owner = runner.Runner([resting()])
    owner.concurrency_security()
    one = runner.Runner([resting()])
    until_waiting = threading.Thread(
        target=lambda: (
            until(lambda: owner.thread.ownership.candidate()),
            os.kill(os.getpid(), signal.SIGTERM),
        )
    )
    until_waiting.start()

    assert one.run() == 0

    until_waiting.join(PATIENCE)
    assert one.thread.ident is None
    owner.thread.loop.release()


def test_chains_of_a_runner() -> None:
    """Its chain is one of the process: known by its name, and stopped with all."""
    seen: list[Any] = []

    @task(name="look", success_cooldown=0)
    def look() -> None:
        seen.append(runner.chains())
        seen.append(runner.start_chain([look]))
        seen.append(runner.stop_all())

    process = runner.Runner([look])
    assert process.run() == 0

    assert seen == [{"look": process.thread}, process.thread, False]
    assert runner.chains() == {}


def test_runner_beside_a_chain_of_its_name() -> None:
    """The chain that was there is known again when the runner has ended."""
    function = resting()
    hosted = runner.start_chain([function])
    until(lambda: cooling(hosted))

    for _ in range(3):
        assert runner.Runner([function], once=True).run() == 0

    assert runner.chains() == {"rest": hosted}
    assert runner.start_chain([function]) is hosted
    assert runners.registry._threads == [hosted]


def test_chains_are_known_while_one_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is called meanwhile, a log handler say, may wait for who asks for them."""
    answers: list[Any] = []
    usual = runners.attach.arrange

    def arrange(thread: Any, **options: Any) -> Any:
        asking = threading.Thread(target=lambda: answers.append(runner.chains()))
        asking.start()
        asking.join(PATIENCE)
        if len(answers) == 1:
            assert runner.start_chain([function]) is thread
        return usual(thread, **options)

    monkeypatch.setattr(runners.attach, "arrange", arrange)
    function = resting()

    thread = runner.start_chain([function])

    assert answers == [{"rest": thread}] * 2
    until(lambda: cooling(thread))


def test_run_in_a_thread() -> None:
    """Outside of the main thread no signal is handled, and it runs all the same."""
    codes: list[int] = []
    one = runner.Runner([resting()])
    thread = threading.Thread(target=lambda: codes.append(one.run()))
    thread.start()
    until(lambda: cooling(one.thread))

    one.thread.ask_to_stop()
    thread.join(PATIENCE)

    assert codes == [0]


def test_bad_settings_of_a_runner(settings: Any) -> None:
    """A bad setting is an error before anything is touched."""
    settings.RUNNER = {"FAIL_COOLDOWN": "soon"}

    with pytest.raises(ImproperlyConfigured, match="FAIL_COOLDOWN"):
        runner.Runner([Counted()])


def test_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service manager is told when the chain runs and when it ends."""
    told: list[str] = []
    monkeypatch.setattr("yourlabs.runner.chain.systemd.notify", told.append)
    monkeypatch.setattr(
        "yourlabs.runner.chain.systemd.watchdog_interval",
        lambda: timedelta(seconds=0.01),
    )

    def function() -> None:
        until(lambda: "WATCHDOG=1" in told)
        os.kill(os.getpid(), signal.SIGTERM)
        until(lambda: "STOPPING=1" in told)

    runner.Runner([quick(function, success_cooldown=HOUR).func]).run()
    watcher.beat(1, None)

    assert told[0] == "READY=1"
    assert "STOPPING=1" in told


def test_hosted_chain_is_announced() -> None:
    """A host's log says which chains run in it."""
    with log(logging.INFO) as kept:
        thread = runner.start_chain([resting()])
        until(lambda: cooling(thread))

    assert "[rest] The chain runs in this process" in kept.texts()
