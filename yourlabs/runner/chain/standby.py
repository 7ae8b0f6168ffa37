"""What a chain that stands by knows of the process that runs it."""

from __future__ import annotations

from yourlabs.runner.chain.task import Chain
from yourlabs.runner.ownership import process
from yourlabs.runner.ownership.base import Clock, Ownership
from yourlabs.runner.ownership.record import check_functions
from yourlabs.runner.ownership.request import LEFT_FREE_S

LOOK_EVERY_S = 0.05  # how often a command that has yielded looks who has the chain now


class Standby:
    """
    Looks at the owner of a chain that this process stands by for.

    A command that has yielded ends only when it sees another owner: the candidate may
    be frozen, or dead. It does not end for a borrower, like ``--once``, which gives the
    chain back.

    Attributes:
        problem: What keeps the chain from running anywhere. None: nothing does.
        has_looked: `problem` was found while standing by this time.
        has_news: The last look has found something to report.
    """

    def __init__(self, chain: Chain, ownership: Ownership, clock: Clock) -> None:
        self._chain, self._ownership, self._clock = chain, ownership, clock
        self._looks_until = 0.0
        self.end()

    def end(self) -> None:
        """Note that this process runs the chain."""
        self.problem: BaseException | str | None = None
        self.has_looked = self.has_news = False
        self._token = 0
        self._may_lend = self._has_seen_owner = False
        self._given_back: tuple[int, float] | None = None

    def begin_yielded(self, token: int, *, ends: bool) -> None:
        """
        Note that the chain was yielded, with the `token` of the claim.

        `ends`: The process ends when another one runs the chain.
        """
        self._may_lend = True
        if ends:
            self._token = token
            self._looks_until = self._clock.monotonic() + LEFT_FREE_S

    def has_new_owner(self) -> bool:
        """
        Say whether another process has run the chain since it was yielded.

        It may have ended by now; then the chain is not taken back either.
        """
        if not self._token:
            return False
        owner = self._ownership.owner()
        # Only the record says who borrows: other candidates may have come in between.
        return owner is not None and owner.seq > self._token and not owner.borrows

    def is_for_lender(self) -> bool:
        """
        Say whether to leave the chain to the process that has lent it.

        After `--once` the previous owner has five seconds to take the chain back. If
        another stand-by was faster, that owner, when it is a command, would end.
        """
        owner = self._ownership.owner() if self._has_seen_owner else None
        if owner is None or not owner.borrows or self._may_lend:
            return False
        if not owner.released and process.is_alive(owner.owner):
            return False
        now = self._clock.monotonic()
        if self._given_back is None or self._given_back[0] != owner.seq:
            self._given_back = owner.seq, now
        return now - self._given_back[1] < LEFT_FREE_S

    def next_look(self, now: float) -> float | None:
        """Return when to look again. None: the watcher does so, once a second."""
        return now + LOOK_EVERY_S if self._token and now < self._looks_until else None

    def look(self, failed: Exception | None) -> None:
        """Look at the owner after a try to become it, which raised `failed`, if any."""
        before, self.problem = self.problem, failed
        if failed is None:
            try:
                self.problem = self._look_at_owner()
            except Exception as exc:
                self.problem = exc
        self.has_news = not self.has_looked or bool(before or self.problem)
        self.has_looked = True

    def _look_at_owner(self) -> str | None:
        owner = self._ownership.owner()
        if owner is not None and not owner.released:
            self._has_seen_owner = True
            self._may_lend = self._may_lend and owner.borrows
            if owner.borrows:
                # Another stand-by may be faster: look often, to take it back.
                self._looks_until = self._clock.monotonic() + LEFT_FREE_S
            check_functions(self._chain, owner, self._clock.time())
        return self._ownership.no_sign_of_life()
