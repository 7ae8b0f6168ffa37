"""
Is this a process that should run chains? A decision, from the facts of `kinds.Facts`.

It is made each time a chain is declared, again in a forked child of a process that
declared one, and with the first request.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from yourlabs.runner.autostart.kinds import (
    TASK_WORKERS,
    Facts,
    Kind,
    belongs,
    find_kind,
)

# Seconds to wait while a forked child still has its parent's user: files that are made
# before it changes would belong to the wrong user.
PRIVILEGE_DELAY = 2.0
# Modules of gunicorn's worker classes that patch threads, sooner or later.
GREEN_WORKERS = {
    "gunicorn.workers.ggevent": "gevent",
    "gunicorn.workers.geventlet": "eventlet",
}
IMPORT_MACHINERY = ("importlib", "_frozen_importlib", "_frozen_importlib_external")
# Where nobody expects a chain to start: the reason is logged at DEBUG.
QUIET = (Kind.TEST, Kind.CONFIGURATION, Kind.COMMAND, Kind.RELOADER, Kind.RUNNER)


class Role(Enum):
    """What is to be done with a chain that was declared in this process."""

    START = auto()
    """Start now."""

    AFTER_READY = auto()
    """Start, and wait for the apps to be ready: they are being loaded."""

    AFTER_FORK = auto()
    """Start in the children that serve: this process forks them."""

    FIRST_REQUEST = auto()
    """Start when the first request shows that this process serves."""

    IF_IT_SERVES = auto()
    """Do not start, unless a request shows that this process serves after all."""

    NEVER = auto()
    """Do not start: the process is there for something else."""

    UNABLE = auto()
    """Do not start, although it should: a thread would not run, or would block."""


@dataclass(frozen=True)
class Decision:
    """What to do with a chain, and why."""

    role: Role
    host: str
    """What this process is, in two or three words: `gunicorn worker`."""
    reason: str
    """One sentence for the log and for `status()`."""
    delay: float = 0.0
    """Seconds that the thread waits after the apps are ready."""
    quiet: bool = False
    """Nobody expects a chain here: a command, a test run."""

    @property
    def starts(self) -> bool:
        """Whether the thread is to be started in this process, at once."""
        return self.role in (Role.START, Role.AFTER_READY)


def decide(facts: Facts) -> Decision:
    """Decide what to do with a chain that is declared under these `facts`."""
    kind, host = find_kind(facts)
    direct = _is_direct(facts, kind)
    if facts.autostart is False:
        return _never(kind, host, "autostart is off")
    if kind is Kind.RELOADER or (kind is Kind.RUNNER and not direct):
        # No setting overrides this: another process, or another chain, is to run.
        return _never(kind, host, kind.value)
    if not (direct or _is_to_start(facts, kind)):
        may_serve = kind in (Kind.COMMAND, Kind.SCRIPT)
        role = Role.IF_IT_SERVES if may_serve else Role.NEVER
        return _never(kind, host, kind.value, role)
    if obstacle := _obstacle(facts):
        reason = f"Chains cannot run in this process ({host}): {obstacle}"
        return Decision(Role.UNABLE, host, reason)
    if kind is Kind.MASTER:
        reason = f"Chains start in the workers, after the fork ({host})."
        return Decision(Role.AFTER_FORK, host, reason)
    return _start(facts, kind, host, direct=direct)


def _is_to_start(facts: Facts, kind: Kind) -> bool:
    """Whether chains start here now or later, though nobody asked for them here."""
    if kind in (Kind.SERVING, Kind.MASTER, Kind.UNKNOWN_SERVER):
        return True
    return facts.autostart is True and not _may_fork(facts, kind)


def _may_fork(facts: Facts, kind: Kind) -> bool:
    """Whether the process may be about to fork: no setting starts a thread before."""
    if kind is Kind.COMMAND:
        # A command of a project may run any server.
        return facts.forks or not facts.is_of_django
    # ``manage.py test --parallel`` forks, and so do workers of a queue.
    return facts.forks or kind is Kind.TASK_WORKER or facts.command == "test"


def _start(facts: Facts, kind: Kind, host: str, *, direct: bool) -> Decision:
    if kind is Kind.SERVING:
        why = kind.value
    elif direct:
        why = "it was asked for by code that runs in it"
    elif facts.autostart is True and not facts.forks:
        why = "autostart is on"
    else:
        reason = (
            f"Chains start with the first request ({host}): {kind.value}. "
            "RUNNER_AUTOSTART=1 starts them at once."
        )
        return Decision(Role.FIRST_REQUEST, host, reason)
    return Decision(
        role=Role.START if facts.apps_ready else Role.AFTER_READY,
        host=host,
        reason=f"Chains may run in this process ({host}): {why}.",
        delay=PRIVILEGE_DELAY if facts.changes_user else 0.0,
    )


def _never(kind: Kind, host: str, why: str, role: Role = Role.NEVER) -> Decision:
    reason = f"Chains do not start in this process ({host}): {why}."
    return Decision(role, host, reason, quiet=kind in QUIET)


def _is_direct(facts: Facts, kind: Kind) -> bool:
    """Whether somebody asked for the chain in this very process."""
    if not facts.apps_ready or facts.forked:
        return False
    if kind not in (*QUIET, Kind.TASK_WORKER):
        return True
    # A command or a test run imports views, urls and task modules by itself: a chain
    # that is started at import was not asked for there.
    inside = _modules_inside(facts)
    return not any(belongs(module, IMPORT_MACHINERY) for module in inside)


def _modules_inside(facts: Facts) -> Iterator[str]:
    """The modules between the call and the command, test or task that led to it."""
    for module, function in facts.stack:
        if (module, function) == ("django.core.management", "execute"):
            return
        if belongs(module, ("_pytest", *TASK_WORKERS)):
            return
        yield module


def _obstacle(facts: Facts) -> str:
    """Why a thread would not run here, with the remedy; empty when it would."""
    if facts.uwsgi is not None and not facts.uwsgi.threads:
        return (
            "uWSGI runs without threads. Start it with --enable-threads, or run the "
            "chains in a process of their own: manage.py run_functions."
        )
    of_workers = [GREEN_WORKERS.get(module, "") for module in facts.worker_classes]
    library = facts.green or "".join(of_workers)
    if not library:
        return ""
    return (
        f"{library} makes greenlets of its threads, so that a task would block the "
        "requests. Serve with threads (gunicorn -k gthread), or run the chains in a "
        "process of their own: manage.py run_functions."
    )
