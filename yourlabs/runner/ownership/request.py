"""Requests to yield: their ids, and for how long a free chain is left to one."""

from __future__ import annotations

import uuid

COURTESY_S = 5.0
"""How long a chain that is free is left to who has asked for it, in seconds."""

BORROWER = "borrow-"
"""What the id of a request begins with whose process gives the chain back soon."""


def new_id(*, borrow: bool) -> str:
    """Return an id that no other request has."""
    return f"{BORROWER if borrow else ''}{uuid.uuid4().hex}"


def is_borrower(request: str) -> bool:
    """Say whether who asks with this id gives the chain back: `--once` does."""
    return request.startswith(BORROWER)


class Courtesy:
    """
    What one process knows of the requests for one chain.

    Without it a candidate that is frozen would keep a chain from running for as long
    as it is frozen. Times are on the monotonic clock, in seconds.
    """

    def __init__(self) -> None:
        self._waits_for: str | None = None
        self._since = 0.0
        self._spent: str | None = None

    def leaves_it_to(self, request: str | None, now: float) -> bool:
        """Say whether the chain, which was found free, is left to `request`."""
        if self.counted(request) is None:
            return False
        if request != self._waits_for:
            self._waits_for, self._since = request, now
        if now - self._since < COURTESY_S:
            return True
        self._spent = request
        return False

    def counted(self, request: str | None) -> str | None:
        """Return `request`, unless the chain was left to it in vain."""
        return None if request == self._spent else request
