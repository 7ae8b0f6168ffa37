"""How many mails one task may send: some at once, then one a period."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple


class Allowance(NamedTuple):
    """
    A bucket of mails: full at first, filled up by one a period, emptied by one a mail.

    Whatever happens in a time T, no more than the bucket's size and T / period mails
    are sent. A change of state, down or up, may borrow one.
    """

    left: float | None = None
    """How many were left at `at`. None: the bucket is full."""
    at: datetime | None = None
    """When it was last counted."""

    def left_at(self, at: datetime, *, size: int, period: timedelta) -> float:
        """Return how many mails are left at `at`."""
        if self.left is None or self.at is None:
            return float(size)
        # A clock that was set back gives nothing.
        grown = max(0.0, (at - self.at) / period)
        return min(float(size), self.left + grown)

    def spend(self, at: datetime, *, size: int, period: timedelta) -> Allowance:
        """Return what is left after a mail at `at`."""
        return Allowance(self.left_at(at, size=size, period=period) - 1, at)

    def wait(
        self, at: datetime, *, size: int, period: timedelta, borrow: bool
    ) -> timedelta:
        """
        Return how long it takes until the next mail may go; zero: it may go now.

        Args:
            at: Now.
            size: Of the bucket.
            period: In which one mail is added.
            borrow: The mail tells a change of state, which may borrow one.
        """
        missing = (0 if borrow else 1) - self.left_at(at, size=size, period=period)
        # What is added in fractions is not exact to the last of them.
        return missing * period if missing > 1e-6 else timedelta()
