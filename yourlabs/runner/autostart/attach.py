"""
Where chains start, and how they stop with their process.

`arrange` looks at the process, asks `classify` for the decision and acts on it: starts
a chain, or has it started in the child that a server forks, or at the first request.
`at_exit` has the chains stopped when the process leaves.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from django.apps import apps
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_started

from yourlabs.runner.autostart.classify import Decision, Role, decide
from yourlabs.runner.autostart.facts import collect, uwsgi_module
from yourlabs.runner.autostart.kinds import Facts
from yourlabs.runner.forks import renew_in_child

logger = logging.getLogger("runner")

PATIENCE = 0.1
"""How long a thread waits for the apps before it looks around again, in seconds."""

MOMENT = 0.001
"""A wait that is long enough to notice that the thread is to stop, in seconds."""

LATER = (Role.AFTER_FORK, Role.FIRST_REQUEST, Role.IF_IT_SERVES)
"""What is not decided for good: a fork or a request may start the chain."""

SERVED_BY = (WSGIHandler, ASGIHandler)
"""What a server calls."""

T = TypeVar("T")

_GONE: Any = object()

_DISPATCH_UID, _AGAIN_UID = f"{__name__}.serves", f"{__name__}.again"


class Startable(Protocol):
    """A chain's thread; `reason` says why it does not run."""

    name: str
    """Of the chain, for the log."""

    reason: str

    @property
    def ident(self) -> int | None: ...
    def start(self) -> None: ...


_waiting: dict[Startable, bool | str] = {}
"""
Chains that wait for a fork or for the first request, with what the settings say.

Changed by single operations only: a lock could be held by another thread while the
process forks, and nobody would release it in the child.
"""

_unstarted: dict[Startable, None] = {}
"""Chains for which there was no thread to be had. Changed as `_waiting` is."""

_announced: set[tuple[int, Role, str]] = set()
"""What was logged, by process id: a forked child says its own."""

_hooked: set[str] = set()
"""The hooks that are in place. A forked child inherits them with this set."""


_settled_at = 0.0
"""When this process will have the user it serves as, on the monotonic clock."""


def arrange(thread: Startable, *, autostart: bool | str = "auto") -> Decision:
    """
    Start a chain now or later or never, as it is right in this process.

    Call it from where the chain is declared: the stack of the caller is what the
    decision rests on. It may be called again for a chain that was not started. The
    decision is logged, once a process, and what keeps the chain from running is its
    thread's `reason`. The thread has to wait for `until_ready`.
    """
    decision = decide(collect(autostart))
    _announce(decision)
    _waiting.pop(thread, None)
    if decision.role in LATER:
        _waiting[thread] = autostart
        # After a fork too: there are forks that call no hook, and modules that
        # overwrite the one hook that uWSGI has.
        request_started.connect(_on_request, weak=False, dispatch_uid=_DISPATCH_UID)
    if decision.role is Role.AFTER_FORK:
        _hook_forks()
    _follow(decision, thread)
    return decision


def until_ready() -> float:
    """
    Wait a little for the process to be set up; return for how many seconds more.

    For a chain's thread, which may have been started while the apps are being loaded
    or while the process still has another user than it will serve as. It asks again,
    until that is 0: so a process whose apps never load can end.
    """
    if not apps.ready_event.wait(PATIENCE):
        return MOMENT
    return max(0.0, _settled_at - time.monotonic())


def serving() -> None:
    """Start the chains that wait for a proof that this process serves requests."""
    request_started.disconnect(dispatch_uid=_DISPATCH_UID)
    _resume(serving=True)


def _on_request(sender: Any, **_: Any) -> None:
    # Test clients have handlers of their own, which send the signal, too.
    is_served = isinstance(sender, type) and issubclass(sender, SERVED_BY)
    if is_served and not _is_test_run():
        serving()


def _is_test_run() -> bool:
    """Say whether a server here, as of a `LiveServerTestCase`, is part of a test."""
    utils = sys.modules.get("django.test.utils")
    # What `setup_test_environment` notes, for its own counterpart.
    if hasattr(getattr(utils, "_TestState", None), "saved_data"):
        return True
    return any(
        base.__module__.startswith("django.test.")
        for thread in threading.enumerate()
        for base in type(thread).__mro__
    )


def _after_fork() -> None:
    # Only a process that forks its servers has chains waiting: a view or a task that
    # forks starts nothing.
    if _waiting:
        _resume(forked=True)


def _resume(**changes: bool) -> None:
    """Decide again about the chains that wait, and act on it."""
    global _stop_in
    waiting = _take(_waiting)
    facts: Facts = replace(collect(), **changes)  # type: ignore[arg-type]
    if waiting:
        _stop_in = os.getpid()
    for thread, autostart in waiting:
        decision = decide(replace(facts, autostart=autostart))
        if decision.role in LATER:
            _waiting[thread] = autostart
            continue
        _announce(decision)
        try:
            _follow(decision, thread)
        except Exception:
            # It would be lost in a fork hook, and fail the request in a receiver.
            logger.exception(
                "A chain could not be started after its process was forked or began "
                "to serve.",
                extra={"action": "start_failed"},
            )


def _take(waiting: dict[Startable, T]) -> list[tuple[Startable, T]]:
    """Empty it, whoever else does so at the same time."""
    taken = [(thread, waiting.pop(thread, _GONE)) for thread in list(waiting)]
    return [(thread, value) for thread, value in taken if value is not _GONE]


def _follow(decision: Decision, thread: Startable) -> None:
    global _settled_at
    if not decision.starts:
        thread.reason = decision.reason
        return
    if decision.delay:
        _settled_at = time.monotonic() + decision.delay
    _start(thread)


def _start(thread: Startable) -> None:
    """Start it; a site must boot where it cannot, and the next request tries again."""
    before, thread.reason = thread.reason, ""
    if thread.ident is not None:
        # A request, or who asked again, was faster.
        return
    try:
        thread.start()
    except RuntimeError as exc:
        if thread.ident is not None:
            raise
        thread.reason = f"No thread is to be had: {exc}."
        _unstarted[thread] = None
        request_started.connect(_start_again, weak=False, dispatch_uid=_AGAIN_UID)
        if thread.reason != before:
            logger.error(
                "[%s] The chain cannot start: %s. It is tried again with the next "
                "request.",
                thread.name,
                exc,
                extra={"action": "start_failed", "chain": thread.name},
            )


def _start_again(sender: Any, **kwargs: Any) -> None:
    request_started.disconnect(dispatch_uid=_AGAIN_UID)
    for thread, _ in _take(_unstarted):
        _start(thread)


def _announce(decision: Decision) -> None:
    key = (os.getpid(), decision.role, decision.host)
    if key in _announced:
        return
    _announced.add(key)
    level = logging.DEBUG if decision.quiet else logging.INFO
    logger.log(
        logging.ERROR if decision.role is Role.UNABLE else level,
        "%s",
        decision.reason,
        extra={
            "action": "host_decided",
            "role": decision.role.name,
            "host": decision.host,
        },
    )


def _hook_forks() -> None:
    if "fork" not in _hooked:
        _hooked.add("fork")
        renew_in_child("autostart", _after_fork)
    uwsgi = uwsgi_module()
    if uwsgi is not None and "uwsgi fork" not in _hooked:
        # Unless it is told to, uWSGI calls none of Python's own fork hooks.
        _hooked.add("uwsgi fork")
        uwsgi.post_fork_hook = _chained(
            getattr(uwsgi, "post_fork_hook", None), _after_fork
        )


def _chained(
    previous: Callable[[], Any] | None, following: Callable[[], None]
) -> Callable[[], None]:
    def call_both() -> None:
        try:
            if previous is not None:
                previous()
        finally:
            following()

    return call_both


_stop: Callable[[], None] | None = None
"""What is called when the process leaves."""

_stop_in = 0
"""In which process that is."""


def at_exit(stop: Callable[[], None]) -> None:
    """
    Have `stop` called when this process leaves, if it leaves in an orderly way.

    A server that ends by a signal's default action calls nothing; the kernel releases
    what the process held all the same. `stop` is called once, before the interpreter
    refuses new threads, in this process and in a child in which chains start after
    the fork.
    """
    global _stop, _stop_in
    _stop, _stop_in = stop, os.getpid()
    if "exit" not in _hooked:
        _hooked.add("exit")
        _register_exit(leave)
    uwsgi = uwsgi_module()
    if uwsgi is not None and "uwsgi exit" not in _hooked:
        _hooked.add("uwsgi exit")
        uwsgi.atexit = _chained(getattr(uwsgi, "atexit", None), leave)


def leave() -> None:
    """Call what `at_exit` was given, once, and in that process only."""
    global _stop
    if _stop_in == os.getpid():
        stop, _stop = _stop, None
        if stop is not None:
            stop()


def _register_exit(function: Callable[[], None]) -> None:
    # Run before the interpreter waits for threads, and in multiprocessing's children
    # too; atexit does neither. Private, hence the other way out.
    register = getattr(threading, "_register_atexit", atexit.register)
    try:
        register(function)
    except RuntimeError:
        logger.debug("The interpreter is leaving already: nothing to stop later.")
