"""
What this process is: a server's worker, its master, a command, a test run, a script.

Its stack tells: the frames below the call that declared a chain name the server, the
command or the test runner, whatever `sys.argv` looks like.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

# Commands that serve, and the variable that their autoreloader sets for its child.
SERVING_COMMANDS: Mapping[str, str] = {
    "runserver": "RUN_MAIN",
    "runsslserver": "RUN_MAIN",
    "runserver_plus": "WERKZEUG_RUN_MAIN",
}
# Servers that load the project in the very process that serves.
SERVERS = (
    *("uvicorn", "daphne", "hypercorn", "granian"),
    *("waitress", "mod_wsgi", "cheroot"),
)
# Servers that fork workers, also when a script or a command runs them.
FORKING_SERVERS = ("gunicorn", "pyuwsgi")
# Packages of processes that work off a queue, and serve no requests.
TASK_WORKERS = ("celery", "rq", "dramatiq", "huey", "arq", "taskiq")
# What makes the application that a server calls.
HANDLERS = {
    ("django.core.wsgi", "get_wsgi_application"),
    ("django.core.asgi", "get_asgi_application"),
}


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
    """
    What can be seen of this process at a call; everything is plain data.

    Attributes:
        stack: Module and function of each frame, innermost first. Where another thread
            than the main one calls, the main thread's frames follow.
        apps_ready: Django had loaded the apps before the call.
        forked: Nobody called: a fork hook asks, in the child.
        serving: Nobody called: the first request came, or the server says it serves.
        command: Below manage.py or django-admin, the command; else empty.
        arguments: What follows it.
        is_of_django: The command is one of Django's own.
        environ: The variables that the autoreloaders set.
        autostart: What the environment or the settings say: True, False or "auto".
        main: Dotted name of the module that runs as `__main__`, when it has one.
        uwsgi: None outside of uWSGI.
        worker_classes: Modules of gunicorn's worker class and its bases; empty outside
            of a worker.
        changes_user: The worker has yet to change to the user that it will run as.
        forks: The code of a server that forks its workers is loaded.
        green: The library that made greenlets of threads; empty: they are threads.
    """

    stack: tuple[tuple[str, str], ...] = ()
    apps_ready: bool = False
    forked: bool = False
    serving: bool = False
    command: str = ""
    arguments: tuple[str, ...] = ()
    is_of_django: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)
    autostart: bool | str = "auto"
    main: str = ""
    uwsgi: UwsgiFacts | None = None
    worker_classes: tuple[str, ...] = ()
    changes_user: bool = False
    forks: bool = False
    green: str = ""


class Kind(Enum):
    """What a process is there for, as far as chains are concerned."""

    SERVING = "it serves requests"
    MASTER = "it forks the workers"
    UNKNOWN_SERVER = "nothing shows yet that it serves"
    RELOADER = "it is the autoreloader, which starts the process that serves"
    RUNNER = "it runs the chain that it was started for"
    TEST = "it is a test run"
    CONFIGURATION = "it checks its configuration"
    COMMAND = "it is a command, and has served no request"
    SCRIPT = "it has served no request"
    TASK_WORKER = "it works for a queue"
    HELPER = "it serves no requests"


Found = tuple[Kind, str] | None  # what a process is, and its name; None: unknown


def find_kind(facts: Facts) -> tuple[Kind, str]:
    """Say what this process is, and its name; the first rule that knows it wins."""
    rules = (_command, _uwsgi, _gunicorn, _server, _other)
    found = (rule(facts) for rule in rules)
    return next(filter(None, found), (Kind.SCRIPT, "script"))


def _command(facts: Facts) -> Found:
    host = f"manage.py {facts.command}"
    if facts.serving:
        return Kind.SERVING, host if facts.command else "server"
    if facts.command == "run_functions":
        return Kind.RUNNER, "run_functions"
    if facts.main == "yourlabs.runner.__main__":
        return Kind.RUNNER, "python -m yourlabs.runner"
    if not facts.command:
        return None
    if facts.command == "test":
        return Kind.TEST, host
    variable = SERVING_COMMANDS.get(facts.command)
    if variable is None:
        return Kind.COMMAND, host
    if "--noreload" in facts.arguments or facts.environ.get(variable) == "true":
        return Kind.SERVING, host
    return Kind.RELOADER, host


def _uwsgi(facts: Facts) -> Found:
    uwsgi = facts.uwsgi
    if uwsgi is None:
        return None
    if uwsgi.mule_id > 0 or uwsgi.spooler:
        return Kind.HELPER, "uWSGI spooler" if uwsgi.spooler else "uWSGI mule"
    if uwsgi.worker_id > 0:
        return Kind.SERVING, "uWSGI worker"
    return Kind.MASTER, "uWSGI master"


def _gunicorn(facts: Facts) -> Found:
    modules = {m for m, _ in facts.stack if belongs(m, ("gunicorn",))}
    if not modules:
        return None
    dirty = ("gunicorn.arbiter", "spawn_dirty_arbiter") in facts.stack
    if dirty or any(belongs(m, ("gunicorn.dirty",)) for m in modules):
        return Kind.HELPER, "gunicorn dirty arbiter"
    spawned = ("gunicorn.arbiter", "spawn_worker") in facts.stack
    if spawned or any(belongs(m, ("gunicorn.workers",)) for m in modules):
        return Kind.SERVING, "gunicorn worker"
    if "gunicorn.arbiter" in modules:
        return Kind.MASTER, "gunicorn arbiter"
    return Kind.CONFIGURATION, "gunicorn"


def _server(facts: Facts) -> Found:
    for module, _ in facts.stack:
        if module.startswith("_mod_wsgi_"):
            # How mod_wsgi calls the module that it makes of a WSGI script.
            return Kind.SERVING, "mod_wsgi"
        if belongs(module, SERVERS):
            return Kind.SERVING, module.partition(".")[0]
    return None


def _other(facts: Facts) -> Found:
    if any(belongs(module, ("_pytest",)) for module, _ in facts.stack):
        return Kind.TEST, "pytest"
    if HANDLERS.intersection(facts.stack):
        return Kind.UNKNOWN_SERVER, "unknown server"
    for module, _ in facts.stack:
        if belongs(module, TASK_WORKERS):
            return Kind.TASK_WORKER, module.partition(".")[0]
    return None


def belongs(module: str, packages: tuple[str, ...]) -> bool:
    """Whether the module is one of the packages or inside of one."""
    return any(module == p or module.startswith(f"{p}.") for p in packages)
