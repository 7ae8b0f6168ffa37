"""
Where chains start, and how they stop with their process.

`arrange` collects the facts, asks `classify` for the decision and acts on it: it starts
a chain, or has it started in the child that a server forks, or at the first request.
`at_exit` has the chains stopped when the process ends.
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
from typing import Any, TypeVar

from django.apps import apps
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_started

from yourlabs.runner.autostart.classify import Decision, Role, decide
from yourlabs.runner.autostart.facts import collect, uwsgi_module
from yourlabs.runner.autostart.kinds import Facts
from yourlabs.runner.forks import renew_in_child

logger = logging.getLogger("runner")

PATIENCE_S = 0.1  # how long `until_ready` waits for the apps
MOMENT_S = 0.001  # until it is called again: the thread may have been asked to stop

# A fork or a request may start the chain later.
LATER = (Role.AFTER_FORK, Role.FIRST_REQUEST, Role.IF_IT_SERVES)
SERVED_BY = (WSGIHandler, ASGIHandler)  # what a server calls

T = TypeVar("T")

_GONE: Any = object()

_DISPATCH_UID, _AGAIN_UID = f"{__name__}.serves", f"{__name__}.again"


# Chains that wait for a fork or for the first request, with the setting AUTOSTART; and
# chains whose thread could not be started. Changed by single operations only: nobody
# would release a lock that another thread holds in a forked child.
_waiting: dict[Any, bool | str] = {}
_unstarted: dict[Any, None] = {}

_announced: set[tuple[int, Role, str]] = set()  # what was logged, by process id
_hooked: set[str] = set()  # the hooks that are in place; forked children inherit them
_settled_at = 0.0  # when the process has the user it serves as, on the monotonic clock


def arrange(thread: Any, *, autostart: bool | str = "auto") -> Decision:
    """
    Start the thread of a chain now, later or never, as is right in this process.

    Call it where the chain is declared: the decision is made from the caller's stack.
    It may be called again for a chain that was not started. The decision is logged once
    a process, and is the thread's `reason` if that is not started. The thread has to
    wait for `until_ready`.
    """
    decision = decide(collect(autostart))
    _announce(decision)
    _waiting.pop(thread, None)
    if decision.role in LATER:
        _waiting[thread] = autostart
        # Before a fork, too: some forks call no hook, and modules overwrite uWSGI's.
        request_started.connect(_on_request, weak=False, dispatch_uid=_DISPATCH_UID)
    if decision.role is Role.AFTER_FORK:
        _hook_forks()
    _follow(decision, thread)
    return decision


def until_ready() -> float:
    """
    Wait a little for the process to be set up; return how many more seconds to wait.

    For a chain's thread, which may have been started while the apps are being loaded
    or before the process changes its user. It calls this again until that is 0, and
    so can be stopped if the apps never load.
    """
    if not apps.ready_event.wait(PATIENCE_S):
        return MOMENT_S
    return max(0.0, _settled_at - time.monotonic())


def serving() -> None:
    """Start the chains that wait for a proof that this process serves requests."""
    request_started.disconnect(dispatch_uid=_DISPATCH_UID)
    _resume(serving=True)


def _on_request(sender: Any, **_: Any) -> None:
    # Test clients have handlers of their own, which send this signal, too.
    is_served = isinstance(sender, type) and issubclass(sender, SERVED_BY)
    if is_served and not _is_test_run():
        serving()


def _is_test_run() -> bool:
    """Say whether a server here, as of a `LiveServerTestCase`, is part of a test."""
    utils = sys.modules.get("django.test.utils")
    # Set by `setup_test_environment`.
    if hasattr(getattr(utils, "_TestState", None), "saved_data"):
        return True
    return any(
        base.__module__.startswith("django.test.")
        for thread in threading.enumerate()
        for base in type(thread).__mro__
    )


def _after_fork() -> None:
    # Chains wait only in a process that forks its servers: nothing starts in the child
    # of a view or a task that forks.
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
            # Python swallows it in a fork hook, and it would fail the request.
            logger.exception(
                "A chain could not be started after its process was forked or began "
                "to serve.",
                extra={"action": "start_failed"},
            )


def _take(waiting: dict[Any, T]) -> list[tuple[Any, T]]:
    """Empty it, whoever else does so at the same time."""
    taken = [(thread, waiting.pop(thread, _GONE)) for thread in list(waiting)]
    return [(thread, value) for thread, value in taken if value is not _GONE]


def _follow(decision: Decision, thread: Any) -> None:
    global _settled_at
    if not decision.starts:
        thread.reason = decision.reason
        return
    if decision.delay:
        _settled_at = time.monotonic() + decision.delay
    _start(thread)


def _start(thread: Any) -> None:
    """Start it. If there is no thread, the site boots, and the next request retries."""
    before, thread.reason = thread.reason, ""
    if thread.ident is not None:
        # Started by a request, or by another call, meanwhile.
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
        # By default uWSGI calls none of Python's own fork hooks.
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


_stop: Callable[[], None] | None = None  # what is called when the process ends
_stop_in = 0  # in which process


def at_exit(stop: Callable[[], None]) -> None:
    """
    Have `stop` called once when this process, or a child in which chains start, exits.

    It is called before the interpreter refuses new threads. A server that is ended by a
    signal's default action does not call it; the kernel releases the locks then.
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
    # It runs before the interpreter waits for threads, and in children of
    # multiprocessing; atexit does neither. It is private, hence the fallback.
    register = getattr(threading, "_register_atexit", atexit.register)
    try:
        register(function)
    except RuntimeError:
        logger.debug("The interpreter is exiting already: nothing to stop later.")
