"""Where chains start, and how they stop with their process: in real processes."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from django.apps import apps
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_started
from django.db import close_old_connections
from django.test.client import AsyncClientHandler, ClientHandler

from yourlabs.runner.autostart import attach as hosts
from yourlabs.runner.autostart.classify import PRIVILEGE_DELAY, Role
from yourlabs.runner.autostart.facts import collect
from yourlabs.runner.autostart.kinds import Facts, UwsgiFacts

UNKNOWN_SERVER = Facts(stack=(("django.core.wsgi", "get_wsgi_application"),))
MASTER = Facts(stack=(("gunicorn.arbiter", "setup"),))
WORKER = Facts(stack=(("gunicorn.arbiter", "spawn_worker"),), apps_ready=True)

PRELUDE = """
import os, sys, threading
from django.conf import settings
settings.configure(INSTALLED_APPS=[])
import django
django.setup()
from yourlabs.runner.autostart import attach as hosts

class Chain:
    ident = None
    def __init__(self, name="the chain"):
        self.name, self.reason = name, ""
    def start(self):
        say(self.name, "started")

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def pretend(module, source):
    "Functions that belong to `module`, as far as their frames show."
    names = {"__name__": module, "os": os}
    exec(source, names)
    return names

def wait(child):
    os.waitpid(child, 0)
"""


def run(source: str) -> list[str]:
    """Run Python code in a process of its own; return the lines of its output."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + dedent(source)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[2],
        env={k: v for k, v in os.environ.items() if k != "RUNNER_AUTOSTART"},
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout.splitlines()


class Thread:
    """A chain's thread that counts its starts."""

    name = "chain"
    starts = 0
    ident: int | None = None
    reason = "not asked"

    def start(self) -> None:
        self.starts += 1


class BrokenThread(Thread):
    """One that cannot be started at first."""

    refusals = 2

    def start(self) -> None:
        if self.refusals:
            self.refusals -= 1
            raise RuntimeError("can't start new thread")
        super().start()


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test arranges is forgotten after it."""
    hosts._announced.clear()
    # This process is a test run, and plays another one.
    monkeypatch.setattr(hosts, "_is_test_run", bool)
    # Another test may have left a connection, which none of these may look at.
    request_started.disconnect(close_old_connections)
    yield
    request_started.connect(close_old_connections)
    hosts._waiting.clear()
    hosts._unstarted.clear()
    hosts._announced.clear()
    request_started.disconnect(dispatch_uid=hosts._AGAIN_UID)
    request_started.disconnect(dispatch_uid=hosts._DISPATCH_UID)


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[[Facts], None]:
    """Make this process look like another one."""

    def _pretend(facts: Facts) -> None:
        monkeypatch.setattr(
            hosts,
            "collect",
            lambda autostart="auto": replace(facts, autostart=autostart),
        )

    return _pretend


def test_start_at_once() -> None:
    """What a function of a test asks for starts, before `arrange` returns."""
    thread = Thread()

    decision = hosts.arrange(thread)

    assert decision.role is Role.START
    assert thread.starts == 1
    assert thread.reason == ""


def test_autostart_off() -> None:
    """With autostart off nothing starts, whoever asks, and the thread says so."""
    thread = Thread()

    decision = hosts.arrange(thread, autostart=False)

    assert decision.role is Role.NEVER
    assert thread.starts == 0
    assert thread.reason == decision.reason
    assert "autostart is off" in thread.reason


def test_first_request(pretend: Callable[[Facts], None]) -> None:
    """Under an unknown server the first request starts a chain, and only the first."""
    thread = Thread()
    pretend(UNKNOWN_SERVER)
    hosts.arrange(thread)

    before = (thread.starts, thread.reason)
    for _ in range(3):
        request_started.send(sender=WSGIHandler)

    assert before[0] == 0
    assert "first request" in before[1]
    assert (thread.starts, thread.reason) == (1, "")


class OurHandler(BaseHandler):
    """What a test client of a project has, as smoke does."""


@pytest.mark.parametrize(
    "sender", [ClientHandler, AsyncClientHandler, OurHandler, None, "a view"]
)
def test_request_of_a_test_client(
    pretend: Callable[[Facts], None], sender: object
) -> None:
    """A request that no server got proves no server."""
    thread = Thread()
    pretend(UNKNOWN_SERVER)
    hosts.arrange(thread)

    request_started.send(sender=sender)

    assert thread.starts == 0


class OwnHandler(WSGIHandler):
    """The handler of a project that has more to do."""


@pytest.mark.parametrize("sender", [WSGIHandler, OwnHandler, ASGIHandler])
@pytest.mark.parametrize(
    "facts",
    [Facts(command="serve"), Facts(command="gunicorn"), Facts()],
    ids=["serve", "gunicorn", "script"],
)
@pytest.mark.parametrize("autostart", ["auto", True])
def test_request_in_a_command(
    pretend: Callable[[Facts], None], sender: type, facts: Facts, autostart: bool | str
) -> None:
    """A command or a script that turns out to serve starts the chains then."""
    thread = Thread()
    pretend(replace(facts, forks=True))
    hosts.arrange(thread, autostart=autostart)
    before = (thread.starts, thread.reason)

    request_started.send(sender=sender)

    assert before[0] == 0
    assert "has served no request" in before[1]
    assert (thread.starts, thread.reason) == (1, "")


def test_request_in_a_test_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is part of a test starts nothing, whatever runs the test."""
    monkeypatch.undo()
    thread = Thread()
    monkeypatch.setattr(hosts, "collect", lambda autostart: Facts(command="behave"))
    hosts.arrange(thread)

    request_started.send(sender=WSGIHandler)

    assert thread.starts == 0


def test_live_server() -> None:
    """The server of a `LiveServerTestCase` is known without a test runner."""
    assert run(
        """
        from django.test.testcases import LiveServerThread
        class OwnThread(LiveServerThread):
            def __init__(self): threading.Thread.__init__(self, daemon=True)
            def run(self): threading.Event().wait()
        say(hosts._is_test_run())
        OwnThread().start()
        say(hosts._is_test_run())
        """
    ) == ["False", "True"]


def test_request_in_a_patched_process(
    pretend: Callable[[Facts], None], caplog: pytest.LogCaptureFixture
) -> None:
    """A process that is patched after a chain was declared says so at the request."""
    thread = Thread()
    pretend(UNKNOWN_SERVER)
    hosts.arrange(thread)
    pretend(replace(UNKNOWN_SERVER, green="gevent"))

    request_started.send(sender=WSGIHandler)

    assert thread.starts == 0
    assert thread.reason in [r.getMessage() for r in caplog.records if r.levelno > 20]


def test_start_that_raises(
    pretend: Callable[[Facts], None], caplog: pytest.LogCaptureFixture
) -> None:
    """A chain that cannot start fails no request, and each later one tries again."""
    first, second = BrokenThread(), Thread()
    pretend(UNKNOWN_SERVER)
    hosts.arrange(first)
    hosts.arrange(second)

    for _ in range(2):
        request_started.send(sender=WSGIHandler)
        assert (first.starts, second.starts) == (0, 1)
        assert "can't start new thread" in first.reason
    request_started.send(sender=WSGIHandler)

    assert (first.starts, first.reason) == (1, "")
    actions = [vars(r)["action"] for r in caplog.records if r.levelname == "ERROR"]
    assert actions == ["start_failed"]


def test_one_line(
    pretend: Callable[[Facts], None], caplog: pytest.LogCaptureFixture
) -> None:
    """The decision is logged once a process, however many chains there are."""
    caplog.set_level(logging.DEBUG, logger="runner")
    pretend(WORKER)

    for _ in range(5):
        hosts.arrange(Thread())

    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        (
            "INFO",
            "Chains may run in this process (gunicorn worker): it serves requests.",
        )
    ]


def test_level_below_a_command(
    pretend: Callable[[Facts], None], caplog: pytest.LogCaptureFixture
) -> None:
    """A command that serves nobody does not litter its output with the decision."""
    caplog.set_level(logging.DEBUG, logger="runner")
    pretend(Facts(command="migrate"))

    hosts.arrange(Thread())

    assert [record.levelname for record in caplog.records] == ["DEBUG"]


def test_until_ready(
    pretend: Callable[[Facts], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread waits for the apps, and for the user that the process will have."""
    monkeypatch.setattr(hosts, "_settled_at", 0.0)
    monkeypatch.setattr(apps, "ready_event", threading.Event())
    loading = hosts.until_ready()
    apps.ready_event.set()
    ready = hosts.until_ready()
    pretend(replace(WORKER, changes_user=True))
    hosts.arrange(Thread())
    settling = hosts.until_ready()

    assert loading > 0
    assert ready == 0
    assert 0 < settling <= PRIVILEGE_DELAY


def test_collect_from_another_thread() -> None:
    """A call from another thread shows what the main thread runs below."""
    seen: list[Facts] = []
    thread = threading.Thread(target=lambda: seen.append(collect()))

    thread.start()
    thread.join(10)

    assert ("_pytest.main", "wrap_session") in seen[0].stack


class FakeUwsgi:
    """What the module `uwsgi` has."""

    has_threads = 1
    numbers: dict[str, Any]

    def __init__(self, **numbers: Any) -> None:
        self.numbers = numbers

    def worker_id(self) -> int:
        return self.numbers.get("worker_id", 0)

    def mule_id(self) -> int:
        return self.numbers.get("mule_id", 0)

    def i_am_the_spooler(self) -> bool | None:
        return self.numbers.get("spooler")


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ({}, UwsgiFacts()),
        ({"worker_id": 3}, UwsgiFacts(worker_id=3)),
        ({"mule_id": 1}, UwsgiFacts(mule_id=1)),
        ({"spooler": True}, UwsgiFacts(spooler=True)),
    ],
)
def test_uwsgi_facts(
    monkeypatch: pytest.MonkeyPatch, numbers: dict[str, Any], expected: UwsgiFacts
) -> None:
    """What uWSGI is here comes from its module."""
    monkeypatch.setitem(sys.modules, "uwsgi", FakeUwsgi(**numbers))

    assert collect().uwsgi == expected


@pytest.mark.parametrize(
    ("library", "module", "function"),
    [
        ("gevent", "gevent.monkey", "is_module_patched"),
        ("eventlet", "eventlet.patcher", "is_monkey_patched"),
    ],
)
def test_green(
    monkeypatch: pytest.MonkeyPatch, library: str, module: str, function: str
) -> None:
    """Patched threads are noticed, and who patched them."""

    class Patcher:
        pass

    setattr(Patcher, function, staticmethod(lambda name: name.startswith("thread")))
    monkeypatch.setitem(sys.modules, module, Patcher)

    assert collect().green == library


def test_command_of_a_process() -> None:
    """A call below manage.py shows the command and what follows it."""
    lines = run(
        """
        from django.core import management
        class Command:
            def run_from_argv(self, argv):
                facts = hosts.collect()
                say(facts.command, *facts.arguments)
        management.ManagementUtility.fetch_command = lambda self, name: Command()
        management.execute_from_command_line(["manage.py", "serve", "--noreload", "80"])
        """
    )

    assert lines == ["serve --noreload 80"]


def test_user_of_a_worker() -> None:
    """A worker of gunicorn that is root still, and shall not be, is noticed."""
    lines = run(
        """
        class Config:
            uid, gid = 65534, 65534
        class Worker:
            cfg = Config
        source = "def spawn_worker(worker, ask): return ask()"
        arbiter = pretend("gunicorn.arbiter", source)
        os.geteuid = lambda: 0
        facts = arbiter["spawn_worker"](Worker(), hosts.collect)
        say(facts.changes_user, facts.worker_classes)
        """
    )

    assert lines == ["True ('__main__', 'builtins')"]


def test_fork_of_a_master() -> None:
    """A chain declared in a master starts in each worker, not in the master."""
    lines = run(
        """
        arbiter = pretend("gunicorn.arbiter", '''
        def setup(go): return go()
        def spawn_worker():
            child = os.fork()
            if not child: os._exit(0)
            return child
        ''')
        chain = Chain()
        chain.start = lambda: say("started in the master:", os.getpid() == master)
        master = os.getpid()
        say(arbiter["setup"](lambda: hosts.arrange(chain)).role.name)
        say(chain.reason)
        for _ in range(2):
            wait(arbiter["spawn_worker"]())
        """
    )

    assert lines == [
        "AFTER_FORK",
        "Chains start in the workers, after the fork (gunicorn arbiter).",
        *(["started in the master: False"] * 2),
    ]


def test_fork_without_a_thread_to_be_had() -> None:
    """A worker that cannot start a chain after the fork does so with a request."""
    lines = run(
        """
        arbiter = pretend("gunicorn.arbiter", '''
        def setup(go): return go()
        def spawn_worker(serve):
            child = os.fork()
            if not child:
                serve()
                os._exit(0)
            return child
        ''')
        from django.core.handlers.wsgi import WSGIHandler
        from django.core.signals import request_started
        chain = Chain()
        refused = []
        def start():
            if not refused:
                refused.append(1)
                raise RuntimeError("can't start new thread")
            say("started")
        chain.start = start
        import logging
        logging.disable()
        arbiter["setup"](lambda: hosts.arrange(chain))
        def serve():
            say(chain.reason)
            request_started.send(sender=WSGIHandler)
        wait(arbiter["spawn_worker"](serve))
        """
    )

    assert lines == ["No thread is to be had: can't start new thread.", "started"]


def test_fork_of_a_worker() -> None:
    """A view that forks in a worker starts nothing, preloaded or not."""
    lines = run(
        """
        arbiter = pretend("gunicorn.arbiter", '''
        def setup(go): return go()
        def spawn_worker(view):
            child = os.fork()
            if not child:
                view()
                os._exit(0)
            return child
        ''')
        def view():
            child = os.fork()
            if not child:
                os._exit(0)
            wait(child)
        arbiter["setup"](lambda: hosts.arrange(Chain()))
        wait(arbiter["spawn_worker"](view))
        """
    )

    assert lines == ["the chain started"]


def test_fork_of_a_script() -> None:
    """A process that runs its chains itself gives none to its children."""
    lines = run(
        """
        hosts.arrange(Chain())
        child = os.fork()
        if not child:
            os._exit(0)
        wait(child)
        """
    )

    assert lines == ["the chain started"]


@pytest.mark.parametrize("hooks", [False, True], ids=["no hooks", "Python's hooks"])
def test_fork_of_uwsgi(hooks: bool) -> None:
    """uWSGI's own hook starts the chain once, and the hook that was there is called."""
    lines = run(
        f"""
        import types
        uwsgi = types.ModuleType("uwsgi")
        worker = 0
        uwsgi.worker_id = lambda: worker
        uwsgi.has_threads = 1
        uwsgi.post_fork_hook = lambda: say("the hook of before")
        sys.modules["uwsgi"] = uwsgi
        after = []
        hosts.renew_in_child = lambda name, renew: after.append(renew)
        say(hosts.arrange(Chain()).role.name)
        hosts.arrange(Chain("the second"))
        if {hooks}:
            for hook in after:
                hook()
        say("numbered")
        worker = 1
        uwsgi.post_fork_hook()
        uwsgi.post_fork_hook()
        """
    )

    assert lines == [
        "AFTER_FORK",
        "numbered",
        "the hook of before",
        "the chain started",
        "the second started",
        "the hook of before",
    ]


def test_overwritten_hook_of_uwsgi() -> None:
    """A worker whose hook was overwritten starts its chains with the first request."""
    lines = run(
        """
        import types
        from django.core.signals import request_started
        uwsgi = types.ModuleType("uwsgi")
        worker = 0
        uwsgi.worker_id = lambda: worker
        sys.modules["uwsgi"] = uwsgi
        hosts.arrange(Chain())
        uwsgi.post_fork_hook = lambda: say("another hook")
        worker = 1
        uwsgi.post_fork_hook()
        from django.core.handlers.wsgi import WSGIHandler
        request_started.send(sender=WSGIHandler)
        request_started.send(sender=WSGIHandler)
        """
    )

    assert lines == ["another hook", "the chain started"]


@pytest.mark.skipif(
    (3, 12) <= sys.version_info < (3, 12, 3),
    reason="these Pythons refuse new threads from the beginning of the exit on",
)
def test_exit() -> None:
    """What was given to `at_exit` runs once at the exit, while threads can start."""
    lines = run(
        """
        def stop():
            thread = threading.Thread(target=say, args=("stopped",))
            thread.start()
            thread.join()
        hosts.at_exit(lambda: say("replaced"))
        hosts.at_exit(stop)
        say("leaving")
        """
    )

    assert lines == ["leaving", "stopped"]


def test_exit_called_before() -> None:
    """A host that said it leaves is not stopped again by the interpreter's exit."""
    lines = run(
        """
        hosts.at_exit(lambda: say("stopped"))
        hosts.leave()
        hosts.leave()
        say("leaving")
        """
    )

    assert lines == ["stopped", "leaving"]


def test_exit_of_a_child() -> None:
    """A forked child that leaves in an orderly way stops nothing of its parent's."""
    lines = run(
        """
        hosts.at_exit(lambda: say("stopped by the parent:", os.getpid() == parent))
        parent = os.getpid()
        child = os.fork()
        if child:
            wait(child)
        """
    )

    assert lines == ["stopped by the parent: True"]


def test_exit_of_a_worker() -> None:
    """A worker that its master forked stops the chains that started in it."""
    lines = run(
        """
        arbiter = pretend("gunicorn.arbiter", '''
        def setup(go): return go()
        def spawn_worker(): return os.fork()
        ''')
        parent = os.getpid()
        hosts.at_exit(lambda: say("stopped by the worker:", os.getpid() != parent))
        arbiter["setup"](lambda: hosts.arrange(Chain("one")))
        child = arbiter["spawn_worker"]()
        if child:
            wait(child)
            hosts._stop = None
        """
    )

    assert lines == ["one started", "stopped by the worker: True"]


def test_exit_without_the_private_hook() -> None:
    """Where Python has no hook before its threads end, the public one is used."""
    lines = run(
        """
        del threading._register_atexit
        hosts.at_exit(lambda: say("stopped"))
        say("leaving")
        """
    )

    assert lines == ["leaving", "stopped"]


def test_exit_under_uwsgi() -> None:
    """uWSGI's exit hook stops the chains, and the one that was there is called."""
    lines = run(
        """
        import types
        uwsgi = types.ModuleType("uwsgi")
        uwsgi.worker_id = lambda: 1
        uwsgi.atexit = lambda: say("the hook of before")
        sys.modules["uwsgi"] = uwsgi
        hosts.at_exit(lambda: say("stopped"))
        hosts.at_exit(lambda: say("stopped"))
        uwsgi.atexit()
        say("leaving")
        """
    )

    assert lines == ["the hook of before", "stopped", "leaving"]


def test_exit_too_late() -> None:
    """To ask for it while the interpreter leaves already is no error."""
    lines = run(
        """
        import atexit
        atexit.register(lambda: hosts.at_exit(lambda: say("never")))
        say("leaving")
        """
    )

    assert lines == ["leaving"]
