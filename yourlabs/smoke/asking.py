"""Ask for one URL as one role after the other, until one may."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from yourlabs.smoke.client import Client
from yourlabs.smoke.conf import Conf
from yourlabs.smoke.discovery import Leaf
from yourlabs.smoke.exchange import Answer
from yourlabs.smoke.hosts import Site
from yourlabs.smoke.introspection import takes_no_session
from yourlabs.smoke.isolation.sandbox import Sandbox
from yourlabs.smoke.judging import Judge
from yourlabs.smoke.knowledge import Candidate, Knowledge
from yourlabs.smoke.links import links_in, own_links, script_links_in
from yourlabs.smoke.listings import items_in
from yourlabs.smoke.login import leads_back, renew_sessions
from yourlabs.smoke.outcomes import Verdict
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
    """The requests of a run; what to request is for its subclass to say.

    Attributes:
        confirmed: A URL behind pages that ask once more who one is, and that let in
            then.
        waited: Seconds that the run waited for limits of requests.
        deadline: When the run ends, in seconds of the monotonic clock.
        has_renewed: Whether the site's own login was tried, as it ended a session.
        all_states: The states of all leaves, also of those that nobody asked for.
    """

    options: Options
    conf: Conf
    client: Client
    roles: list[Role]
    site: Site
    knowledge: Knowledge
    judge: Judge
    confirmed = ""
    waited = 0.0
    deadline: float
    has_renewed = False
    sandbox: Sandbox
    notes: list[str]
    all_states: dict[Leaf, State]

    def try_candidate(self, state: State, candidate: Candidate) -> None:
        """Request a URL as one role after the other until one may."""
        if candidate.url:
            state.tried.add(candidate.url)
            if self.conf.excludes(candidate.url.split("?")[0]):
                state.excluded = True
                return
        has_missed = False
        passed_over: list[Role] = []
        for role, user in self._people(candidate):
            is_weaker = user is None and role is not self.roles[-1]
            if has_missed and is_weaker:
                continue
            if is_weaker and _comes_last(state, role, candidate):
                passed_over.append(role)
                continue
            answer, verdict = self._ask_and_judge(state, candidate, role, user=user)
            if not answer.url:
                return
            if verdict is None:
                continue
            has_missed = verdict is Verdict.MISSING
            if verdict is Verdict.DENIED and user is None:
                state.denials[role.name] = state.denials.get(role.name, 0) + 1
            if verdict is Verdict.OK:
                for weaker in passed_over:
                    other, judged = self._ask_and_judge(
                        state, candidate, weaker, is_extra=True
                    )
                    if judged is Verdict.OK:
                        role, answer = weaker, other
                        break
                self._succeed(state, candidate, answer, role)
                return
            is_failed = verdict is Verdict.FAILED and state.failure
            if is_failed or (verdict is Verdict.REFUSED and state.needs):
                return
        if not state.is_settled:
            self._try_harder(state, candidate)

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

    def _ask_and_judge(
        self,
        state: State,
        candidate: Candidate,
        role: Role,
        *,
        is_extra: bool = False,
        **more: Any,
    ) -> tuple[Answer, Verdict | None]:
        """Make one request; there is no verdict when nobody could be asked as."""
        answer = self.ask(state, candidate, role, **more)
        if not answer.url or answer.has_no_user:
            return answer, None
        verdict = self.judge.verdict(state, candidate, answer, is_extra=is_extra)
        return answer, verdict

    def ask(
        self,
        state: State,
        candidate: Candidate,
        role: Role,
        **more: Any,
    ) -> Answer:
        """Make one request and note what it shows."""
        started = time.monotonic()

        def once() -> Answer:
            return self.client.ask(
                candidate.url, role, prepare=candidate.prepare, **more
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
            self._harvest(answer, is_made=candidate.prepare is not None)
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

    def _harvest(self, answer: Answer, *, is_made: bool) -> None:
        if answer.status >= 400 and answer.status != 405:
            return
        base = self.client.base_url + answer.url
        items = items_in(answer.body, answer.content_type)
        if items:
            path = answer.url.split("?")[0].rstrip("/") + "/"
            self.knowledge.lists.setdefault(path, (items, answer.written))
        links = links_in(answer.body, answer.content_type, base)
        links += own_links([answer.location], base)
        hints = script_links_in(answer.body, answer.content_type, base)
        if is_made:
            # What a made row is called is a text of ours.
            links, hints = [], links + hints
        for link in links:
            state = self._state_behind(link)
            if state is not None and len(state.links) < MAX_LINKS:
                state.links.setdefault(link, answer.written)
        for link in hints:
            state = self._state_behind(link)
            if state is not None and len(state.hints) < MAX_LINKS:
                state.hints.setdefault(link)

    def _state_behind(self, link: str) -> State | None:
        match = self.knowledge.finder.find(link)
        return self.all_states[match.leaf] if match else None

    def _try_harder(self, state: State, candidate: Candidate) -> None:
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
        last = state.last
        ways: list[dict[str, Any]] = [{"is_forced": True}]
        if is_refused and state.refusals == 1:
            ways.append({"headers": {"HTTP_X_REQUESTED_WITH": "XMLHttpRequest"}})
        if last is not None and leads_back(last.location, urlsplit(last.url).path):
            ways.insert(0, {"confirms": "own"})
        elif self.confirmed:
            ways.insert(0, {"confirms": self.confirmed})
        for more in ways:
            answer = self.ask(state, candidate, self.roles[-1], **more)
            if answer.status >= 500 and "is_forced" in more:
                # The site's own authentication, left out here, sets more than a user.
                state.last = last
                continue
            if not answer.url:
                continue
            if self.judge.verdict(state, candidate, answer) is Verdict.OK:
                if more.get("confirms") == "own" and candidate.prepare is None:
                    self.confirmed = self.confirmed or answer.url
                self._succeed(state, candidate, answer, self.roles[-1])
                return

    def _succeed(
        self, state: State, candidate: Candidate, answer: Answer, role: Role
    ) -> None:
        state.success, state.candidate = answer, candidate
        if candidate.provenance != "made row":
            self.knowledge.learn(state.leaf, answer.url)
        position = self.roles.index(role)
        stronger = self.roles[position + 1 :] if answer.ms < SLOW else []
        if not self.options.has_all_roles:
            stronger = stronger[-1:]
        for other in stronger:
            more, verdict = self._ask_and_judge(state, candidate, other, is_extra=True)
            if verdict is Verdict.OK and more.more:
                answer.more = more.more
