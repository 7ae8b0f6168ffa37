"""Request every pattern of a project, in rounds, until each has a verdict."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connections

from yourlabs.smoke import making, rows, shapes, values
from yourlabs.smoke.client import Answer, Client, Prepared
from yourlabs.smoke.conf import Conf, read_conf
from yourlabs.smoke.discovery import Leaf, PathFinder, iter_leaves
from yourlabs.smoke.judging import Judge
from yourlabs.smoke.links import links_in
from yourlabs.smoke.outcomes import Result, Verdict
from yourlabs.smoke.roles import Role, find_roles, role_of
from yourlabs.smoke.sandbox import (
    Sandbox,
    quiet_settings,
    read_only_elsewhere,
    usable_aliases,
)
from yourlabs.smoke.values import Candidate, Knowledge

MAX_LINKS = 8
"""How many links to one pattern are kept."""

MAX_TRIES = 12
"""How many URLs of one pattern are requested before it is given up."""

_URL_SETTINGS = ("SITE_URL", "BASE_URL", "PUBLIC_URL", "SERVER_URL", "ROOT_URL")

SLOW = 3000.0
"""Milliseconds after which a healthy pattern is not asked any further."""

MAX_REFUSALS = 4
"""How many URLs of a pattern may be refused to everybody before it is given up."""

ROUNDS = 5
"""How often new links are looked for."""


class CouldNotRunError(Exception):
    """The run could not even start; the text says why and what to do."""


@dataclass(frozen=True)
class Options:
    """What to run, and what counts as a failure."""

    apps: tuple[str, ...] = ()
    """App labels or dotted names; empty means the whole project."""

    is_listed_only: bool = False
    only: frozenset[str] = frozenset()
    """Names or routes of the patterns to judge; empty means all."""

    max_ms: float | None = None
    """Milliseconds; None means no limit."""

    max_queries: int | None = None
    timeout: float | None = 60.0
    """Seconds for one request; None means no limit."""

    has_all_roles: bool = False
    """Ask as every role, not only as the weakest that may and the strongest."""

    credentials: tuple[str, str] | None = None
    """Log in through the site's own form with these."""


@dataclass
class State:
    """What is known of one leaf so far."""

    leaf: Leaf
    tried: set[str] = field(default_factory=set)
    links: dict[str, None] = field(default_factory=dict)
    success: Answer | None = None
    candidate: Candidate | None = None
    failure: tuple[Answer, Candidate, str] | None = None
    doubt: tuple[Answer, Candidate, str] | None = None
    last: Answer | None = None
    verdicts: list[Verdict] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    needs_query: bool = False
    excluded: bool = False
    refusals: int = 0
    """How many URLs were refused to every role."""

    @property
    def is_settled(self) -> bool:
        """Whether nothing more has to be tried."""
        is_hopeless = self.refusals >= MAX_REFUSALS
        return self.excluded or is_hopeless or bool(self.success or self.failure)


class SmokeRun:
    """One run over a project. Use it once, in one thread.

    Args:
        options: What to run.
        progress: Called with the number of settled patterns and of all.
    """

    def __init__(
        self,
        options: Options | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.options = options or Options()
        self.progress = progress or (lambda done, total: None)
        self.notes: list[str] = []
        """Things a person should know that are no failure."""

    def run(self) -> list[Result]:
        """Request and judge everything.

        Returns:
            One result a pattern, in the resolver's order, then one a listed URL.

        Raises:
            CouldNotRunError: The URL patterns, the middleware or the database is not
                usable at all.
        """
        self.conf = self._read_conf()
        leaves = self._load_leaves()
        aliases = self._open_databases()
        self.sandbox = Sandbox(aliases)
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.sandbox.copied())
            stack.enter_context(quiet_settings())
            stack.enter_context(read_only_elsewhere())
            self.roles = find_roles()
            self.client = self._make_client()
            stack.enter_context(self.client.running())
            self._set_up(leaves)
            if not self.options.is_listed_only:
                self._rounds()
            from yourlabs.smoke.listed import listed_results

            results = [self.judge.result_of(s) for s in self.states.values()]
            if self.options.is_listed_only:
                results = []
            return results + listed_results(self)

    def _read_conf(self) -> Conf:
        try:
            return read_conf()
        except Exception as error:
            raise CouldNotRunError(str(error)) from error

    def _load_leaves(self) -> list[Leaf]:
        try:
            return list(iter_leaves())
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            raise CouldNotRunError(
                f"ROOT_URLCONF {getattr(settings, 'ROOT_URLCONF', None)!r} could not "
                f"be loaded: {type(error).__name__}: {error}. "
                "Repair the import that fails first."
            ) from error

    def _open_databases(self) -> list[str]:
        aliases, bad = usable_aliases()
        if "default" in bad:
            raise CouldNotRunError(
                f"The database 'default' does not answer: {bad['default']}"
            )
        for alias, text in bad.items():
            self.notes.append(f"The database {alias!r} does not answer: {text}")
        for alias in aliases:
            if not connections[alias].features.supports_transactions:
                raise CouldNotRunError(
                    f"The database {alias!r} has no transactions, so requests "
                    "could not be undone."
                )
        if "default" in aliases:
            connection = connections["default"]
            with connection.cursor() as cursor:
                tables = connection.introspection.table_names(cursor)
            if not tables and rows.has_managed_models():
                raise CouldNotRunError(
                    "The database 'default' has no tables. Run `manage.py migrate`."
                )
        return aliases

    def _make_client(self) -> Client:
        try:
            return Client(
                self.sandbox, host=choose_host(), timeout=self.options.timeout
            )
        except Exception as error:
            raise CouldNotRunError(
                f"The middleware could not be loaded: {type(error).__name__}: {error}"
            ) from error

    def _set_up(self, leaves: list[Leaf]) -> None:
        finder = PathFinder()
        user = next((r.user for r in reversed(self.roles) if r.user is not None), None)
        self.knowledge = Knowledge(finder, leaves, self.conf.values, user)
        self.judge = Judge(self)
        self.states: dict[Any, State] = {}
        self.by_identity: dict[Any, State] = {}
        for leaf in leaves:
            state = State(leaf)
            self.by_identity[leaf.identity] = state
            if not self._is_wanted(leaf):
                continue
            self.states[leaf.identity] = state
            state.excluded = self.conf.excludes(leaf.name, "/" + leaf.pattern)
        if self.options.credentials:
            from yourlabs.smoke.login import log_in

            log_in(self)

    def _is_wanted(self, leaf: Leaf) -> bool:
        only = self.options.only
        if only and not {leaf.name, leaf.pattern, leaf.label} & only:
            return False
        return not self.options.apps or rows.is_of_apps(
            leaf, self.knowledge.facts_of(leaf), self.options.apps
        )

    # -- the rounds ---------------------------------------------------------

    def _rounds(self) -> None:
        mine = [s for s in self.states.values() if not self._is_translation(s)]
        others = [s for s in self.states.values() if self._is_translation(s)]
        self._try_all(mine, lambda s: values.from_settings(self.knowledge, s.leaf))
        self._try_all(mine, lambda s: values.plain(self.knowledge, s.leaf))
        self._try_all(mine, lambda s: values.autocompletes(self.knowledge, s.leaf))
        self._try_all(mine, lambda s: values.generic_objects(self.knowledge, s.leaf))
        self._try_all(mine, self._linked)
        self._try_all(mine, lambda s: values.from_rows(self.knowledge, s.leaf))
        for _ in range(ROUNDS):
            before = sum(state.is_settled for state in mine)
            self._try_all(mine, self._linked)
            self._try_all(mine, self._earlier)
            if sum(state.is_settled for state in mine) == before:
                break
        self._make_rows(mine)
        self._try_all(mine, lambda s: values.made_up(self.knowledge, s.leaf))
        self._try_all(mine, self._linked)
        self._try_all(others, self._translated)
        self._try_all(others, lambda s: values.plain(self.knowledge, s.leaf))
        self._make_rows(others)
        self._try_all(others, lambda s: values.made_up(self.knowledge, s.leaf))
        for state in mine:
            self._look_closer(state)

    def _is_translation(self, state: State) -> bool:
        return state.leaf.language not in (None, settings.LANGUAGE_CODE)

    def _try_all(
        self, states: list[State], candidates: Callable[[State], Iterable[Candidate]]
    ) -> None:
        for state in states:
            if state.is_settled:
                continue
            limit = len(state.tried) + MAX_TRIES
            for candidate in candidates(state):
                if len(state.tried) >= limit:
                    break
                if candidate.url not in state.tried:
                    self.try_candidate(state, candidate)
                if state.is_settled:
                    break
            self.progress(
                sum(s.is_settled for s in self.states.values()), len(self.states)
            )

    def _linked(self, state: State) -> Iterable[Candidate]:
        return [Candidate(url, "link") for url in list(state.links)]

    def _earlier(self, state: State) -> Iterable[Candidate]:
        """URLs made of the values of another pattern's success."""
        for shape in state.leaf.shapes:
            names = {slot.name for slot in shapes.slots(shape)}
            if not names:
                continue
            for other in list(self.by_identity.values()):
                if other.success is None:
                    continue
                found = self.knowledge.finder.find(urlsplit(other.success.url).path)
                if found is None or not names <= set(found.values):
                    continue
                if other.leaf.namespaces[:1] != state.leaf.namespaces[:1]:
                    continue
                url = shapes.fill(shape, found.values)
                if self.knowledge.leads_home(state.leaf, url):
                    yield Candidate(url, "earlier")

    def _translated(self, state: State) -> Iterable[Candidate]:
        for other in self.by_identity.values():
            if other.leaf.chain != state.leaf.chain or other.success is None:
                continue
            if self._is_translation(other):
                continue
            path, _, query = other.success.url.partition("?")
            found = self.knowledge.finder.find(path)
            for shape in state.leaf.shapes:
                names = {slot.name for slot in shapes.slots(shape)}
                if found is not None and names == set(found.values):
                    url = shapes.fill(shape, found.values)
                    if self.knowledge.leads_home(state.leaf, url):
                        provenance = (
                            other.candidate.provenance if other.candidate else ""
                        )
                        url += f"?{query}" if query else ""
                        yield Candidate(url, provenance or "earlier")

    def _make_rows(self, states: list[State]) -> None:
        for state in states:
            if state.is_settled or not state.leaf.has_parameters:
                continue
            for shape in reversed(state.leaf.shapes):
                if not shapes.slots(shape) or state.is_settled:
                    continue
                found = values.anchors(self.knowledge, state.leaf, shape)
                for lookup, slot_name in found[:2]:
                    prepare = self._preparation(state, shape, lookup.model, slot_name)
                    candidate = Candidate("", "made row")
                    self.try_candidate(state, candidate, prepare)
                    if state.is_settled:
                        break

    def _preparation(
        self, state: State, shape: shapes.Shape, model: Any, slot_name: str
    ) -> Callable[[Any], Prepared | None]:
        def prepare(user: Any) -> Prepared | None:
            row = making.make(model)
            rows.give_to(row, user)
            found = values.of_row(
                self.knowledge,
                state.leaf,
                shape,
                row,
                slot_name,
                is_exact=True,
                provenance="made row",
            )
            first = next(iter(found), None)
            return Prepared(first.url, first.owner) if first else None

        return prepare

    # -- one URL ------------------------------------------------------------

    def try_candidate(
        self,
        state: State,
        candidate: Candidate,
        prepare: Callable[[Any], Prepared | None] | None = None,
    ) -> None:
        """Request a URL as one role after the other until one may."""
        if candidate.url:
            state.tried.add(candidate.url)
            if self.conf.excludes(candidate.url.split("?")[0]):
                state.excluded = True
                return
        has_missed = False
        for role, user in self._people(candidate):
            is_top = role is self.roles[-1]
            if has_missed and user is None and not is_top:
                continue
            answer = self.ask(state, candidate, role, user, prepare)
            if not answer.url and prepare is not None:
                return
            if not answer.url or answer.has_no_user:
                continue
            verdict = self.judge.verdict(state, candidate, answer)
            has_missed = verdict is Verdict.MISSING
            if verdict is Verdict.OK:
                self._succeed(state, candidate, answer, role, prepare)
                return
            if verdict is Verdict.FAILED and state.failure:
                return
            if verdict is Verdict.ELSEWHERE and self._follow(state, candidate, answer):
                return
        if prepare is not None:
            self._ask_owner(state, candidate, prepare)
        if not state.is_settled:
            self._try_harder(state, candidate, prepare)

    def _ask_owner(
        self,
        state: State,
        candidate: Candidate,
        prepare: Callable[[Any], Prepared | None],
    ) -> None:
        """Ask as the user that a made row belongs to."""
        role = self.roles[-1]
        if role.name == "anonymous":
            return
        answer = self.ask(state, candidate, role, None, prepare, as_owner=True)
        if answer.url and not answer.has_no_user:
            verdict = self.judge.verdict(state, candidate, answer)
            if verdict is Verdict.OK:
                state.success, state.candidate = answer, candidate

    def _people(self, candidate: Candidate) -> Iterable[tuple[Role, Any]]:
        """The roles in order; the row's owner first among equals."""
        owner = candidate.owner
        owner_role = role_of(owner) if owner is not None else ""
        for role in self.roles:
            if role.name == owner_role:
                yield role, owner
                if role.user is not None and role.user.pk == owner.pk:
                    continue
            yield role, None

    def ask(
        self,
        state: State,
        candidate: Candidate,
        role: Role,
        user: Any = None,
        prepare: Callable[[Any], Prepared | None] | None = None,
        **more: Any,
    ) -> Answer:
        """Make one request and note what it shows."""
        inspect = self.judge.inspection(state, candidate)
        answer = self.client.ask(
            candidate.url, role, user=user, prepare=prepare, inspect=inspect, **more
        )
        if answer.url and not answer.has_no_user:
            state.last = answer
            state.statuses[role.name] = answer.status
            self._harvest(answer)
        return answer

    def _harvest(self, answer: Answer) -> None:
        if answer.status >= 400 and answer.status != 405:
            return
        base = self.client.base_url + answer.url
        found = links_in(answer.body, answer.content_type, base)
        if answer.location:
            own = links_in(f'<a href="{answer.location}">'.encode(), "text/html", base)
            found += own
        for link in found:
            match = self.knowledge.finder.find(urlsplit(link).path)
            state = self.by_identity.get(match.identity) if match else None
            if state is not None and len(state.links) < MAX_LINKS:
                state.links.setdefault(link)

    def _follow(self, state: State, candidate: Candidate, answer: Answer) -> bool:
        """Go where a middleware redirects to, when that is the same pattern."""
        found = links_in(
            f'<a href="{answer.location}">'.encode(),
            "text/html",
            self.client.base_url + answer.url,
        )
        for url in found:
            match = self.knowledge.finder.find(urlsplit(url).path)
            if (
                url not in state.tried
                and match is not None
                and match.identity == state.leaf.identity
            ):
                self.try_candidate(state, Candidate(url, candidate.provenance))
                return True
        return False

    def _try_harder(
        self,
        state: State,
        candidate: Candidate,
        prepare: Callable[[Any], Prepared | None] | None,
    ) -> None:
        """Ask the way that scripts and API clients do, as the strongest role."""
        last = state.verdicts[-1:] or [Verdict.ELSEWHERE]
        if len(self.roles) < 2 or last[0] not in (Verdict.DENIED, Verdict.REFUSED):
            return
        state.refusals += 1
        if state.refusals > 1:
            return
        for more in (
            {"is_forced": True},
            {"headers": {"HTTP_X_REQUESTED_WITH": "XMLHttpRequest"}},
        ):
            role = self.roles[-1]
            answer = self.ask(state, candidate, role, None, prepare, **more)
            if (
                answer.url
                and self.judge.verdict(state, candidate, answer) is Verdict.OK
            ):
                self._succeed(state, candidate, answer, role, prepare)
                return

    def _succeed(
        self,
        state: State,
        candidate: Candidate,
        answer: Answer,
        role: Role,
        prepare: Callable[[Any], Prepared | None] | None,
    ) -> None:
        state.success, state.candidate = answer, candidate
        position = self.roles.index(role)
        stronger = self.roles[position + 1 :] if answer.ms < SLOW else []
        if not self.options.has_all_roles:
            stronger = stronger[-1:]
        for other in stronger:
            more = self.ask(state, candidate, other, None, prepare)
            if more.url and not more.has_no_user:
                verdict = self.judge.verdict(state, candidate, more, is_extra=True)
                if verdict is Verdict.OK and more.more:
                    answer.more = more.more

    def _look_closer(self, state: State) -> None:
        """Request more URLs of a healthy pattern: other rows, filters, links."""
        if state.success is None or state.failure or state.success.ms > SLOW:
            return
        role = next(r for r in self.roles if r.name == state.success.role)
        best = self.roles[-1]
        path = state.success.url.split("?")[0]
        urls = [(path + query, best) for query in state.success.more]
        urls += [(url, role) for url in self._linked_again(state)]
        if state.candidate is not None and state.candidate.provenance == "row":
            other = values.from_rows(self.knowledge, state.leaf)
            trusted = (c for c in other if c.is_trusted and c.url not in state.tried)
            urls += [(c.url, best) for c in itertools.islice(trusted, 2)]
        for url, who in urls:
            if url in state.tried or self.conf.excludes(url.split("?")[0]):
                continue
            state.tried.add(url)
            candidate = Candidate(url, "link")
            answer = self.ask(state, candidate, who)
            if not answer.has_no_user:
                self.judge.verdict(state, candidate, answer, is_extra=True)
            if state.failure:
                return

    def _linked_again(self, state: State) -> list[str]:
        others = [url for url in state.links if url not in state.tried]
        return others[:3]


def choose_host() -> str:
    """The host to ask for: a site's domain, a setting's, an allowed one."""
    if rows.needs_site_domain():
        domain = rows.first_site_domain()
        if domain:
            return domain
    for name in _URL_SETTINGS:
        value = getattr(settings, name, None)
        host = urlsplit(value).netloc if isinstance(value, str) else ""
        if host:
            return host
    hosts = [str(host).lstrip(".") for host in settings.ALLOWED_HOSTS if host != "*"]
    return next((host for host in hosts if host and ":" not in host), "localhost")
