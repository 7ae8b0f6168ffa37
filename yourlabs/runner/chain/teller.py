"""
Tells the admins that a chain cannot run, as of a task that fails.

It is a chain of its own, of one task that fails for as long as the other chain cannot
run. So it is told in the same bounds, remembered for the next process, and told once
however many processes see it: by the one that owns ``<chain>.down``.
"""

from __future__ import annotations

import time

from yourlabs.runner.chain.down import ChainDown
from yourlabs.runner.chain.loop import ChainLoop
from yourlabs.runner.chain.mode import Mode
from yourlabs.runner.chain.options import options_for
from yourlabs.runner.chain.task import MAX_NAME, Chain, Task, make_chain
from yourlabs.runner.exceptions import RunnerError
from yourlabs.runner.log import logger
from yourlabs.runner.ownership.base import Clock
from yourlabs.runner.storage.base import Backend

SUFFIX = ".down"
"""What the name of such a chain ends with."""


class ChainCannotRun(RunnerError):
    """Something outside of its tasks keeps a chain from running."""


class DownTeller:
    """
    The `Teller` of one chain. It belongs to that chain's thread.

    Attributes:
        chain, tasks, state, once, is_new_start: As of a `RunnerThread`: it is the
            sender of `chain_started` and `chain_stopped` for its own chain.
    """

    once = is_new_start = False

    def __init__(self, chain: Chain, backend: Backend, clock: Clock = time) -> None:
        """
        Touch nothing yet.

        Args:
            chain: What cannot run.
            backend: Where the chains are kept.
            clock: Tells the time.
        """
        task = Task(self._run, "(the chain itself)", chain.name, resolve=options_for)
        name = f"{chain.name[: MAX_NAME - len(SUFFIX)]}{SUFFIX}"
        self.chain = make_chain([task], name=name)
        self._store = backend.store(self.chain)
        self._loop = ChainLoop(
            self.chain,
            backend.ownership(self.chain, kind=Mode.TELLER.kind),
            self._store,
            mode=Mode.TELLER,
            clock=clock,
            down=ChainDown(name),
            sender=self,
            watch=lambda: None,
        )
        self.tasks, self.state = self._loop.tasks, self._loop.state
        self._problem = ""

    def _run(self) -> None:
        if self._problem:
            raise ChainCannotRun(self._problem)

    def tell(self, problem: str) -> None:
        """
        Tell what keeps the chain from running. Empty: nothing does any more.

        Where RUN_ROOT itself cannot be used, nothing can be told: the log has it.
        """
        is_new, self._problem = problem != self._problem, problem
        try:
            if not problem and not self._is_known():
                return
            if is_new or not problem:
                self._loop.wake_asked = True
            self._loop.tick()
            if not problem:
                self._loop.let_go()
        except Exception as exc:
            logger.debug("[%s] The admins are not told: %s", self.chain.name, exc)

    def _is_known(self) -> bool:
        """Say whether the admins were told, by this process or one before."""
        return self._loop.plan is not None or bool(self._store.load().get("downtimes"))
