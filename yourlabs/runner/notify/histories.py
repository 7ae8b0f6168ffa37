"""What is remembered of a task between two events: values, and the rules for them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from yourlabs.runner.failures.records import ExceptionCount, Failure
from yourlabs.runner.failures.text import one_line
from yourlabs.runner.notify.allowance import Allowance
from yourlabs.runner.notify.report import Evidence, Reason, Report

MAX_DISTINCT = 20
"""How many distinct exceptions are counted apart between two mails."""

MAX_KNOWN = 100
"""How many fingerprints are remembered as told."""

MAX_NEW = 100
"""The largest `max_new_exceptions` that is heeded."""

MESSAGE = 200
"""How much of a message is remembered with its count, in characters."""


FOREVER = timedelta(days=365 * 500)
"""The longest `non_recoverable_downtime` that is heeded: no date lies beyond the
calendar then."""


class Rules(NamedTuple):
    """What can be set for a task."""

    non_recoverable_downtime: timedelta = timedelta(hours=12)
    """Time between two reminders; longer than zero, `FOREVER` at the most."""
    max_new_exceptions: int = 5
    """How many new exceptions are told in that time."""

    @property
    def size(self) -> int:
        """How many mails may be sent at once."""
        return 1 + min(self.max_new_exceptions, MAX_NEW)

    @property
    def expiry(self) -> timedelta:
        """How long it counts that something was told."""
        return 2 * self.non_recoverable_downtime

    @property
    def turns(self) -> int:
        """How many changes between up and down make a task flap."""
        return max(2, min(self.max_new_exceptions, MAX_NEW))


class Tally(NamedTuple):
    """What happened since the last mail."""

    failures: int = 0
    exceptions: tuple[ExceptionCount, ...] = ()
    """The first distinct ones; `failures` counts all."""
    recoveries: int = 0
    stalls: int = 0
    since: datetime | None = None
    """When the first of the failures was."""

    def add(self, failure: Failure) -> Tally:
        """Return it with one more failure."""
        exceptions = self.exceptions
        for index, item in enumerate(exceptions):
            if item.fingerprint == failure.fingerprint:
                more = ExceptionCount(
                    item.exception_type, item.message, item.fingerprint, item.count + 1
                )
                exceptions = (*exceptions[:index], more, *exceptions[index + 1 :])
                break
        else:
            if len(exceptions) < MAX_DISTINCT:
                one = ExceptionCount(
                    failure.exception_type,
                    one_line(failure.message, MESSAGE),
                    failure.fingerprint,
                    1,
                )
                exceptions = (*exceptions, one)
        since = failure.failed_at if self.since is None else self.since
        return self._replace(
            failures=self.failures + 1, exceptions=exceptions, since=since
        )

    def without(self, report: Report) -> Tally:
        """Return what is left to be told after `report`."""
        failures = max(0, self.failures - report.failures)
        told = {item.fingerprint: item.count for item in report.exceptions}
        exceptions = tuple(
            ExceptionCount(item.exception_type, item.message, item.fingerprint, left)
            for item in self.exceptions
            if (left := item.count - told.get(item.fingerprint, 0)) > 0
        )
        return Tally(
            failures,
            exceptions if failures else (),
            max(0, self.recoveries - report.recoveries),
            max(0, self.stalls - report.stalls),
            report.at if failures else None,
        )


class History(NamedTuple):
    """What is known of one task. A value: every change makes another one."""

    pending: tuple[Reason, ...] = ()
    """What is to be told."""
    number: int = 0
    """Of the last reason there was."""
    told_number: int = 0
    """Of the last reason that was told."""
    tally: Tally = Tally()

    is_down: bool = False
    down_since: datetime | None = None
    """Of this downtime or the last one."""
    downtime: timedelta = timedelta()
    consecutive: int = 0
    latest: Evidence | None = None
    """The last failure."""
    evidence: Evidence | None = None
    """The failure that is to be told."""
    reminders: int = 0
    """How many reminders of this downtime were decided."""
    changes: tuple[datetime, ...] = ()
    """When it went up or down, lately."""

    stalled_since: datetime | None = None
    """When the run that hangs began."""
    stack: str = ""

    is_first_told: bool = False
    """A failure since the start was told."""
    is_told_down: bool = False
    """The last that was told is that the task is down."""
    told_at: datetime | None = None
    known: dict[str, datetime] = {}
    """Fingerprints that were told, and when last. It is never changed."""
    new_at: tuple[datetime, ...] = ()
    """When new exceptions were told, lately."""
    allowance: Allowance = Allowance()
    start: str = ""
    """Why a first exception is due again; empty when the chain merely goes on."""
    thread: str = ""
    position: int = 0
    """How many mails of the thread were sent."""


NOTHING = History()
"""What is known of a task that nothing was heard of."""
