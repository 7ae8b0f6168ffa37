"""How a chain goes round: one iteration at a time, without a thread."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

from yourlabs.runner import signals
from yourlabs.runner.chain.cannot_run import ProblemReporter
from yourlabs.runner.chain.checkpoint import Checkpoint
from yourlabs.runner.chain.cpu_throttle import CpuThrottle, log_cooldown
from yourlabs.runner.chain.execution import Execution
from yourlabs.runner.chain.plan import START, Plan, plan_after
from yourlabs.runner.chain.signals import send_robust
from yourlabs.runner.chain.standby import Standby
from yourlabs.runner.chain.steering import Steering, describe_pause
from yourlabs.runner.chain.task import Chain
from yourlabs.runner.log import logger
from yourlabs.runner.ownership.base import Claim, Clock, Ownership
from yourlabs.runner.ownership.record import Mode, RunMark
from yourlabs.runner.storage.base import Store

MAX_BACKOFF_S = 10.0  # the longest wait after a failure of the runner itself


class ChainLoop:
    """
    Owns, runs, yields and stands by: what is due at each `tick`.

    Only the chain's thread may use it, except for `check`, which the watcher calls, and
    `stop_asked` and `wake_asked`, which any thread may set.

    Attributes:
        chain, mode, ownership, tasks, state, reason: See `RunnerThread`.
        failed: In `Mode.ONCE`: a task has failed, or could not be run.
        steering, trouble: What people want of it, and what keeps it from running.
        plan, current: What comes next, and what is being run. None: nothing here.
        stands_by: Another process has the chain, or goes first.
        stop_asked, wake_asked: No further run is to begin; or the next one now.
        claim: The present ownership. None: this process does not own the chain.
    """

    def __init__(
        self,
        chain: Chain,
        *,
        ownership: Ownership,
        store: Store,
        watcher: Any,
        sender: Any,
        mode: Mode = Mode.HOSTED,
        clock: Clock = time,
        until_ready: Callable[[], float] | None = None,
        trouble: ProblemReporter | None = None,
    ) -> None:
        """
        Make it for the thread `sender`.

        Args:
            chain, ownership, mode: What to run, by what right, in what process.
            store: Keeps what the next owner is to know.
            watcher: Calls `check` about once a second, between `watch` and `unwatch`.
            clock: The module `time`, except in tests.
            until_ready: Returns for how long to wait, in seconds; 0 to begin. None: 0.
            trouble: Reports what keeps the chain from running. None: only to the log.
        """
        self.chain, self.mode, self.ownership = chain, mode, ownership
        ownership.borrows = mode is Mode.ONCE
        # A task that is in the chain twice has one execution: it fails as a whole.
        keys = chain.keys()
        executions = {t: Execution(t, chain.name, keys[t], clock=clock) for t in keys}
        self.tasks = tuple(executions[task] for task in chain.tasks)
        self.state = Checkpoint(store, self.tasks, clock)
        self.steering = Steering(chain.name, store, self.state, clock)
        self.reason = ""
        self.is_new_start = self.failed = self.stands_by = False
        self.plan: Plan | None = None
        self.current: Execution | None = None
        self.stop_asked = self.wake_asked = self._yield_asked = False
        self.clock, self.watcher, self._sender = clock, watcher, sender
        self.trouble, self._until_ready = trouble or ProblemReporter(chain), until_ready
        # Held while the chain is acquired or released: the watcher acquires it, too.
        self._claiming = threading.Lock()
        self.claim: Claim | None = None
        self._standby = Standby(chain, ownership, clock)
        self._is_first, self._not_before, self._backoff = True, 0.0, 1.0
        # What was next when the claim was lost, and how far a single pass has come.
        self._lost_plan = self._single_pass = START
        self._throttle = CpuThrottle()

    def tick(self) -> float:
        """Do what is due, one run at most; return when to call it again."""
        now = self.clock.monotonic()
        if self._until_ready is not None:
            if wait := self._until_ready():
                return self.clock.monotonic() + wait
            self._until_ready = None
        if now < self._not_before and not self.wake_asked:
            return self._not_before
        claim = self.claim or self._try_to_own()
        if claim is None:
            return self._stand_by(now)
        plan = self.plan or self._begin(claim)
        if not claim.check():
            self._lose(claim)
            return now
        if self._yield_asked and self._yields(claim):
            return now
        self.steering.note()
        if paused := self.steering.paused_for():
            return self._pause(paused)
        plan = self._woken(plan)
        if self.stop_asked:
            return plan.deadline
        if plan.deadline > now:
            # It could run: the admins hear of the end of trouble before it does.
            self.trouble.clear()
            return plan.deadline
        return self._run_next(claim, plan)

    # Owning.

    def _try_to_own(self) -> Claim | None:
        with self._claiming:
            if self.claim is None and not self.stop_asked:
                if self._standby.has_new_owner():
                    self.stop_asked = True
                    self._fail_single_pass()
                elif not self._standby.is_for_lender():
                    self.claim = self.ownership.acquire()
            return self.claim

    def _stand_by(self, now: float) -> float:
        """Wait for another process to let go; return when to call `tick` again."""
        self.stands_by = True
        # A wake is for the process that runs the chain.
        self.wake_asked = False
        self.watcher.watch(self._sender)
        if self._standby.problem is not None:
            self.reason = self.trouble.report(self._standby.problem)
        elif self._standby.has_looked:
            self.reason = ""
            self.trouble.clear()
        soon = self._standby.next_look(now)
        if soon is None:
            return math.inf
        self._check_standby()
        return now if self.stop_asked or self.claim else soon

    def _begin(self, claim: Claim) -> Plan:
        """Go on where the owner before has ended; return what comes next."""
        self.stands_by = self._yield_asked = False
        self._standby.end()
        is_started = self._is_first and self.mode is Mode.COMMAND
        self.is_new_start = is_started and not claim.was_cut
        plan = self.state.open(claim)
        for execution in self.tasks:
            execution.begin(claim.token)
        self.steering.begin()
        # Only now: if reading the state fails, the next claim is the first one.
        self._is_first = False
        # The cooldown of a run that ended after the claim was lost was not saved.
        lost, self._lost_plan = self._lost_plan, START
        plan = max(plan, lost, key=lambda one: one.deadline)
        if is_started or self.mode is Mode.ONCE:
            plan = self._single_pass
        self.reason = ""
        self._throttle.begin()
        self.watcher.watch(self._sender)
        self.plan = plan
        if self.mode is Mode.HOSTED:
            extra = {"action": "chain_started", "chain": self.chain.name}
            logger.info(
                "[%s] The chain runs in this process", self.chain.name, extra=extra
            )
        send_robust(signals.chain_started, self._sender)
        self.plan = self._resume(claim, plan, is_started=is_started)
        return self.plan

    def _resume(self, claim: Claim, plan: Plan, *, is_started: bool) -> Plan:
        """Count a run that was interrupted, and return what comes next."""
        record = claim.interrupted
        if record is None or record.run is None:
            return plan
        index = self.chain.index_of(record.run.task, record.run.position)
        execution = self.tasks[index]
        deadline = execution.interrupt(record)
        counted = plan_after(Plan(index), len(self.tasks), execution.key, deadline)
        # Saved before the mark is removed: a kill in between must not lose the run.
        self.state.save(counted)
        self.steering.served(failed=True)
        claim.mark(None)
        is_again = execution.downtime.interrupted > 1
        if self.mode is Mode.ONCE or (is_started and not is_again):
            # A person who starts the command may have mended the task.
            return plan
        log_cooldown(execution)
        return counted

    def _lose(self, claim: Claim) -> None:
        logger.critical(
            "[%s] %s Another process may run this chain too. It is no longer run here.",
            self.chain.name,
            claim.lost_because,
            extra={"action": "ownership_lost", "chain": self.chain.name},
        )
        self._lost_plan = self.plan or START
        # Another owner may write to it from now on.
        self.state.close()
        self._fail_single_pass()
        self.release()

    def _fail_single_pass(self) -> None:
        """End a single pass as failed: to begin anew would run functions twice."""
        if self.mode is Mode.ONCE:
            self.failed = self.stop_asked = True

    def _yields(self, claim: Claim) -> bool:
        """Release the chain, unless the candidate has given up; say whether."""
        self._yield_asked = False
        if claim.wanted_by() is None:
            return False
        self._standby.begin_yielded(claim.token, ends=self.mode is not Mode.HOSTED)
        self.release()
        return True

    def release(self) -> None:
        """Stop running the chain in this process; harmless when it does not run it."""
        plan, self.plan = self.plan, None
        try:
            if plan is not None:
                # First: receivers of the signal wait for mails to be delivered.
                self.state.save(None if self.mode is Mode.ONCE else plan)
                send_robust(signals.chain_stopped, self._sender)
                self.state.save()
        finally:
            self.state.close()
            with self._claiming:
                claim, self.claim = self.claim, None
                if claim is not None:
                    claim.release()
                self.ownership.withdraw()

    def break_down(self, exc: BaseException) -> None:
        """Report what the runner itself raised; begin anew a little later."""
        # First: whatever fails below, the next try is not at once.
        self._not_before = self.clock.monotonic() + self._backoff
        self._backoff = min(MAX_BACKOFF_S, self._backoff * 2)
        self.reason = self.trouble.report(exc)
        self._fail_single_pass()
        # Another process may be able to run it meanwhile.
        self.release()

    # Running.

    def _pause(self, seconds: float) -> float:
        """Run nothing until the pause is over; return when to call `tick` again."""
        self.trouble.clear()
        if self.mode is Mode.ONCE:
            why = describe_pause(self.steering.desired.paused)
            extra = {"action": "paused_once", "chain": self.chain.name}
            logger.error("[%s] Nothing was run. %s", self.chain.name, why, extra=extra)
            self._fail_single_pass()
        return self.clock.monotonic() + seconds

    def _woken(self, plan: Plan) -> Plan:
        """Return what is next: at once, if somebody has asked for that."""
        # A task with more to do runs at once anyway; the cooldown after that is cut.
        if self.wake_asked and not self.tasks[plan.position].more:
            self.wake_asked = False
            self.plan = plan = plan._replace(deadline=0.0)
        if self.steering.is_woken() and self.mode is not Mode.ONCE:
            self.plan = plan = plan._replace(deadline=0.0)
            self.steering.take_wake(plan)
        return plan

    def _run_next(self, claim: Claim, plan: Plan) -> float:
        """Run one task; return when to call `tick` again."""
        execution = self.tasks[plan.position]
        claim.mark(RunMark(execution.task.path, self.clock.time(), plan.position))
        self.current = execution
        try:
            deadline = execution.run()
        finally:
            self.current = None
        self._backoff = 1.0
        if self.mode is Mode.ONCE:
            deadline = self._pass_on(claim, execution)
        else:
            deadline = self._go_on(claim, plan, execution, deadline)
        # After the run is recorded: this may take a while, and a kill interrupts none.
        self.trouble.clear()
        return deadline

    def _go_on(
        self, claim: Claim, plan: Plan, execution: Execution, deadline: float
    ) -> float:
        """Record how a run has ended, and return when the next one is due."""
        self.plan = plan = plan_after(
            plan, len(self.tasks), execution.key, deadline, more=execution.more
        )
        if deadline > self.clock.monotonic():
            # From now on a kill interrupts no run.
            claim.mark(None)
            log_cooldown(execution)
        elif self.mode is Mode.HOSTED:
            if rest := self._throttle.after(execution):
                claim.mark(None)
            deadline += rest
        self.state.note(plan)
        self.steering.served(failed=execution.downtime.is_down, plan=plan)
        return deadline

    def _pass_on(self, claim: Claim, execution: Execution) -> float:
        """Go on to the next task of a single pass, or end."""
        self.failed = self.failed or execution.downtime.is_down
        following = self._single_pass.position + 1
        if following == len(self.tasks):
            claim.mark(None)
            self.stop_asked = True
        else:
            self.plan = self._single_pass = Plan(following)
        return self.clock.monotonic()

    def check(self) -> bool:
        """Say whether to call `tick` now; for the watcher, in its own thread."""
        claim = self.claim
        if claim is None:
            return self.stands_by and self._check_standby()
        if not claim.check():
            return True
        self._yield_asked = claim.wanted_by() is not None
        is_new = self.steering.look()
        if self.current is not None:
            # The chain's own thread is busy with the run.
            self.steering.note()
        return is_new or self._yield_asked

    def _check_standby(self) -> bool:
        try:
            if self._try_to_own() is not None:
                return True
            self._standby.look(None)
        except Exception as exc:
            self._standby.look(exc)
        # The chain's thread reports it: receivers of signals must not block this one.
        return self.stop_asked or self._standby.has_news
