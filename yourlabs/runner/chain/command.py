"""A process of its own for one chain: what `run_functions` does."""

from __future__ import annotations

import logging
import math
import os
import time
from datetime import timedelta

from yourlabs.runner import conf
from yourlabs.runner.chain import systemd
from yourlabs.runner.chain.loading import load_tasks
from yourlabs.runner.chain.registry import Functions, make_thread, registry
from yourlabs.runner.chain.stop_signals import StopSignals
from yourlabs.runner.chain.task import make_chain
from yourlabs.runner.chain.watcher import watcher
from yourlabs.runner.ownership.record import Mode
from yourlabs.runner.ownership.takeover import log_pidfile, take_over

logger = logging.getLogger("runner")

TAKEOVER_TIMEOUT = timedelta(minutes=5)  # how long to wait for the owner to yield

# Exit code (EX_SOFTWARE) of a chain that has ended though nobody asked for that: a
# supervisor starts the process again.
ENDED_UNASKED = 70


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
            killconcurrent: Take the chain over. False: be refused when it is run.
            takeover_timeout: How long to wait for it, a `timedelta` or seconds.
            once: Run each function once, without cooldowns.

        Raises:
            InvalidTask, TaskNotFound, ImproperlyConfigured: As `start_chain`.
        """
        self.chain = make_chain(load_tasks(functions), name=name)
        self.killconcurrent = killconcurrent
        if not isinstance(takeover_timeout, timedelta):
            takeover_timeout = timedelta(seconds=takeover_timeout)
        self.takeover_timeout = takeover_timeout
        self.thread = make_thread(self.chain, Mode.ONCE if once else Mode.COMMAND)
        self._owns = False
        self._signals = StopSignals(self._stop)
        self.thread.ended = self._signals.notify

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
        ownership = self.thread.ownership
        log_pidfile(ownership, self.chain)
        claim = take_over(
            ownership,
            self.chain,
            timeout=self.takeover_timeout if self.killconcurrent else None,
            pause=self._signals.wait,
        )
        if claim is None:
            return False
        self.thread.loop.claim = claim
        self._owns = True
        logger.debug("Wrote pidfile %s", self.chain.name)
        return True

    def run(self, *, leaving: bool = False) -> int:
        """
        Run the chain until a signal comes or another process takes it over.

        SIGTERM, SIGINT and SIGHUP let the current function finish; a second one ends
        the process at once.

        Args:
            leaving: The process ends after this. The signals stay handled, so that a
                late one does not change its exit code.

        Returns:
            The exit code: 0, 1 when a function failed with `once`, or 70 when the
            chain has ended though nobody asked for that.

        Raises:
            As `concurrency_security`.
        """
        self._signals.handle()
        try:
            _warn_first_process()
            if not self._owns and not self.concurrency_security():
                return 0
            registry.add(self.thread)
            self.thread.start()
            self._tell_systemd()
            self._wait(leaving=leaving)
        finally:
            if self.thread.ident is None:
                self.thread.loop.release()
            if not leaving:
                self._signals.restore()
        if not self.thread.loop.stop_asked:
            return ENDED_UNASKED
        return 1 if self.thread.loop.failed else 0

    def _wait(self, *, leaving: bool) -> None:
        """Wait for the end of the chain; once it was asked for, for a limited time."""
        patience = conf.stop_timeout().total_seconds()
        gives_up_at = math.inf
        while not self.thread.has_ended():
            is_stopping = self._signals.wait(max(0, gives_up_at - time.monotonic()))
            current = self.thread.loop.current
            if not is_stopping or (current is not None and current.is_called):
                # A function is waited for, however long it takes.
                gives_up_at = math.inf
            elif gives_up_at == math.inf:
                gives_up_at = time.monotonic() + patience
            elif time.monotonic() >= gives_up_at:
                # A log handler that hangs, for example: nothing more can be logged.
                if leaving:
                    os._exit(0)
                return
        self.thread.join()
        if self._signals.count:
            status = self.thread.status()
            logger.info(
                "[%s] Stopped. Runs: %s, failures: %s.",
                self.chain.name,
                status.runs,
                status.failures,
                extra={"action": "command_stopped", "chain": self.chain.name},
            )

    def _tell_systemd(self) -> None:
        systemd.notify(systemd.READY)
        interval = systemd.watchdog_interval()
        if interval is not None:
            watcher.beat(interval, lambda: systemd.notify(systemd.WATCHDOG))

    def _stop(self) -> None:
        self.thread.ask_to_stop()
        systemd.notify(systemd.STOPPING)


def _warn_first_process() -> None:
    """Log what is missing if this is the first process of a container."""
    if os.getpid() == 1:
        logger.warning(
            "This process is pid 1: nobody ends the processes that its tasks leave "
            "behind, and they stay as zombies. Run the container with an init, as "
            "with docker run --init.",
            extra={"action": "first_process"},
        )
