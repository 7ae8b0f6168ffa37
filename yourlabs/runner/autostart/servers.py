"""
What this process is: a server's worker, its master, a command, a test run, a script.

What tells is who called: the stack below a call names the server, the command or the
test runner, whatever `sys.argv` looks like.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

SERVING_COMMANDS: Mapping[str, str] = {
    "runserver": "RUN_MAIN",
    "runsslserver": "RUN_MAIN",
    "runserver_plus": "WERKZEUG_RUN_MAIN",
}
"""Commands that serve, and the variable their autoreloader sets for its child."""

SERVERS = (
    "uvicorn",
    "daphne",
    "hypercorn",
    "granian",
    "waitress",
    "mod_wsgi",
    "cheroot",
)
"""Packages of servers that load the project in the very process that serves."""

TASK_WORKERS = ("celery", "rq", "dramatiq", "huey", "arq", "taskiq")
"""Packages of processes that work for somebody else, and serve no requests."""


@dataclass(frozen=True)
class UwsgiFacts:
    """What the module `uwsgi` says inside of uWSGI."""

    worker_id: int = 0
    """0 in the master, and before the workers are there."""

    mule_id: int = 0
    spooler: bool = False
    threads: bool = True
    """False when uWSGI lets no thread of Python's run between requests."""


@dataclass(frozen=True)
class Facts:
    """What can be seen of this process at a call; everything is plain data."""

    stack: tuple[tuple[str, str], ...] = ()
    """
    Module and function of each frame, innermost first.

    Where another thread than the main one calls, the main thread's frames follow.
    """

    apps_ready: bool = False
    """Whether Django had loaded the apps before the call."""

    forked: bool = False
    """Whether nobody called: a fork hook asks, in the child."""

    command: str = ""
    """The command, when the call comes from below manage.py or django-admin."""

    arguments: tuple[str, ...] = ()
    """What follows it."""

    environ: Mapping[str, str] = field(default_factory=dict)
    """The variables that the autoreloaders set."""

    autostart: bool | str = "auto"
    """What the environment or the settings say: True, False or "auto"."""

    main: str = ""
    """Dotted name of the module that runs as `__main__`, when it has one."""

    uwsgi: UwsgiFacts | None = None
    """None outside of uWSGI."""

    worker_classes: tuple[str, ...] = ()
    """Modules of gunicorn's worker class and its bases; empty outside of a worker."""

    changes_user: bool = False
    """Whether the worker has yet to change to the user that it will run as."""

    serving: bool = False
    """Whether nobody called: the first request came, or the server says it serves."""

    green: str = ""
    """The library that made threads of Python greenlets; empty: they are threads."""


class Kind(Enum):
    """What a process is there for, as far as chains are concerned."""

    SERVING = auto()
    """It serves requests."""

    MASTER = auto()
    """It forks the processes that serve."""

    UNKNOWN_SERVER = auto()
    """It may be a server: it made the project's application."""

    RELOADER = auto()
    """It starts the process that serves, again and again."""

    RUNNER = auto()
    """It was started for a chain of its own."""

    QUIET = auto()
    """A command, a test run: nobody expects chains in it."""

    TASK_WORKER = auto()
    """It works for a queue."""

    OTHER = auto()
    """None of these: a script, a shell, a server's helper."""


@dataclass(frozen=True)
class Place:
    """A process, as its stack shows it."""

    kind: Kind
    host: str
    why: str
    """What it does: "it serves requests"."""


def find_place(facts: Facts) -> Place:
    """Say what this process is; the first rule that knows it wins."""
    rules: tuple[Callable[[Facts], Place | None], ...] = (
        _proven,
        _runner,
        _command,
        _uwsgi,
        _gunicorn,
        _server,
        _pytest,
        _unknown_server,
        _task_worker,
    )
    for rule in rules:
        place = rule(facts)
        if place is not None:
            return place
    return Place(Kind.OTHER, "script", "it serves no requests")


def _proven(facts: Facts) -> Place | None:
    if not facts.serving:
        return None
    return Place(Kind.SERVING, "server", "it serves requests")


def _runner(facts: Facts) -> Place | None:
    by_command = facts.command == "run_functions"
    if not by_command and facts.main != "yourlabs.runner.__main__":
        return None
    host = "run_functions" if by_command else "python -m yourlabs.runner"
    return Place(Kind.RUNNER, host, "it runs the chain that it was started for")


def _command(facts: Facts) -> Place | None:
    if not facts.command:
        return None
    host = f"manage.py {facts.command}"
    variable = SERVING_COMMANDS.get(facts.command)
    if variable is None:
        return Place(Kind.QUIET, host, "it is a command that serves no requests")
    if "--noreload" in facts.arguments or facts.environ.get(variable) == "true":
        return Place(Kind.SERVING, host, "it serves requests")
    why = "it is the autoreloader, which starts the process that serves"
    return Place(Kind.RELOADER, host, why)


def _uwsgi(facts: Facts) -> Place | None:
    uwsgi = facts.uwsgi
    if uwsgi is None:
        return None
    if uwsgi.mule_id > 0 or uwsgi.spooler:
        host = "uWSGI spooler" if uwsgi.spooler else "uWSGI mule"
        return Place(Kind.OTHER, host, "it serves no requests")
    if uwsgi.worker_id > 0:
        return Place(Kind.SERVING, "uWSGI worker", "it serves requests")
    return Place(Kind.MASTER, "uWSGI master", "it forks the workers")


def _gunicorn(facts: Facts) -> Place | None:
    modules = {m for m, _ in facts.stack if belongs(m, ("gunicorn",))}
    if not modules:
        return None
    dirty = ("gunicorn.arbiter", "spawn_dirty_arbiter") in facts.stack
    if dirty or any(belongs(m, ("gunicorn.dirty",)) for m in modules):
        why = "it serves no requests"
        return Place(Kind.OTHER, "gunicorn dirty arbiter", why)
    spawned = ("gunicorn.arbiter", "spawn_worker") in facts.stack
    if spawned or any(belongs(m, ("gunicorn.workers",)) for m in modules):
        return Place(Kind.SERVING, "gunicorn worker", "it serves requests")
    if "gunicorn.arbiter" in modules:
        return Place(Kind.MASTER, "gunicorn arbiter", "it forks the workers")
    return Place(Kind.QUIET, "gunicorn", "it checks its configuration")


def _server(facts: Facts) -> Place | None:
    for module, _ in facts.stack:
        if module.startswith("_mod_wsgi_"):
            # How mod_wsgi calls the module that it makes of a WSGI script.
            return Place(Kind.SERVING, "mod_wsgi", "it serves requests")
        if belongs(module, SERVERS):
            host = module.partition(".")[0]
            return Place(Kind.SERVING, host, "it serves requests")
    return None


def _pytest(facts: Facts) -> Place | None:
    if not any(belongs(module, ("_pytest",)) for module, _ in facts.stack):
        return None
    return Place(Kind.QUIET, "pytest", "it is a test run")


def _unknown_server(facts: Facts) -> Place | None:
    handlers = {
        ("django.core.wsgi", "get_wsgi_application"),
        ("django.core.asgi", "get_asgi_application"),
    }
    if handlers.isdisjoint(facts.stack):
        return None
    why = "nothing shows yet that it serves"
    return Place(Kind.UNKNOWN_SERVER, "unknown server", why)


def _task_worker(facts: Facts) -> Place | None:
    for module, _ in facts.stack:
        if belongs(module, TASK_WORKERS):
            host = module.partition(".")[0]
            return Place(Kind.TASK_WORKER, host, "it serves no requests")
    return None


def belongs(module: str, packages: tuple[str, ...]) -> bool:
    """Whether the module is one of the packages or inside of one."""
    return any(module == p or module.startswith(f"{p}.") for p in packages)
