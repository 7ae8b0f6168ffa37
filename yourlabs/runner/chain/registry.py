"""The chains of this process, by name: `start_chain`, `stop_chain`, `stop_all`."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from yourlabs.runner import conf
from yourlabs.runner.autostart import attach
from yourlabs.runner.chain.cannot_run import ProblemReporter
from yourlabs.runner.chain.loading import load_tasks
from yourlabs.runner.chain.task import Chain, make_chain
from yourlabs.runner.chain.thread import RunnerThread
from yourlabs.runner.chain.watcher import watcher
from yourlabs.runner.exceptions import ChainNameTaken, RunnerError
from yourlabs.runner.forks import renew_in_child
from yourlabs.runner.log import logger
from yourlabs.runner.notify.releases import release_of
from yourlabs.runner.ownership.record import Mode
from yourlabs.runner.storage.base import backend

Functions = Iterable[str | Callable[[], Any]]


class Registry:
    """
    The threads of this process that have not ended.

    A name has one chain; the thread that had it before may still be in its last
    function. A `Runner` has its name only while it runs.
    """

    def __init__(self) -> None:
        # Making a thread may import modules, which may declare chains themselves.
        self._mutex = threading.RLock()
        self._threads: list[RunnerThread] = []

    def get_or_make(
        self, chain: Chain, make: Callable[[], RunnerThread]
    ) -> RunnerThread:
        """Return the thread of `chain`: the existing one, else what `make` returns."""
        with self._mutex:
            known = self.all().get(chain.name)
            if known is None or known.is_ending():
                # It stands by until the last function of the one before has ended.
                thread = make()
                self.add(thread)
                return thread
        # Bound methods are equal, though their tasks are not.
        functions = [task.func for task in chain.tasks]
        if [task.func for task in known.chain.tasks] == functions:
            return known
        this = ", ".join(chain.paths)
        if known.chain.paths == chain.paths:
            this = "other functions of these paths: of other partials, or closures"
        msg = (
            f"The name {chain.name} is taken in this process by the chain of "
            f"{', '.join(known.chain.paths)}; this is a chain of {this}. Give one of "
            "them another name with name=."
        )
        raise ChainNameTaken(msg)

    def add(self, thread: RunnerThread) -> None:
        """Know a thread until it has ended."""
        with self._mutex:
            self._threads = [*self.living(), thread]

    def living(self) -> list[RunnerThread]:
        """Return the threads that have not ended, in the order they were made in."""
        with self._mutex:
            self._threads = [one for one in self._threads if not one.has_ended()]
            return list(self._threads)

    def all(self) -> dict[str, RunnerThread]:
        """Return the present thread of each name."""
        return {thread.chain.name: thread for thread in self.living()}

    def renew(self) -> None:
        """In a forked child: keep what was declared and not started."""
        self._mutex = threading.RLock()
        self._threads = [one for one in self._threads if one.ident is None]


registry = Registry()

renew_in_child("registry", registry.renew)


def make_thread(chain: Chain, mode: Mode, **options: Any) -> RunnerThread:
    """Return a thread for `chain`, by the settings; nothing is touched yet."""
    if sys.platform == "win32":  # pragma: no cover - tested on POSIX only
        msg = "The runner needs the file locks of Linux or macOS: Windows has none."
        raise RunnerError(msg)
    conf.validate()
    kept_in = backend()
    # Read now: when a stand-by takes over, newer code may have been deployed.
    release_of(chain)
    return RunnerThread(
        chain,
        ownership=kept_in.ownership(chain, kind=mode.kind),
        store=kept_in.store(chain),
        watcher=watcher,
        mode=mode,
        trouble=ProblemReporter(chain, kept_in),
        **options,
    )


def start_chain(functions: Functions, *, name: str | None = None) -> RunnerThread:
    """
    Run `functions` for ever, in order, in a thread of this process.

    Call it in ``AppConfig.ready()``. However many processes do so, one of them runs the
    chain, and another takes over when it ends. In a process that serves nothing, like
    ``manage.py migrate``, the thread is returned unstarted and its ``status().reason``
    says why; in one that forks workers it starts in a worker.

    Args:
        functions: Dotted paths or callables, in order.
        name: Of the chain. None: the functions' names joined by ``_``.

    Returns:
        The thread. Asked again for the same chain, the same thread; a new one when
        that was asked to stop, which begins when the last function has ended.

    Raises:
        InvalidTask: A function or the name is not usable. It is a `ValueError`.
        TaskNotFound: A dotted path leads nowhere. It is an `ImportError`, too.
        ChainNameTaken: Another chain in this process has this name. It is a
            `ValueError`.
        ImproperlyConfigured: A setting of the runner is not usable, or the app is not
            installed.
    """
    conf.require_app()
    autostart = conf.autostart()
    chain = make_chain(load_tasks(functions), name=name)
    thread = registry.get_or_make(
        chain, lambda: make_thread(chain, Mode.HOSTED, until_ready=attach.until_ready)
    )
    if thread.mode is Mode.HOSTED and thread.ident is None:
        attach.at_exit(_stop_with_host)
        attach.arrange(thread, autostart=autostart)
    return thread


def chains() -> dict[str, RunnerThread]:
    """Return the chains of this process by name: all that have not stopped."""
    return registry.all()


def stop_chain(name: str, timeout: float | None = None) -> bool:
    """
    Ask the chain `name` of this process to stop after its current function.

    Wait `timeout` seconds for it; None: as long as it takes. Return True when it has
    stopped, or was not there.
    """
    living = registry.living()
    return _stop([one for one in living if one.chain.name == name], timeout)


def stop_all(timeout: float | None = None) -> bool:
    """
    Ask every chain of this process to stop after its current function.

    Wait `timeout` seconds for all together; None: as long as it takes. Return True
    when all have stopped.
    """
    return _stop(registry.living(), timeout)


def _stop(threads: list[RunnerThread], timeout: float | None) -> bool:
    for thread in threads:
        thread.ask_to_stop()
    deadline = None if timeout is None else time.monotonic() + timeout
    return all(
        thread.stop(None if deadline is None else max(0, deadline - time.monotonic()))
        for thread in threads
    )


def _stop_with_host() -> None:
    if stop_all(conf.stop_timeout().total_seconds()):
        return
    for thread in registry.living():
        status = thread.status()
        logger.warning(
            "[%s] %s was still running when the process ended; it was cut.",
            thread.chain.name,
            status.current_task or "The chain",
            extra={"action": "task_cut", "chain": thread.chain.name},
        )
