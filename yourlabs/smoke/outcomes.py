"""Judge answers. Pure: no request is made here and no setting is read."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from yourlabs.smoke.isolation.guard import Refusal


class Outcome(str, enum.Enum):
    """What became of one URL pattern.

    Attributes:
        OK: Its view was called and answered; with 405, it exists.
        FAILED: Its view raised, answered 5xx, or refused everybody without a reason.
        DOUBTFUL: The same, but with values that were made up.
        SKIPPED: Its view could not be judged; the reason says why.
    """

    OK = "ok"
    FAILED = "failed"
    DOUBTFUL = "doubtful"
    SKIPPED = "skipped"


class Verdict(enum.Enum):
    """What one answer says of the view that was asked.

    Attributes:
        DENIED: 401, 403, or a redirect to a login page: ask as somebody else.
        MISSING: 404, or the admin's redirect for an object that is not there.
        REFUSED: Another 4xx.
        ELSEWHERE: The pattern's own view was not called.
    """

    OK = enum.auto()
    DENIED = enum.auto()
    MISSING = enum.auto()
    REFUSED = enum.auto()
    FAILED = enum.auto()
    ELSEWHERE = enum.auto()


@dataclass(frozen=True)
class Facts:
    """What the judge needs to know of an answer."""

    status: int
    path: str
    is_own_view: bool
    has_raised: bool = False
    location: str = ""
    login_paths: tuple[str, ...] = ()
    is_login_target: bool = False
    """Whether the redirect leads to a view that logs in."""

    is_logout: bool = False
    admin_index: str = ""
    """The path the admin redirects to for a missing object; empty when the
    view is not of the admin."""


def judge(facts: Facts) -> Verdict:
    """Decide what an answer says of its view."""
    is_closed = facts.status in (502, 503, 504) and not facts.is_own_view
    if facts.has_raised or (facts.status >= 500 and not is_closed):
        return Verdict.FAILED
    if 300 <= facts.status < 400 and facts.location:
        verdict = _judge_redirect(facts)
        if verdict is not None:
            return verdict
    if facts.status in (401, 403, 407):
        return Verdict.DENIED
    if not facts.is_own_view:
        return Verdict.ELSEWHERE
    if facts.status in (404, 410):
        return Verdict.MISSING
    if facts.status == 405 or facts.status < 400:
        return Verdict.OK
    return Verdict.REFUSED


def _judge_redirect(facts: Facts) -> Verdict | None:
    target = urlsplit(facts.location)
    if facts.admin_index and target.path == facts.admin_index:
        return Verdict.MISSING
    query = parse_qs(target.query)
    comes_back = any(
        urlsplit(value).path == facts.path
        for values in query.values()
        for value in values
    )
    if comes_back:
        return Verdict.DENIED
    leads_to_login = target.path in facts.login_paths or facts.is_login_target
    if leads_to_login and not facts.is_logout and target.path != facts.path:
        return Verdict.DENIED
    return None


@dataclass
class Result:
    """What a run says of one pattern, or of one URL that a project listed.

    Attributes:
        identical_queries: The size of the largest group of queries with the same text.
        host: The host, where it is another one than that of ``ROOT_URLCONF``.
        statuses: The status of the last URL by role.
        barrier: How requests ended before the view was called; empty when one reached
            it.
        let_in: The roles that a view let in with its last URL.
        refusals: What the view may not do while it is smoke tested.
        is_refused: Whether it was skipped for that.
        exception: The live exception, for the log; None in reports.
    """

    name: str
    pattern: str
    url: str = ""
    role: str = ""
    method: str = "GET"
    status: int | None = None
    outcome: Outcome = Outcome.SKIPPED
    reason: str = ""
    ms: float | None = None
    queries: int | None = None
    identical_queries: int = 0
    identical_query: str = ""
    missing_variables: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    provenance: str = ""
    view: str = ""
    language: str | None = None
    tags: list[str] = field(default_factory=list)
    is_listed: bool = False
    host: str = ""
    statuses: dict[str, int] = field(default_factory=dict)
    barrier: str = ""
    let_in: set[str] = field(default_factory=set)
    refusals: list[Refusal] = field(default_factory=list)
    is_refused: bool = False
    exception_class: str = ""
    exception_text: str = ""
    traceback: str = ""
    request_text: str = ""
    response_text: str = ""
    exception: BaseException | None = None

    def as_dict(self) -> dict[str, Any]:
        """The result as the JSON report has it."""
        return {
            **{name: getattr(self, name) for name in _REPORTED},
            "outcome": self.outcome.value,
            "listed": self.is_listed,
            "refused": [str(refusal) for refusal in self.refusals],
            "exception": self.exception_class,
        }


_REPORTED = (
    *("name", "pattern", "url", "role", "method", "status", "outcome", "reason"),
    *("ms", "queries", "identical_queries", "identical_query", "missing_variables"),
    *("warnings", "provenance", "view", "language", "tags", "host", "statuses"),
    *("traceback",),
)
"""What of a result is in the report under its own name."""


def summarize(results: list[Result]) -> dict[str, Any]:
    """Count results by outcome; the groups add up to ``patterns``."""
    counts = dict.fromkeys((outcome.value for outcome in Outcome), 0)
    for result in results:
        counts[result.outcome.value] += 1
    return {
        "patterns": len(results),
        **counts,
        "exists": 0,
        "status_405": sum(
            result.status == 405 and result.outcome is Outcome.OK for result in results
        ),
        "listed": sum(result.is_listed for result in results),
    }
