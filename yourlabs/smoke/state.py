"""What a run is asked to do, and what it knows of each pattern so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from yourlabs.smoke.discovery import Leaf
from yourlabs.smoke.exchange import Answer
from yourlabs.smoke.knowledge import Candidate
from yourlabs.smoke.outcomes import Verdict

MAX_REFUSALS = 4
"""How many URLs of a pattern may be refused to everybody before it is given up."""


MAX_DENIALS = 2
"""How many URLs of a pattern are denied to a role before it comes last."""

PATTERN_SECONDS = 30.0
"""How many seconds the requests of one pattern may take before it is given up."""


class CouldNotRunError(Exception):
    """The run could not even start; the text says why and what to do."""


@dataclass(frozen=True)
class Options:
    """What to run, and what counts as a failure.

    Attributes:
        apps: App labels or dotted names; empty means the whole project.
        only: Names or routes of the patterns to judge, or listed URLs; empty means all.
        max_ms: Milliseconds; None means no limit.
        timeout: Seconds for one request; None means no limit.
        max_seconds: Seconds for all requests; None means `BASE_SECONDS` and
            `LEAF_SECONDS` for each pattern, infinity means no limit.
        has_all_roles: Ask as every role, not only as the weakest that may and the
            strongest.
        is_final: Whether the process ends after the run, and stays guarded until then.
        credentials: Log in through the site's own form with these.
    """

    apps: tuple[str, ...] = ()
    is_listed_only: bool = False
    only: frozenset[str] = frozenset()
    max_ms: float | None = None
    max_queries: int | None = None
    timeout: float | None = 60.0
    max_seconds: float | None = None
    has_all_roles: bool = False
    is_final: bool = False
    credentials: tuple[str, str] | None = None

    def asks_for(self, name: str, pattern: str, url: str = "") -> bool:
        """Whether a pattern, by name or route, or a URL is one to judge."""
        names = {name, pattern, f"/{pattern}", url} - {""}
        return not self.only or not names.isdisjoint(self.only)


@dataclass
class State:
    """What is known of one leaf so far.

    Attributes:
        links: The URLs met in answers, with the tables that their requests wrote rows
            into.
        hints: Paths met in scripts, which may be templates of links.
        needs: An answer that failed for what was refused to it, and what that was.
        let_in: The roles that the view let in with the last URL.
        is_reached: Whether the view was called and refused nobody.
        refused_with: The last status by which the view refused with a reason; 0 when it
            did not.
        refusals: How many URLs were refused to every role.
        denials: How many URLs were denied, by role.
        seconds: How long the requests took.
        is_cut: Whether the run ended before there was a verdict.
    """

    leaf: Leaf
    tried: set[str] = field(default_factory=set)
    links: dict[str, frozenset[str]] = field(default_factory=dict)
    hints: dict[str, None] = field(default_factory=dict)
    success: Answer | None = None
    candidate: Candidate | None = None
    failure: tuple[Answer, Candidate, str] | None = None
    doubt: tuple[Answer, Candidate, str] | None = None
    needs: tuple[Answer, Candidate, str] | None = None
    last: Answer | None = None
    verdicts: list[Verdict] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    let_in: set[str] = field(default_factory=set)
    is_reached: bool = False
    needs_query: bool = False
    refused_with: int = 0
    excluded: bool = False
    refusals: int = 0
    denials: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    is_cut: bool = False

    @property
    def is_settled(self) -> bool:
        """Whether nothing more has to be tried."""
        is_hopeless = self.refusals >= MAX_REFUSALS or self.seconds > PATTERN_SECONDS
        return (
            self.excluded
            or is_hopeless
            or bool(self.success or self.failure or self.needs)
        )
