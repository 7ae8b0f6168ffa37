"""Wiring: `start_chain` for a thread in this process, `Runner` for a whole one."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from yourlabs.runner import conf
from yourlabs.runner.autostart import attach as hosts
from yourlabs.runner.chain import systemd
from yourlabs.runner.chain.loading import load_tasks
from yourlabs.runner.chain.stopping import StopSignals
from yourlabs.runner.chain.task import Chain, make_chain
from yourlabs.runner.chain.thread import RunnerThread
from yourlabs.runner.chain.watcher import housekeeper
from yourlabs.runner.exceptions import ChainNameTaken, RunnerError
from yourlabs.runner.notify import releases
from yourlabs.runner.ownership.pidfile import PidfileLock
from yourlabs.runner.ownership.record import COMMAND, HOSTED
from yourlabs.runner.ownership.takeover import read_pidfile, refuse_or_take, take_over
from yourlabs.runner.storage.file import FileState

logger = logging.getLogger("runner")

TAKEOVER_TIMEOUT = timedelta(minutes=5)
"""How long `run_functions` waits for the owner of its chain."""

Functions = Iterable[str | Callable[[], Any]]


class Registry:
    """The chains of this process, by name."""

    def __init__(self) -> None:
        # To make a thread may import modules, which may declare chains themselves.
        self._mutex = threading.RLock()
        self._threads: dict[str, RunnerThread] = {}
        self._leaving: list[RunnerThread] = []
        """Others have their names, while their last functions are running."""
        self._commands: dict[str, RunnerThread] = {}
        """Those of a `Runner`: while they run, their names are theirs."""
        self._arranged: set[RunnerThread] = set()
        """Somebody is about to start them, or to find out that they do not start."""

    def add(self, chain: Chain, make: Callable[[], RunnerThread]) -> RunnerThread:
        """
        Return the thread of `chain`: the one there is, else what `make` makes.

        Raises:
            ChainNameTaken: Another chain has this name.
        """
        with self._mutex:
            known = self._command(chain.name) or self._threads.get(chain.name)
            if known is None or known.is_ending():
                made = self._threads[chain.name] = make()
                self._leaving = [one for one in self._leaving if not one.has_ended()]
                if known is not None and not known.has_ended():
                    # The new one stands by until its last function has ended.
                    self._leaving.append(known)
                return made
        if functions_of(known.chain) == functions_of(chain):
            return known
        msg = (
            f"The name {chain.name} is taken in this process by the chain of "
            f"{', '.join(known.chain.paths)}; this is a chain of "
            f"{', '.join(chain.paths)}. Give one of them another name with name=."
        )
        raise ChainNameTaken(msg)

    def all(self) -> dict[str, RunnerThread]:
        """Return those that have not ended."""
        with self._mutex:
            threads = dict(self._threads)
            commands = [self._command(name) for name in self._commands]
        threads.update((one.chain.name, one) for one in commands if one is not None)
        return {
            name: thread for name, thread in threads.items() if not thread.has_ended()
        }

    def living(self) -> list[RunnerThread]:
        """Return those that have not ended, with those whose names were taken over."""
        with self._mutex:
            threads = [*self._leaving, *self._threads.values()]
            commands = [self._command(name) for name in self._commands]
        threads += [one for one in commands if one is not None]
        return [thread for thread in threads if not thread.has_ended()]

    def named(self, name: str) -> list[RunnerThread]:
        """Return those of this name that have not ended."""
        return [thread for thread in self.living() if thread.chain.name == name]

    def put(self, thread: RunnerThread) -> None:
        """Know the thread of a `Runner` for as long as it runs."""
        with self._mutex:
            self._commands[thread.chain.name] = thread

    def _command(self, name: str) -> RunnerThread | None:
        thread = self._commands.get(name)
        if thread is None or thread.ident is None or thread.has_ended():
            return None
        return thread

    @contextmanager
    def arranging(self, thread: RunnerThread) -> Iterator[bool]:
        """Say whether the caller is the one to start it, if it is to be started."""
        with self._mutex:
            is_mine = (
                thread.kind == HOSTED
                and thread.ident is None
                and thread not in self._arranged
            )
            if is_mine:
                self._arranged.add(thread)
        # What is done in the block may log, and wait for who waits for the mutex.
        try:
            yield is_mine
        finally:
            if is_mine:
                self._arranged.discard(thread)

    def renew(self) -> None:
        """In a forked child: keep what was declared and not started."""
        self._mutex = threading.RLock()
        self._leaving, self._commands, self._arranged = [], {}, set()
        self._threads = {
            name: thread
            for name, thread in self._threads.items()
            if thread.ident is None
        }


registry = Registry()

if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=registry.renew)


def functions_of(chain: Chain) -> list[Callable[[], Any]]:
    """Return what is called: bound methods are equal, though their tasks are not."""
    return [task.func for task in chain.tasks]


def make_thread(chain: Chain, kind: str, **options: Any) -> RunnerThread:
    """Return a thread for `chain` with its files in RUN_ROOT; none is touched yet."""
    if sys.platform == "win32":  # pragma: no cover - tested on POSIX only
        msg = "The runner needs the file locks of Linux or macOS: Windows has none."
        raise RunnerError(msg)
    conf.validate()
    root = conf.run_root()
    # Read now: when a chain that stands by takes over, other code may lie there.
    releases.release_of(chain)
    return RunnerThread(
        chain,
        lock=PidfileLock(root, chain, kind),
        state=FileState(os.path.join(root, f"{chain.name}.json")),
        keeper=housekeeper,
        kind=kind,
        **options,
    )


def start_chain(functions: Functions, *, name: str | None = None) -> RunnerThread:
    """
    Run `functions` for ever, in order, in a thread of this process.

    To be called in ``AppConfig.ready()``. However many processes do so, one of them
    runs the chain, and another takes over when it ends. In a process that serves
    nothing, like ``manage.py migrate``, the thread is returned unstarted and its
    ``status().reason`` says why; in one that forks workers it starts in a worker.

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
        ImproperlyConfigured: A setting of the runner is not usable.
    """
    autostart = conf.autostart()
    chain = make_chain(load_tasks(functions), name=name)
    thread = registry.add(
        chain, lambda: make_thread(chain, HOSTED, ready=hosts.until_ready)
    )
    with registry.arranging(thread) as is_mine:
        if is_mine:
            hosts.at_exit(_stop_with_host)
            hosts.arrange(thread, autostart=autostart)
    return thread


def chains() -> dict[str, RunnerThread]:
    """Return the chains of this process by name: all that have not stopped."""
    return registry.all()


def stop_chain(name: str, timeout: float | None = None) -> bool:
    """
    Ask the chain `name` of this process to stop after its current function.

    Args:
        name: Of the chain.
        timeout: How many seconds to wait for it. None: as long as it takes.

    Returns:
        True when it has stopped, or was not there; False when it still runs.
    """
    return _stop(registry.named(name), timeout)


def stop_all(timeout: float | None = None) -> bool:
    """
    Ask every chain of this process to stop, and wait for all of them together.

    Args:
        timeout: How many seconds to wait in all. None: as long as it takes.

    Returns:
        True when all have stopped.
    """
    return _stop(registry.living(), timeout)


def _stop(threads: Iterable[RunnerThread], timeout: float | None) -> bool:
    for thread in threads:
        thread.ask_to_stop()
    deadline = None if timeout is None else time.monotonic() + timeout
    return all(
        thread.stop(None if deadline is None else max(0, deadline - time.monotonic()))
        for thread in threads
    )


def _stop_with_host() -> None:
    timeout = conf.stop_timeout().total_seconds()
    if stop_all(timeout):
        return
    for thread in registry.living():
        status = thread.status()
        logger.warning(
            "[%s] %s was still running when the process ended; it was cut.",
            thread.chain.name,
            status.current_task or "The chain",
            extra={"action": "task_cut", "chain": thread.chain.name},
        )


class Runner:
    """
    Runs one chain in the foreground of a process of its own.

    It takes the chain over from whoever runs it. Not to be used in a process that
    serves requests: `run` handles SIGTERM, SIGINT and SIGHUP.
    """

    def __init__(
        self,
        functions: Functions,
        *,
        name: str | None = None,
        killconcurrent: bool = True,
        takeover_timeout: timedelta | float = TAKEOVER_TIMEOUT,
        once: bool = False,
    ) -> None:
        """
        Find the functions.

        Args:
            functions: Dotted paths or callables, in order.
            name: Of the chain. None: the functions' names joined by ``_``.
            killconcurrent: Take the chain over from another process. False: be
                refused when there is one.
            takeover_timeout: How long to wait for the other process, as a
                `timedelta` or in seconds.
            once: Run each function once, without cooldowns.

        Raises:
            InvalidTask, TaskNotFound, ImproperlyConfigured: As `start_chain`.
        """
        self.chain = make_chain(load_tasks(functions), name=name)
        self.killconcurrent = killconcurrent
        self.takeover_timeout = (
            takeover_timeout
            if isinstance(takeover_timeout, timedelta)
            else timedelta(seconds=takeover_timeout)
        )
        self.thread = make_thread(self.chain, COMMAND, once=once)
        self._lock: PidfileLock = self.thread.lock  # type: ignore[assignment]
        self._signals = StopSignals(
            self._stop,
            give_way=self.thread.ask_to_yield,
            candidate=self._lock.signed,
        )
        self.thread.ended = self._signals.end

    def concurrency_security(self) -> bool:
        """
        Take the pidfile: from now on no other process runs the chain.

        Returns:
            True. False only when a signal came while waiting for the owner.

        Raises:
            AlreadyOwned: Another process runs it, and `killconcurrent` is False.
            ChainNameTaken: Another process runs other functions under this name.
            TakeOverTimeout: The other process did not let go in time.
            UnusableRunRoot: RUN_ROOT or the pidfile cannot be used.
        """
        self._note_kind()
        read_pidfile(self._lock)
        if not self.killconcurrent:
            refuse_or_take(self._lock)
        elif not take_over(
            self._lock, timeout=self.takeover_timeout, pause=self._signals.wait
        ):
            return False
        logger.debug("Wrote pidfile %s", self.chain.name)
        return True

    def _note_kind(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            # Here nobody would handle the SIGTERM that asks a command to yield.
            self._lock.kind = HOSTED

    def run(self, *, leaving: bool = False) -> int:
        """
        Run the chain until a signal comes or another process takes it over.

        SIGTERM, SIGINT and SIGHUP let the current function finish; a second one ends
        the process at once.

        Args:
            leaving: The process ends after this. The signals stay handled, so that a
                late one does not change its exit code.

        Returns:
            The exit code: 0, or 1 when a function failed with `once`.

        Raises:
            As `concurrency_security`.
        """
        self._signals.handle()
        try:
            if not self._lock.is_held() and not self.concurrency_security():
                return 0
            registry.put(self.thread)
            self.thread.start()
            self._tell_systemd()
            self._signals.join(self.thread)
        finally:
            # Whatever ended the wait: while the thread lives, a task may be running.
            if not self.thread.is_alive():
                self._lock.release()
            if not leaving:
                self._signals.restore()
        return 1 if self.thread.once and self.thread.failed else 0

    def _tell_systemd(self) -> None:
        systemd.notify(systemd.READY)
        interval = systemd.watchdog_interval()
        if interval is not None:
            housekeeper.beat(
                interval.total_seconds(), lambda: systemd.notify(systemd.WATCHDOG)
            )

    def _stop(self) -> None:
        self.thread.ask_to_stop()
        systemd.notify(systemd.STOPPING)
