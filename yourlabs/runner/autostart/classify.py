"""
Is this a process that should run chains? A decision, from facts that others collect.

The question is put each time a chain is declared, and again in a forked child of a
process that declared one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from yourlabs.runner.autostart.servers import (
    TASK_WORKERS,
    Facts,
    Kind,
    Place,
    belongs,
    find_place,
)

PRIVILEGE_DELAY = 2.0
"""
Seconds to wait where a forked child still has its parent's user.

Files that are made before it changes would belong to the wrong user.
"""

SERVERS = (Kind.SERVING, Kind.MASTER, Kind.UNKNOWN_SERVER)
"""Where chains belong, whether somebody asked for them there or not."""

GREEN_WORKERS = ("gunicorn.workers.ggevent", "gunicorn.workers.geventlet")
"""Modules of gunicorn's worker classes that patch threads, sooner or later."""

IMPORT_MACHINERY = (
    "importlib._bootstrap",
    "importlib._bootstrap_external",
    "_frozen_importlib",
    "_frozen_importlib_external",
)


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
    """Whether the sentence is no news in this process: a command, a test run."""

    @property
    def starts(self) -> bool:
        """Whether the thread is to be started in this process, at once."""
        return self.role in (Role.START, Role.AFTER_READY)


def decide(facts: Facts) -> Decision:
    """Decide what to do with a chain that is declared under these `facts`."""
    place = find_place(facts)
    direct = _is_direct(facts, place)
    if facts.autostart is False:
        return _never(place, "autostart is off")
    if place.kind is Kind.RELOADER or (place.kind is Kind.RUNNER and not direct):
        # No setting helps here: another process, or another chain, is the right one.
        return _never(place, place.why)
    known = place.kind in (Kind.SERVING, Kind.MASTER)
    if not (
        known or direct or facts.autostart is True or place.kind is Kind.UNKNOWN_SERVER
    ):
        return _never(place, place.why)
    obstacle = _obstacle(facts)
    if obstacle:
        reason = f"Chains cannot run in this process ({place.host}): {obstacle}"
        return Decision(Role.UNABLE, place.host, reason)
    if place.kind is Kind.MASTER:
        reason = f"Chains start in the workers, after the fork ({place.host})."
        return Decision(Role.AFTER_FORK, place.host, reason)
    return _start(facts, place, direct=direct)


def _start(facts: Facts, place: Place, *, direct: bool) -> Decision:
    if place.kind is Kind.SERVING:
        why = place.why
    elif direct:
        why = "it was asked for by code that runs in it"
    elif facts.autostart is True:
        why = "autostart is on"
    else:
        reason = (
            f"Chains start with the first request ({place.host}): {place.why}. "
            "RUNNER_AUTOSTART=1 starts them at once."
        )
        return Decision(Role.FIRST_REQUEST, place.host, reason)
    return Decision(
        role=Role.START if facts.apps_ready else Role.AFTER_READY,
        host=place.host,
        reason=f"Chains may run in this process ({place.host}): {why}.",
        delay=PRIVILEGE_DELAY if facts.changes_user else 0.0,
    )


def _never(place: Place, why: str) -> Decision:
    return Decision(
        role=Role.NEVER,
        host=place.host,
        reason=f"Chains do not start in this process ({place.host}): {why}.",
        quiet=place.kind in (Kind.QUIET, Kind.RELOADER, Kind.RUNNER),
    )


def _is_direct(facts: Facts, place: Place) -> bool:
    """Whether somebody asked for the chain in this very process."""
    if not facts.apps_ready or facts.forked:
        return False
    if place.kind not in (Kind.QUIET, Kind.RUNNER, Kind.TASK_WORKER):
        return True
    # A command or a test run imports views, urls and task modules by itself: who
    # starts a chain at import did not ask for it there.
    inside = _frames_inside(facts)
    return not any(module in IMPORT_MACHINERY for module, _ in inside)


def _frames_inside(facts: Facts) -> Iterator[tuple[str, str]]:
    """The frames between the call and the command, test or task that led to it."""
    for module, function in facts.stack:
        if (module, function) == ("django.core.management", "execute"):
            return
        if belongs(module, ("_pytest", *TASK_WORKERS)):
            return
        yield module, function


def _obstacle(facts: Facts) -> str:
    """Why a thread would not run here, with the remedy; empty when it would."""
    if facts.uwsgi is not None and not facts.uwsgi.threads:
        return (
            "uWSGI runs without threads. Start it with --enable-threads, or run the "
            "chains in a process of their own: manage.py run_functions."
        )
    worker_class = set(facts.worker_classes).intersection(GREEN_WORKERS)
    if not facts.green and not worker_class:
        return ""
    library = facts.green or ("gevent" if GREEN_WORKERS[0] in worker_class else "")
    return (
        f"{library or 'eventlet'} makes greenlets of its threads, so that a task "
        "would block the requests. Serve with threads (gunicorn -k gthread), or run "
        "the chains in a process of their own: manage.py run_functions."
    )
