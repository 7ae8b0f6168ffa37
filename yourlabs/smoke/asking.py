"""Ask for one URL as one role after the other, until one may."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from yourlabs.smoke.client import Client
from yourlabs.smoke.conf import Conf
from yourlabs.smoke.confirming import leads_back
from yourlabs.smoke.exchange import Answer, Prepared
from yourlabs.smoke.hosts import Site
from yourlabs.smoke.introspection import takes_no_session
from yourlabs.smoke.isolation.sandbox import Sandbox
from yourlabs.smoke.judging import Judge
from yourlabs.smoke.knowledge import Candidate, Knowledge
from yourlabs.smoke.links import links_in, script_links_in
from yourlabs.smoke.listings import items_in
from yourlabs.smoke.outcomes import Verdict
from yourlabs.smoke.renewing import renew_sessions
from yourlabs.smoke.roles import Role, role_of
from yourlabs.smoke.state import MAX_DENIALS, Options, State

MAX_LINKS = 8
"""How many links to one pattern are kept."""

MAX_WAIT = 5.0
"""Seconds that are waited where a site limits how often it may be asked."""

MAX_WAITS = 30.0
"""Seconds that one run waits for that."""

SLOW = 3000.0
"""Milliseconds after which a healthy pattern is not asked any further."""


MAX_GUESSES = 3
"""After how many URLs only the strongest role is asked for one that is a guess."""


def _comes_last(state: State, role: Role, candidate: Candidate) -> bool:
    """Whether a weaker role is only asked when the strongest may.

    So it is when it was denied often enough and no row can depend on it, and for
    the guesses that follow some others, most of which lead nowhere.
    """
    is_guess = candidate.provenance in ("guess", "earlier", "made up")
    if is_guess and len(state.tried) > MAX_GUESSES:
        return True
    return role.user is None and state.denials.get(role.name, 0) >= MAX_DENIALS


class Asking:
    """The requests of a run; what to request is for its subclass to say."""

    options: Options
    conf: Conf
    client: Client
    roles: list[Role]
    site: Site
    knowledge: Knowledge
    judge: Judge
    confirmed = ""
    """A URL behind pages that ask once more who one is, and that let in then."""

    waited = 0.0
    """Seconds that the run waited for limits of requests."""

    deadline: float
    """When the run ends, in seconds of the monotonic clock."""

    has_renewed = False
    """Whether the site's own login was tried, as it ended a session."""

    sandbox: Sandbox
    notes: list[str]
    by_identity: dict[Any, State]
    """The states of all leaves, also of those that nobody asked for."""

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
        passed_over: list[Role] = []
        for role, user in self._people(candidate):
            is_top = role is self.roles[-1]
            if has_missed and user is None and not is_top:
                continue
            if user is None and not is_top and _comes_last(state, role, candidate):
                passed_over.append(role)
                continue
            answer = self.ask(state, candidate, role, user, prepare)
            if not answer.url and prepare is not None:
                return
            if not answer.url or answer.has_no_user:
                continue
            verdict = self.judge.verdict(state, candidate, answer)
            has_missed = verdict is Verdict.MISSING
            if verdict is Verdict.DENIED and user is None:
                state.denials[role.name] = state.denials.get(role.name, 0) + 1
            if verdict is Verdict.OK:
                for weaker in passed_over:
                    other = self.ask(state, candidate, weaker, None, prepare)
                    if not other.url or other.has_no_user:
                        continue
                    judged = self.judge.verdict(state, candidate, other, is_extra=True)
                    if judged is Verdict.OK:
                        role, answer = weaker, other
                        break
                self._succeed(state, candidate, answer, role, prepare)
                return
            if verdict is Verdict.FAILED and state.failure:
                return
            if verdict is Verdict.REFUSED and state.needs:
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
        started = time.monotonic()

        def once() -> Answer:
            return self.client.ask(
                candidate.url, role, user=user, prepare=prepare, inspect=inspect, **more
            )

        answer = once()
        if answer.has_ended_session and not self.has_renewed:
            self.has_renewed = True
            if renew_sessions(self):
                answer = once()
        if answer.status == 429 and self._has_waited(answer):
            answer = once()
        state.seconds += time.monotonic() - started
        if answer.url and not answer.has_no_user:
            state.last = answer
            state.statuses[role.name] = answer.status
            self._harvest(answer)
        return answer

    def _has_waited(self, answer: Answer) -> bool:
        """Wait until a limit of requests lets the next one in, where that is soon."""
        text = answer.headers.get("Retry-After", "1")
        seconds = float(text) if text.isdigit() else MAX_WAIT + 1
        rest = min(MAX_WAITS - self.waited, self.deadline - time.monotonic())
        if seconds > min(MAX_WAIT, rest):
            return False
        self.waited += seconds
        time.sleep(seconds)
        return True

    def _harvest(self, answer: Answer) -> None:
        if answer.status >= 400 and answer.status != 405:
            return
        base = self.client.base_url + answer.url
        items = items_in(answer.body, answer.content_type)
        if items:
            path = answer.url.split("?")[0].rstrip("/") + "/"
            self.knowledge.lists.setdefault(path, (items, answer.written))
        found = links_in(answer.body, answer.content_type, base)
        if answer.location:
            own = links_in(f'<a href="{answer.location}">'.encode(), "text/html", base)
            found += own
        for link in found:
            state = self._state_behind(link)
            if state is not None and len(state.links) < MAX_LINKS:
                state.links.setdefault(link, answer.written)
        for link in script_links_in(answer.body, answer.content_type, base):
            state = self._state_behind(link)
            if state is not None and len(state.hints) < MAX_LINKS:
                state.hints.setdefault(link)

    def _state_behind(self, link: str) -> State | None:
        match = self.knowledge.finder.find(urlsplit(link).path)
        return self.by_identity.get(match.identity) if match else None

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
                gone = candidate.gone | answer.written
                followed = Candidate(url, candidate.provenance, gone=gone)
                self.try_candidate(state, followed)
                return True
        return False

    def _try_harder(
        self,
        state: State,
        candidate: Candidate,
        prepare: Callable[[Any], Prepared | None] | None,
    ) -> None:
        """Ask the way that scripts and API clients do, as the strongest role."""
        verdict = (state.verdicts[-1:] or [Verdict.ELSEWHERE])[0]
        needs_token = takes_no_session(state.leaf.callback)
        is_refused = verdict in (Verdict.DENIED, Verdict.REFUSED)
        is_hidden = needs_token and verdict is Verdict.MISSING
        if len(self.roles) < 2 or not (is_refused or is_hidden):
            return
        state.refusals += is_refused
        if state.refusals > 1 and not needs_token:
            return
        role, last = self.roles[-1], state.last
        ways: list[dict[str, Any]] = [{"is_forced": True}]
        if is_refused and state.refusals == 1:
            ways.append({"headers": {"HTTP_X_REQUESTED_WITH": "XMLHttpRequest"}})
        if last is not None and leads_back(last.location, urlsplit(last.url).path):
            ways.insert(0, {"confirms": "own"})
        elif self.confirmed:
            ways.insert(0, {"confirms": self.confirmed})
        for more in ways:
            answer = self.ask(state, candidate, role, None, prepare, **more)
            if answer.status >= 500 and "is_forced" in more:
                # The site's own authentication, left out here, sets more than a user.
                state.last = last
                continue
            if (
                answer.url
                and self.judge.verdict(state, candidate, answer) is Verdict.OK
            ):
                if more.get("confirms") == "own" and prepare is None:
                    self.confirmed = self.confirmed or answer.url
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
        if candidate.provenance != "made row":
            self.knowledge.learn(state.leaf, answer.url)
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
