"""The thread of a chain: the loop, its cooldowns, and standing by for ownership."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone

from yourlabs.runner import signals
from yourlabs.runner.chain import db
from yourlabs.runner.chain import status as states
from yourlabs.runner.chain.checkpoint import Logbook, Plan
from yourlabs.runner.chain.execution import TaskRunner
from yourlabs.runner.chain.status import ChainStatus
from yourlabs.runner.chain.task import Chain
from yourlabs.runner.exceptions import ChainNameTaken, RunnerError
from yourlabs.runner.log import logger
from yourlabs.runner.ownership.base import Keeper, LostOwnershipError, OwnerLock, State
from yourlabs.runner.ownership.record import (
    COMMAND,
    END_OF_TIME,
    HOSTED,
    OwnerRecord,
    check_functions,
    describe_owner,
)

WORTH_WRITING = 0.5
"""A wait of at least this is written to the state when it begins, in seconds; a
shorter one when the chain is stopped in it."""

WORTH_WRITING_IN_A_CROWD = 10.0
"""The same for a chain of one task among a `CROWD` of chains, which would write for
most of their time. In one of several it also tells which comes next."""

EARLY = 0.0003
"""How long before the end of a cooldown it gets ready for the run, in seconds."""

EARLY_IN_A_CROWD = 0.00008
"""The same among a `CROWD` of chains, where to sleep twice adds to the crush."""

SHORTEST_SLEEP = 0.00005
"""A shorter one takes longer than that: the kernel rounds it up. In seconds."""

SHORT = 0.5
"""A cooldown of less ends before anybody has to look after the chain, in seconds."""

LOOK_EVERY = 1.0
"""How often a chain looks after itself, or is looked after, in seconds."""

FRESH = 0.001
"""For how long it is known that the pidfile is held, in seconds; among a `CROWD` of
chains, where to look takes a tenth of a run, for as long as `LOOK_EVERY`, or twice as
long where the run is late."""

BURST = 0.001
"""How long a hosted chain without cooldowns may work at a stretch, in seconds. It is
well below the interpreter's switch interval, so that a request waits no longer."""

REST = 3.0
"""How many times as long it rests then: requests keep three quarters of the time."""

MAX_REST = 1.0
"""Longest such rest, in seconds."""

MAX_BACKOFF = 10.0
"""Longest wait after a failure of the machinery itself, in seconds."""


class RunnerThread(threading.Thread):
    """
    A thread that runs one chain, for as long as this process owns it.

    It is a daemon: it keeps no process alive. `stop`, `wake` and `status` may be called
    from any thread and from signal handlers; a forked child has a copy that runs
    nothing.
    """

    # In a dict these would take a kilobyte more, and there may be a thousand chains.
    __slots__ = (
        "_bell",
        "_checked_at",
        "_claims",
        "_current",
        "_doubted",
        "_is_over",
        "_keeper",
        "_logbook",
        "_looked_at",
        "_made_in",
        "_phase",
        "_plan",
        "_ready",
        "_rested",
        "_stalled",
        "_stop_asked",
        "_trouble",
        "_wake_asked",
        "_yield_asked",
        "chain",
        "ended",
        "failed",
        "fresh",
        "has_limits",
        "kind",
        "lock",
        "once",
        "reason",
        "state",
        "tasks",
        "wakes_soon",
    )

    def __init__(
        self,
        chain: Chain,
        *,
        lock: OwnerLock,
        state: State,
        keeper: Keeper,
        kind: str = HOSTED,
        once: bool = False,
        ready: Callable[[], float] = float,
    ) -> None:
        """
        Make the thread; `start` starts it.

        Args:
            chain: What it runs.
            lock: Makes it the only one.
            state: What the next owner is to know.
            keeper: Looks after it while it sleeps.
            kind: ``"hosted"`` or ``"command"``.
            once: Run every task once, without cooldowns, and end.
            ready: Called first in the thread: returns how many seconds to wait for
                the process to be set up before asking again; 0 to begin, which is
                the default.
        """
        super().__init__(name=chain.name, daemon=True)
        self._made_in = os.getpid()
        # Who takes it out may start the thread: to pop is one step.
        self._claims = [True]
        self.chain = chain
        self.kind = kind
        self.once = once
        self.fresh = kind == COMMAND
        """A person started it: nothing of what was told before counts."""
        self.ended: Callable[[], None] | None = None
        """Called last in the thread."""
        self.failed = False
        """With `once`: a task has failed."""
        self.state = state
        self.reason = ""
        # One a task, however often it comes: it is down, or up, as a whole.
        keys = chain.keys()
        runners = {task: TaskRunner(task, chain.name, keys[task]) for task in keys}
        self.tasks = tuple(runners[task] for task in chain.tasks)
        self.lock = lock
        self.has_limits = any(runner.options.max_duration for runner in self.tasks)
        """A task of it has a `max_duration`."""
        self._keeper = keeper
        self._ready = ready
        # A bare lock as a bell: `release` rings it. Unlike an Event it can be rung from
        # a signal handler, and a sleeper holds nothing else.
        self._bell = threading.Lock()
        self._bell.acquire()
        self._stop_asked = self._wake_asked = self._yield_asked = False
        self._doubted = self._is_over = False
        self._trouble = ""
        self._phase = states.STOPPED
        self._current: TaskRunner | None = None
        self._stalled: tuple[TaskRunner, float] | None = None
        self._rested = self._looked_at = self._checked_at = 0.0
        self.wakes_soon = False
        """It looks after itself before it would have to be looked after."""
        self._plan: Plan | None = None
        """What comes after a run. None: while it lasts."""
        self._logbook = Logbook(self.tasks, state)

    # For everybody.

    def start(self) -> None:
        """Start the thread; in a forked child, if it was not started in the parent."""
        if self._made_in != os.getpid() and self.ident is None:
            # The fork made it a thread that has ended, which it has not begun to be.
            super().__init__(name=self.chain.name, daemon=True)
            self._made_in = os.getpid()
            self._claims = [True]
        try:
            self._claims.pop()
        except IndexError:
            if self.ident is None:
                # Another thread is about to start it: a request, for example.
                return
        else:
            self._phase = states.STARTING
        try:
            super().start()
        except RuntimeError:
            # No thread is to be had. It can be started later.
            if self.ident is None:
                self._phase = states.STOPPED
                self._claims = [True]
            raise

    def stop(self, timeout: float | None = None) -> bool:
        """
        Ask the chain to stop after the function that is running; cut a cooldown.

        Args:
            timeout: How many seconds to wait for it. None: as long as it takes.

        Returns:
            True when it has stopped. False when it is still running, and when it is
            the chain's own thread that asks.
        """
        self.ask_to_stop()
        if self is threading.current_thread() or self._is_in_coroutine():
            return False
        if self.ident is not None:
            self.join(None if timeout is None else min(timeout, threading.TIMEOUT_MAX))
        return not self.is_alive()

    def _is_in_coroutine(self) -> bool:
        current = self._current
        coroutines = current.coroutines if current is not None else None
        return coroutines is not None and coroutines.is_here()

    def ask_to_stop(self) -> None:
        """Ask the chain to stop, and do not wait. Safe in a signal handler."""
        self._stop_asked = True
        self.ring()

    def ask_to_yield(self) -> None:
        """Ask it to let go after the function that is running, if anybody wants it."""
        self._yield_asked = True
        self.ring()

    def wake(self) -> None:
        """
        End the current cooldown now.

        While a function runs, the cooldown after it is skipped.
        """
        self._wake_asked = True
        self.ring()

    def is_ending(self) -> bool:
        """Say whether it was asked to stop, or is over: no run will begin."""
        return self._stop_asked or self.has_ended()

    def has_ended(self) -> bool:
        """Say whether it ran and is over, or was stopped before it began."""
        if self.ident is None:
            return self._stop_asked
        # Not `is_alive`: that is False for a moment when it has just begun.
        return self._is_over or self._made_in != os.getpid()

    def _is_copy(self) -> bool:
        """Say whether it was started in the process that this one was forked by."""
        return self._made_in != os.getpid() and self.ident is not None

    def status(self) -> ChainStatus:
        """Return a snapshot of the chain in this process."""
        tasks = tuple(runner.status() for runner in dict.fromkeys(self.tasks))
        current, phase = self._current, self._phase
        if self._is_copy():
            current, phase = None, states.STOPPED
        # Read after the phase, which is written after it.
        plan = self._plan if phase == states.COOLING_DOWN else None
        downs = [task.down_since for task in tasks if task.down_since]
        if current is not None:
            phase = states.STALLED if self.is_stalled() else states.RUNNING
        return ChainStatus(
            name=self.chain.name,
            state=phase,
            reason=self._why(phase),
            current_task=current.task.name if current else None,
            runs=sum(task.runs for task in tasks),
            failures=sum(task.failures for task in tasks),
            last_run=max((t.last_run for t in tasks if t.last_run), default=None),
            next_run=_moment_of(plan.deadline) if plan else None,
            down_since=min(downs, default=None),
            tasks=tasks,
        )

    def _why(self, phase: str) -> str:
        if self._is_copy():
            return "It runs in the process that this one was forked by."
        if self.reason or phase != states.STANDBY:
            return self.reason
        return f"It is run by {describe_owner(self.lock.owner(), time.time())}."

    # For the housekeeping thread.

    def ring(self) -> None:
        """Wake the thread, whatever it waits for, so that it looks around."""
        try:
            self._bell.release()
        except RuntimeError:
            # It is rung already.
            return

    def look_after(self, owner: OwnerRecord | None = None) -> bool:
        """
        Do what must be done while the thread itself sleeps or runs a task.

        Args:
            owner: Of a chain that stands by: a process that is known to live, and
                that had not let go when its record was read. None: whether the owner
                lives is to be found out.

        Returns:
            True when `owner` was found to own the chain still.
        """
        if self._phase == states.STANDBY:
            if owner is not None and self._belongs_to(owner):
                return True
            self._try_for_it()
        elif self._phase in (states.RUNNING, states.COOLING_DOWN):
            if not self.lock.is_held():
                self._doubted = True
                self.ring()
            elif self.lock.is_wanted():
                self.ask_to_yield()
        return False

    def _belongs_to(self, owner: OwnerRecord) -> bool:
        """Say whether the pidfile still tells that `owner`, which lives, runs it."""
        if self._trouble:
            return False
        if not self.lock.has_changed():
            return True
        record = self.lock.owner()
        return (
            record is not None
            and not record.released
            and (record.seq, record.owner) == (owner.seq, owner.owner)
        )

    def _try_for_it(self) -> None:
        try:
            if self.lock.acquire():
                self.ring()
                return
            record = self.lock.owner()
            if record is not None and not record.released:
                check_functions(self.chain, record, time.time())
            self.reason = self._trouble = ""
        except (OSError, ChainNameTaken) as exc:
            self._complain(exc)

    def is_standing_by(self) -> bool:
        """Say whether another process owns the chain."""
        return self._phase == states.STANDBY

    def running(self) -> TaskRunner | None:
        """Return the task that is being run now."""
        return self._current

    def is_stalled(self) -> bool:
        """Say whether the run of now was found to take too long."""
        stalled = self._stalled
        return stalled is not None and self.is_running(*stalled)

    def overdue_at(self, *, told: float) -> float:
        """
        Return when a run may take too long, on the monotonic clock; it does not before.

        Args:
            told: When the run began that is known to take too long.
        """
        if self._phase == states.STANDBY:
            return math.inf
        runner, plan = self._current, self._plan
        begins = time.monotonic()
        if runner is not None:
            limits = [runner.options.max_duration]
            begins = runner.started
            if begins == told:
                return math.inf
        else:
            limits = [runner.options.max_duration for runner in self.tasks]
            if plan is not None:
                begins = max(begins, plan.deadline)
        seconds = [limit.total_seconds() for limit in limits if limit is not None]
        return begins + min(seconds, default=math.inf)

    def is_running(self, runner: TaskRunner, started: float) -> bool:
        """Say whether the run of `runner` is going on that began at `started`."""
        return self._current is runner and runner.started == started

    def set_stalled(self, runner: TaskRunner, started: float) -> None:
        """Note that the run of `runner` that began at `started` takes too long."""
        self._stalled = runner, started

    # The thread itself.

    def run(self) -> None:
        """Own, run, yield, stand by; until it is stopped. Called by `start`."""
        try:
            self._run()
        finally:
            self._is_over = True
            if self.ended is not None:
                self.ended()

    def _run(self) -> None:
        backoff = 1.0
        try:
            while not self._stop_asked and (wait := self._ready()):
                self._pause(wait)
            while not self._stop_asked:
                try:
                    if self._become_owner():
                        self._own()
                        backoff = 1.0
                except Exception as exc:
                    self._after_breakdown(exc, backoff)
                    backoff = min(MAX_BACKOFF, backoff * 2)
                if (
                    self.kind == COMMAND
                    and self._yield_asked
                    and not self._takes_back()
                ):
                    break
                self._yield_asked = False
        finally:
            self._phase = states.STOPPED
            self._keeper.unwatch(self)
            self.lock.release()
            db.close_all()

    def _takes_back(self) -> bool:
        """Own it again where who asked for it has given up, and nobody else came."""
        if self.once:
            # To begin anew would run functions twice.
            return False
        try:
            return not self.lock.is_wanted() and self.lock.acquire()
        except OSError:
            return False

    def _after_breakdown(self, exc: Exception, backoff: float) -> None:
        """Report what the machinery itself raised, and wait a little."""
        self._complain(exc)
        self._end_once()
        self._keeper.unwatch(self)
        # Somebody else may be able to run it meanwhile.
        self.lock.release()
        self._phase = states.STANDBY if self.kind == HOSTED else states.STARTING
        self._pause(backoff)

    def _end_once(self) -> None:
        """With `once`, end as failed: to begin anew would run functions twice."""
        if self.once:
            self.failed = self._stop_asked = True

    def _complain(self, exc: Exception) -> None:
        self.reason = reason = str(exc)
        if reason == self._trouble:
            return
        self._trouble = reason
        logger.error(
            "[%s] The chain cannot run, and tries again: %s",
            self.chain.name,
            reason,
            exc_info=None if isinstance(exc, (OSError, RunnerError)) else exc,
            extra={"action": "chain_broken", "chain": self.chain.name},
        )

    def _become_owner(self) -> bool:
        """Return True once this thread owns the chain, False when it is to stop."""
        if self.lock.acquire():
            self._keeper.watch(self)
            return True
        self._phase = states.STANDBY
        self._keeper.watch(self)
        while not self._stop_asked:
            if self.lock.is_held():
                return True
            # Without a timeout: there is nothing to do until somebody rings.
            self._bell.acquire()
        # The housekeeping thread may be about to acquire it for us.
        self._keeper.unwatch(self)
        return False

    def _own(self) -> None:
        self._yield_asked = self._doubted = self._wake_asked = lost = False
        self._plan = None
        self._checked_at = 0.0
        self.state.load()
        self._phase = states.STARTING
        self.reason = ""
        plan = self._logbook.read()
        if self.fresh or self.once:
            plan = Plan()
        if self.kind == HOSTED:
            logger.info(
                "[%s] The chain runs in this process",
                self.chain.name,
                extra={"action": "chain_started", "chain": self.chain.name},
            )
        signals.send_robust(signals.chain_started, self)
        try:
            self._loop(self._resume(plan))
        except LostOwnershipError:
            lost = True
            # Another one may write to it from now on.
            self.state.close(write=False)
            self._yield_asked = False
            self._end_once()
            logger.critical(
                "[%s] The pidfile was removed or replaced: another process may run "
                "this chain too. It is no longer run here.",
                self.chain.name,
                extra={"action": "ownership_lost", "chain": self.chain.name},
            )
        finally:
            self._phase = states.STANDBY
            self._current = self._stalled = None
            self.fresh = False
            signals.send_robust(signals.chain_stopped, self)
            if not lost:
                self._logbook.write(self._plan)
            self.state.close(write=not lost)
            self.lock.release()

    def _resume(self, plan: Plan) -> Plan:
        """Book a run that was interrupted, and return what comes next."""
        record = self.lock.interrupted
        if record is None or record.run is None:
            return plan
        index = self.chain.index_of(record.run.task, record.run.index)
        runner = self.tasks[index]
        following = (index + 1) % len(self.tasks)
        deadline = runner.interrupt(record)
        plan = Plan(following, deadline, runner.key)
        # It is in the state before the mark in the pidfile is gone.
        self._logbook.write(plan)
        self.lock.interrupted = None
        incident = runner.incident
        if self.once:
            return Plan()
        if self.fresh and incident is not None and incident.interrupted < 2:
            # A person started it, and it crashed its process once at the most.
            return Plan()
        self._log_sleep(runner)
        return plan

    def _loop(self, plan: Plan) -> None:
        tasks, lock, last = self.tasks, self.lock, len(self.tasks) - 1
        index, deadline = plan.next, plan.deadline
        if deadline > time.monotonic():
            # What was interrupted is booked by now.
            lock.end()
            self._plan = plan
        self._phase = states.RUNNING
        rested = True
        while not (self._stop_asked or (self._yield_asked and self._yields())):
            if deadline > time.monotonic():
                # At first, and where what ended a cooldown holds no longer.
                deadline = self._cool_down(index, deadline)
                continue
            self._ensure_held(late=rested)
            runner = tasks[index]
            lock.begin(index)
            self._plan = None
            # Before the task is seen to run, or its last run would seem to last still.
            runner.started = time.monotonic()
            self._current = runner
            deadline = runner.run(rested=rested)
            rested = False
            self._current = None
            if self._stalled is not None:
                self._stalled = None
            if self._trouble:
                self._trouble = ""
            if self.once:
                self.failed = self.failed or runner.incident is not None
                if index == last:
                    self._stop_asked = True
                index, deadline = index + 1, 0.0
                continue
            if runner.incident is not None:
                self._logbook.hurry()
            if not runner.more:
                index = 0 if index == last else index + 1
            self._plan = Plan(index, deadline, runner.key)
            if deadline > time.monotonic():
                # First of all: a kill from now on interrupts no run.
                lock.end()
                self._log_sleep(runner)
                deadline = self._cool_down(index, deadline)
                rested = True
            else:
                if not runner.more:
                    # It would cut the cooldown of another task.
                    self._wake_asked = False
                if self._logbook.is_due(deadline):
                    self._logbook.write(self._plan)
                if self.kind == HOSTED:
                    self._breathe(runner)

    def _ensure_held(self, *, late: bool = False) -> None:
        """
        Look at the pidfile, unless that was done a moment ago.

        Args:
            late: It is time for the run. In a crowd others wait for the interpreter
                then, and what `_sleep` does before that time can wait as long again.

        Raises:
            LostOwnershipError: It is held no longer.
        """
        now = time.monotonic()
        fresh = FRESH
        if self._keeper.is_crowded:
            fresh = 2 * LOOK_EVERY if late else LOOK_EVERY
        if now - self._checked_at < fresh and not self._doubted:
            return
        self._doubted = False
        if not self.lock.is_held():
            raise LostOwnershipError
        self._checked_at = now

    def _cool_down(self, index: int, deadline: float) -> float:
        """
        Sleep until `deadline`, or until somebody wants something.

        Returns:
            When to go on: it is not over where what ended the sleep holds no longer.

        Raises:
            LostOwnershipError: The pidfile was found to be lost.
        """
        if self._doubted:
            # Before anything is written over what is another owner's by now.
            self._ensure_held()
        left = deadline - time.monotonic()
        self._phase = states.COOLING_DOWN
        early, worth = EARLY, WORTH_WRITING
        if self._keeper.is_crowded:
            early = EARLY_IN_A_CROWD
            if len(self.tasks) == 1:
                worth = WORTH_WRITING_IN_A_CROWD
        # Before the sleep, where it makes no run late.
        if left >= worth or self._logbook.is_due(deadline):
            self._logbook.write(self._plan)
        if left < SHORT:
            # Whether the pidfile is still held is seen before the next run. In a crowd
            # others wait for the interpreter now, and there is time before the run.
            wait = LOOK_EVERY if self._keeper.is_crowded else 0.0
            self._look_after_itself(deadline - wait)
            self.wakes_soon = True
        try:
            self._sleep(deadline, early)
        finally:
            self.wakes_soon = False
        self._phase = states.RUNNING
        if self._wake_asked:
            self._wake_asked = False
            deadline = time.monotonic()
            self._plan = Plan(index, deadline)
        return deadline

    def _look_after_itself(self, then: float) -> None:
        """
        Spare the housekeeping thread a look, which would hold up all chains.

        Args:
            then: Unless it would be early enough then, on the monotonic clock.
        """
        if then - self._looked_at > LOOK_EVERY:
            self._looked_at = time.monotonic()
            if self.lock.is_wanted():
                self.ask_to_yield()

    def _sleep(self, deadline: float, early: float) -> None:
        """Sleep until then, or until somebody wants something."""
        while not (
            self._stop_asked
            or self._wake_asked
            or (self._yield_asked and self._yields())
        ):
            if self._doubted:
                self._ensure_held()
            left = deadline - time.monotonic()
            if left > 2 * early:
                self._bell.acquire(timeout=min(left - early, threading.TIMEOUT_MAX))
                continue
            if left <= 0:
                break
            # What has to be looked at before a run is looked at before its time.
            self._ensure_held()
            if self.wakes_soon:
                self._look_after_itself(deadline)
            left = deadline - time.monotonic()
            if left > SHORTEST_SLEEP:
                self._bell.acquire(timeout=left)
            while 0 < deadline - time.monotonic() <= SHORTEST_SLEEP:
                # To give the interpreter away for it would take longer.
                continue

    def _yields(self) -> bool:
        """Say whether to let go: who asked for it may have given up in the meantime."""
        self._yield_asked = self.lock.is_wanted()
        return self._yield_asked

    def _pause(self, seconds: float) -> None:
        """Sleep while no chain is owned: what its owner is asked does not count."""
        ends = time.monotonic() + seconds
        while not (self._stop_asked or self._wake_asked):
            left = ends - time.monotonic()
            if left <= 0:
                break
            self._bell.acquire(timeout=left)
        self._wake_asked = False

    def _breathe(self, runner: TaskRunner) -> None:
        """Leave most of the interpreter to the host, whatever the author wrote."""
        # Time on the processor: a task that waits for a message takes none.
        if runner.coroutines is not None:
            # It took it in another thread.
            self._rested -= runner.coroutines.take_busy()
        busy = time.thread_time() - self._rested
        if busy >= BURST:
            # A kill in this moment interrupts no run.
            self.lock.end()
            self._bell.acquire(timeout=min(busy * REST, MAX_REST))
            self._rested = time.thread_time()

    def _log_sleep(self, runner: TaskRunner) -> None:
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug(
                "[%s] Sleeping %s seconds",
                runner.task.name,
                format(runner.cooldown.total_seconds(), ".15g"),
                extra={"action": "cooling_down", "task": runner.task.name},
            )


def _moment_of(deadline: float) -> datetime:
    """Return when `deadline`, on the monotonic clock, is by the clock on the wall."""
    return _instant(time.time() + deadline - time.monotonic())


def _instant(epoch: float) -> datetime:
    # A cooldown may be longer than the calendar.
    return datetime.fromtimestamp(min(epoch, END_OF_TIME - 1), timezone.utc)
