"""What a command does that has yielded: it ends, or takes its chain back."""

from __future__ import annotations

from yourlabs.runner.ownership.base import Ownership
from yourlabs.runner.ownership.record import Identity, OwnerRecord
from yourlabs.runner.ownership.request import is_borrower


class Lending:
    """
    Remembers to whom a command has yielded its chain.

    It ends only when it sees another owner: who asked may be frozen, or dead. And it
    does not end for a borrower, like ``--once``, which gives the chain back.
    """

    def __init__(self) -> None:
        self._token = 0
        self._borrower: Identity | None = None

    def begin(self, request: str, token: int, ownership: Ownership) -> None:
        """
        Note that the chain is left to a request.

        Args:
            request: Its id.
            token: Of the claim that is given up.
            ownership: Of the chain: knows who asks.
        """
        self._token = token
        self._borrower = ownership.candidate() if is_borrower(request) else None

    def has_new_owner(self, owner: OwnerRecord | None) -> bool:
        """
        Say whether `owner` runs the chain now, for good.

        Args:
            owner: What the pidfile says, after the lock was found to be taken.
        """
        return (
            self._token > 0
            and owner is not None
            and not owner.released
            and owner.seq > self._token
            and owner.owner != self._borrower
        )

    def end(self) -> None:
        """Note that the chain was taken back."""
        self._token, self._borrower = 0, None
