"""Where chains start: the decision, over recorded situations."""

from __future__ import annotations

from dataclasses import replace

import pytest

from yourlabs.runner.autostart.classify import PRIVILEGE_DELAY, Decision, Role, decide
from yourlabs.runner.autostart.kinds import Facts, UwsgiFacts

READY = [("project.app.apps", "ready"), ("django.apps.registry", "populate")]
SETUP = [*READY, ("django", "setup")]
WSGI = [
    *SETUP,
    ("django.core.wsgi", "get_wsgi_application"),
    ("project.wsgi", "<module>"),
]
ASGI = [
    *SETUP,
    ("django.core.asgi", "get_asgi_application"),
    ("project.asgi", "<module>"),
]
IMPORT = [
    ("importlib._bootstrap", "_call_with_frames_removed"),
    ("importlib._bootstrap_external", "exec_module"),
    ("importlib._bootstrap", "_find_and_load"),
]
SCRIPT = [("__main__", "<module>")]
GUNICORN_MASTER = [
    ("gunicorn.util", "import_app"),
    ("gunicorn.app.wsgiapp", "load"),
    ("gunicorn.app.base", "wsgi"),
    ("gunicorn.arbiter", "setup"),
    ("gunicorn.arbiter", "__init__"),
    ("gunicorn.app.base", "run"),
]
GUNICORN_WORKER = [
    ("gunicorn.app.base", "wsgi"),
    ("gunicorn.workers.base", "load_wsgi"),
    ("gunicorn.workers.base", "init_process"),
    ("gunicorn.arbiter", "spawn_worker"),
    ("gunicorn.arbiter", "spawn_workers"),
    ("gunicorn.arbiter", "run"),
]
GUNICORN_FORK = GUNICORN_WORKER[3:]
COMMAND = [*SETUP, ("django.core.management", "execute"), *SCRIPT]
PYTEST = [
    ("pytest_django.plugin", "_setup_django"),
    ("pluggy._callers", "_multicall"),
    ("_pytest.config", "_main"),
    *SCRIPT,
]
SYNC = ("gunicorn.workers.sync", "gunicorn.workers.base", "builtins")
GEVENT = ("gunicorn.workers.ggevent", "gunicorn.workers.base_async", "builtins")


def facts(stack: list[tuple[str, str]], **values: object) -> Facts:
    return replace(Facts(stack=tuple(stack)), **values)  # type: ignore[arg-type]


def command(name: str, *arguments: str, **environ: str) -> Facts:
    return facts(COMMAND, command=name, arguments=arguments, environ=environ)


def serving_command(name: str, variable: str, *arguments: str) -> Facts:
    return command(name, *arguments, **{variable: "true"})


def later(stack: list[tuple[str, str]], **values: object) -> Facts:
    return facts([("project.code", "go"), *stack], apps_ready=True, **values)


SITUATIONS = {
    # While the apps are being loaded, in a process that serves.
    "gunicorn sync": (
        facts(WSGI + IMPORT + GUNICORN_WORKER, worker_classes=SYNC),
        Role.AFTER_READY,
        "gunicorn worker",
    ),
    "gunicorn asgi": (
        facts(
            ASGI + IMPORT + GUNICORN_WORKER, worker_classes=("gunicorn.workers.gasgi",)
        ),
        Role.AFTER_READY,
        "gunicorn worker",
    ),
    "gunicorn with uvicorn's worker": (
        facts(
            [
                *ASGI,
                ("uvicorn.config", "load"),
                ("uvicorn_worker", "run"),
                *GUNICORN_WORKER,
            ]
        ),
        Role.AFTER_READY,
        "gunicorn worker",
    ),
    "a setup() of one's own in a worker of gunicorn": (
        facts(SETUP + IMPORT + GUNICORN_WORKER),
        Role.AFTER_READY,
        "gunicorn worker",
    ),
    "uWSGI --lazy-apps": (
        facts(WSGI, uwsgi=UwsgiFacts(worker_id=2)),
        Role.AFTER_READY,
        "uWSGI worker",
    ),
    "uvicorn": (
        facts(
            ASGI
            + IMPORT
            + [("uvicorn.importer", "import_from_string"), ("asyncio.runners", "run")]
        ),
        Role.AFTER_READY,
        "uvicorn",
    ),
    "uvicorn, setup() instead of get_asgi_application()": (
        facts(SETUP + IMPORT + [("uvicorn.importer", "import_from_string")]),
        Role.AFTER_READY,
        "uvicorn",
    ),
    "daphne": (
        facts(
            ASGI + IMPORT + [("daphne.utils", "import_by_path"), ("daphne.cli", "run")]
        ),
        Role.AFTER_READY,
        "daphne",
    ),
    "hypercorn": (
        facts(ASGI + IMPORT + [("hypercorn.utils", "load_application")]),
        Role.AFTER_READY,
        "hypercorn",
    ),
    "granian": (
        facts(WSGI + IMPORT + [("granian._internal", "load_target")]),
        Role.AFTER_READY,
        "granian",
    ),
    "waitress": (
        facts(WSGI + IMPORT + [("waitress.runner", "run")]),
        Role.AFTER_READY,
        "waitress",
    ),
    "mod_wsgi": (
        facts([*WSGI[:-1], ("_mod_wsgi_0123456789abcdef", "<module>")]),
        Role.AFTER_READY,
        "mod_wsgi",
    ),
    "runserver's child": (
        serving_command("runserver", "RUN_MAIN", "8000"),
        Role.AFTER_READY,
        "manage.py runserver",
    ),
    "runserver --noreload": (
        command("runserver", "--noreload"),
        Role.AFTER_READY,
        "manage.py runserver",
    ),
    "runserver_plus' child": (
        serving_command("runserver_plus", "WERKZEUG_RUN_MAIN"),
        Role.AFTER_READY,
        "manage.py runserver_plus",
    ),
    "the lifespan of a server": (
        facts([("asyncio.events", "_run")], apps_ready=True, serving=True),
        Role.START,
        "server",
    ),
    # In a process that will fork.
    "gunicorn --preload": (
        facts(WSGI + IMPORT + GUNICORN_MASTER),
        Role.AFTER_FORK,
        "gunicorn arbiter",
    ),
    "wsgi.py under gunicorn --preload": (
        later(IMPORT + GUNICORN_MASTER),
        Role.AFTER_FORK,
        "gunicorn arbiter",
    ),
    "uWSGI master": (facts(WSGI, uwsgi=UwsgiFacts()), Role.AFTER_FORK, "uWSGI master"),
    "wsgi.py in the uWSGI master": (
        later(SCRIPT, uwsgi=UwsgiFacts()),
        Role.AFTER_FORK,
        "uWSGI master",
    ),
    "uWSGI's Python fork hook, before it numbers its workers": (
        facts([], apps_ready=True, forked=True, uwsgi=UwsgiFacts()),
        Role.AFTER_FORK,
        "uWSGI master",
    ),
    "gunicorn replaces itself": (
        facts(
            [("gunicorn.arbiter", "reexec"), ("gunicorn.arbiter", "run")],
            apps_ready=True,
            forked=True,
        ),
        Role.AFTER_FORK,
        "gunicorn arbiter",
    ),
    # In the child of one.
    "a preloaded worker of gunicorn": (
        facts(GUNICORN_FORK, apps_ready=True, forked=True, worker_classes=SYNC),
        Role.START,
        "gunicorn worker",
    ),
    "a forked worker of uWSGI": (
        facts([], apps_ready=True, forked=True, uwsgi=UwsgiFacts(worker_id=1)),
        Role.START,
        "uWSGI worker",
    ),
    "a forked mule": (
        facts([], apps_ready=True, forked=True, uwsgi=UwsgiFacts(mule_id=1)),
        Role.NEVER,
        "uWSGI mule",
    ),
    "a forked spooler": (
        facts([], apps_ready=True, forked=True, uwsgi=UwsgiFacts(spooler=True)),
        Role.NEVER,
        "uWSGI spooler",
    ),
    "gunicorn's dirty arbiter": (
        facts(
            [("gunicorn.arbiter", "spawn_dirty_arbiter"), ("gunicorn.arbiter", "run")],
            apps_ready=True,
            forked=True,
        ),
        Role.NEVER,
        "gunicorn dirty arbiter",
    ),
    "a dirty worker of gunicorn": (
        facts([*SETUP, ("gunicorn.dirty.worker", "load_apps"), *GUNICORN_FORK]),
        Role.NEVER,
        "gunicorn dirty arbiter",
    ),
    # Under a server nobody knows.
    "an unknown server, WSGI": (
        facts([*WSGI, ("passenger", "load"), *SCRIPT]),
        Role.FIRST_REQUEST,
        "unknown server",
    ),
    "an unknown server, ASGI": (facts(ASGI), Role.FIRST_REQUEST, "unknown server"),
    "the import of wsgi.py alone": (
        facts(WSGI + IMPORT + SCRIPT),
        Role.FIRST_REQUEST,
        "unknown server",
    ),
    "the first request under an unknown server": (
        facts([("wsgiref.handlers", "run")], apps_ready=True, serving=True),
        Role.START,
        "server",
    ),
    # Where they do not belong.
    "runserver's parent": (
        command("runserver"),
        Role.NEVER,
        "manage.py runserver",
    ),
    "runserver_plus' parent": (
        serving_command("runserver_plus", "RUN_MAIN"),
        Role.NEVER,
        "manage.py runserver_plus",
    ),
    "runserver's parent, autostart on": (
        replace(command("runserver"), autostart=True),
        Role.NEVER,
        "manage.py runserver",
    ),
    **{
        f"manage.py {name}": (command(name), Role.IF_IT_SERVES, f"manage.py {name}")
        for name in ("migrate", "shell", "check", "collectstatic", "help", "gunicorn")
    },
    "manage.py test": (command("test"), Role.NEVER, "manage.py test"),
    "the tests of the project, run below runserver": (
        command("test", RUN_MAIN="true"),
        Role.NEVER,
        "manage.py test",
    ),
    "pytest": (facts(SETUP + PYTEST), Role.NEVER, "pytest"),
    "pytest that imports wsgi.py": (
        facts(WSGI + IMPORT + PYTEST),
        Role.NEVER,
        "pytest",
    ),
    "celery": (
        facts([*SETUP, ("celery.fixups.django", "worker_init"), *SCRIPT]),
        Role.NEVER,
        "celery",
    ),
    "a script's setup()": (facts(SETUP + SCRIPT), Role.IF_IT_SERVES, "script"),
    "gunicorn --check-config": (
        facts(
            [*WSGI, ("gunicorn.app.wsgiapp", "load"), ("gunicorn.app.base", "run")],
        ),
        Role.NEVER,
        "gunicorn",
    ),
    "run_functions": (command("run_functions", "tasks.a"), Role.NEVER, "run_functions"),
    "run_functions, autostart on": (
        replace(command("run_functions"), autostart=True),
        Role.NEVER,
        "run_functions",
    ),
    "python -m yourlabs.runner": (
        facts(SETUP, main="yourlabs.runner.__main__"),
        Role.NEVER,
        "python -m yourlabs.runner",
    ),
    "urls imported by migrate's checks": (
        later([*IMPORT, ("django.core.management", "execute")], command="migrate"),
        Role.IF_IT_SERVES,
        "manage.py migrate",
    ),
    "urls imported by a request of a test": (
        later(IMPORT + PYTEST),
        Role.NEVER,
        "pytest",
    ),
    "a task module imported by celery": (
        later([*IMPORT, ("celery.loaders.base", "find_related_module")]),
        Role.NEVER,
        "celery",
    ),
    "a task module imported by run_functions": (
        later(
            [*IMPORT, ("django.core.management", "execute")], command="run_functions"
        ),
        Role.NEVER,
        "run_functions",
    ),
    # Where somebody asked for it here.
    "a script after setup()": (later(SCRIPT), Role.START, "script"),
    "wsgi.py under an unknown server": (later(IMPORT + SCRIPT), Role.START, "script"),
    "gunicorn's post_worker_init": (
        later([("gunicorn.workers.base", "init_process"), *GUNICORN_FORK]),
        Role.START,
        "gunicorn worker",
    ),
    "gunicorn's post_fork, before the apps": (
        facts(GUNICORN_FORK),
        Role.AFTER_READY,
        "gunicorn worker",
    ),
    "a mule's own function": (
        later([], uwsgi=UwsgiFacts(mule_id=1)),
        Role.START,
        "uWSGI mule",
    ),
    "manage.py shell": (
        later([("django.core.management", "execute"), *SCRIPT], command="shell"),
        Role.START,
        "manage.py shell",
    ),
    "a test": (later(PYTEST), Role.START, "pytest"),
    "a view, in a thread of a server nobody knows": (later([]), Role.START, "script"),
    # Where a thread cannot run.
    "gunicorn gevent": (
        facts(WSGI + GUNICORN_WORKER, worker_classes=GEVENT, green="gevent"),
        Role.UNABLE,
        "gunicorn worker",
    ),
    "gunicorn gevent --preload": (
        facts(GUNICORN_FORK, apps_ready=True, forked=True, worker_classes=GEVENT),
        Role.UNABLE,
        "gunicorn worker",
    ),
    "gunicorn eventlet": (
        facts(WSGI + GUNICORN_WORKER, worker_classes=("gunicorn.workers.geventlet",)),
        Role.UNABLE,
        "gunicorn worker",
    ),
    "a patched unknown server": (
        facts(WSGI, green="gevent"),
        Role.UNABLE,
        "unknown server",
    ),
    "a patched script": (later(SCRIPT, green="eventlet"), Role.UNABLE, "script"),
    "a patched command": (
        replace(command("migrate"), green="gevent"),
        Role.IF_IT_SERVES,
        "manage.py migrate",
    ),
    "uWSGI without threads": (
        facts(WSGI, uwsgi=UwsgiFacts(threads=False)),
        Role.UNABLE,
        "uWSGI master",
    ),
    "uWSGI without threads, --lazy-apps": (
        facts(WSGI, uwsgi=UwsgiFacts(worker_id=1, threads=False)),
        Role.UNABLE,
        "uWSGI worker",
    ),
    # With the setting or the variable.
    "autostart off in a server": (
        facts(WSGI + GUNICORN_WORKER, autostart=False),
        Role.NEVER,
        "gunicorn worker",
    ),
    "autostart off in a master": (
        facts(WSGI + GUNICORN_MASTER, autostart=False),
        Role.NEVER,
        "gunicorn arbiter",
    ),
    "autostart off for code that runs later": (
        later(SCRIPT, autostart=False),
        Role.NEVER,
        "script",
    ),
    "autostart on in a script": (
        facts(SETUP + SCRIPT, autostart=True),
        Role.AFTER_READY,
        "script",
    ),
    "autostart on in a command": (
        replace(command("serve_with_something"), autostart=True),
        Role.IF_IT_SERVES,
        "manage.py serve_with_something",
    ),
    "autostart on in a command of Django's own": (
        replace(command("shell"), autostart=True, is_of_django=True),
        Role.AFTER_READY,
        "manage.py shell",
    ),
    "autostart on in a command of Django's own, with gunicorn loaded": (
        replace(command("shell"), autostart=True, is_of_django=True, forks=True),
        Role.IF_IT_SERVES,
        "manage.py shell",
    ),
    "autostart on in tests, which may be parallel": (
        replace(command("test"), autostart=True, is_of_django=True),
        Role.NEVER,
        "manage.py test",
    ),
    "autostart on in celery, which forks its workers": (
        facts([*SETUP, ("celery.fixups.django", "x"), *SCRIPT], autostart=True),
        Role.NEVER,
        "celery",
    ),
    "autostart on in a script that runs gunicorn": (
        facts(SETUP + SCRIPT, autostart=True, forks=True),
        Role.IF_IT_SERVES,
        "script",
    ),
    "autostart on in wsgi.py that a script with gunicorn imports": (
        facts(WSGI + IMPORT + SCRIPT, autostart=True, forks=True),
        Role.FIRST_REQUEST,
        "unknown server",
    ),
    "a request in a worker that a command forked": (
        replace(command("gunicorn"), apps_ready=True, serving=True),
        Role.START,
        "manage.py gunicorn",
    ),
    "a request in a test's server": (
        replace(command("test"), apps_ready=True, forked=True),
        Role.NEVER,
        "manage.py test",
    ),
    "autostart off in a command that serves": (
        replace(command("serve"), autostart=False, serving=True),
        Role.NEVER,
        "manage.py serve",
    ),
    "autostart on under an unknown server": (
        facts(WSGI, autostart=True),
        Role.AFTER_READY,
        "unknown server",
    ),
    "autostart on in a master": (
        facts(WSGI + GUNICORN_MASTER, autostart=True),
        Role.AFTER_FORK,
        "gunicorn arbiter",
    ),
    "autostart on without threads": (
        facts(SETUP, autostart=True, green="gevent"),
        Role.UNABLE,
        "script",
    ),
}


@pytest.mark.parametrize(
    ("situation", "role", "host"), SITUATIONS.values(), ids=SITUATIONS.keys()
)
def test_situation(situation: Facts, role: Role, host: str) -> None:
    """Each recorded situation has one role, and a sentence that says why."""
    decision = decide(situation)

    assert (role, host) == (decision.role, decision.host)
    assert host in decision.reason
    assert decision.reason.endswith(".")
    assert decision.starts == (role in (Role.START, Role.AFTER_READY))


def test_number_of_situations() -> None:
    """The table holds thirty situations or more."""
    assert len(SITUATIONS) >= 30


@pytest.mark.parametrize(
    ("situation", "remedy"),
    [
        ("gunicorn gevent", "-k gthread"),
        ("uWSGI without threads", "--enable-threads"),
        ("gunicorn eventlet", "run_functions"),
    ],
)
def test_remedy(situation: str, remedy: str) -> None:
    """A process in which no thread can run is told what to do about it."""
    decision = decide(SITUATIONS[situation][0])

    assert remedy in decision.reason


@pytest.mark.parametrize(
    ("name", "library"),
    [("gunicorn gevent --preload", "gevent"), ("gunicorn eventlet", "eventlet")],
)
def test_library_of_greenlets(name: str, library: str) -> None:
    """The library that makes greenlets of threads is named, patched already or not."""
    assert f": {library} makes" in decide(SITUATIONS[name][0]).reason


@pytest.mark.parametrize(
    ("name", "quiet"),
    [
        ("manage.py migrate", True),
        ("pytest", True),
        ("runserver's parent", True),
        ("run_functions", True),
        ("a script's setup()", False),
        ("celery", False),
        ("runserver's child", False),
    ],
)
def test_quiet(name: str, quiet: bool) -> None:
    """What nobody wonders about is not worth a line of everybody's log."""
    assert quiet == decide(SITUATIONS[name][0]).quiet


def test_delay() -> None:
    """A child that has yet to change its user waits before it makes files."""
    situation = SITUATIONS["a preloaded worker of gunicorn"][0]

    at_once = decide(situation)
    waits = decide(replace(situation, changes_user=True))

    assert at_once == Decision(Role.START, at_once.host, at_once.reason, delay=0.0)
    assert waits.delay == PRIVILEGE_DELAY
