"""Request every pattern of a project, in rounds, until each has a verdict."""

from __future__ import annotations

import contextlib
import functools
import itertools
import time
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from django.apps import apps
from django.urls import set_urlconf

from yourlabs.smoke import labels, opening, shapes, values
from yourlabs.smoke.anchors import anchors
from yourlabs.smoke.asking import SLOW, Asking
from yourlabs.smoke.discovery import Leaf, PathFinder, main_language
from yourlabs.smoke.hosts import Site, find_sites
from yourlabs.smoke.isolation.sandbox import Sandbox
from yourlabs.smoke.judging import Judge
from yourlabs.smoke.knowledge import Candidate, Knowledge
from yourlabs.smoke.listed import listed_results
from yourlabs.smoke.listings import listed
from yourlabs.smoke.login import log_in
from yourlabs.smoke.making import made_candidate
from yourlabs.smoke.outcomes import Result
from yourlabs.smoke.roles import find_roles
from yourlabs.smoke.state import CouldNotRunError, Options, State

MAX_TRIES = 12
"""How many URLs of one pattern are requested before it is given up."""

ROUNDS = 5
"""How often new links are looked for."""

MAX_EARLIER = 4
"""How many URLs of other patterns' values are tried in each round."""

BASE_SECONDS = 120.0
"""How long a run may take, before the time for each pattern is added."""

LEAF_SECONDS = 0.2
"""How long a run may take for each of its patterns."""


class SmokeRun(Asking):
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
                usable at all, or none of what was asked for is there.
        """
        self.conf = opening.open_conf(self.options.apps)
        opening.load_leaves()
        aliases = opening.open_databases(self.notes)
        is_final = self.options.is_final
        self.sandbox = Sandbox(aliases, self.conf.allowed, is_final=is_final)
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.sandbox.running())
            self.client = opening.make_client(self.sandbox, self.options.timeout)
            stack.enter_context(self.client.running())
            stack.callback(set_urlconf, None)
            sites = find_sites(self.client, self.conf.urlconfs, self.notes)
            results: list[Result] = []
            # The main one comes last, as it is the one that URLs are listed of.
            for site in reversed(sites):
                results = self._results_of(site) + results
            results += listed_results(self)
            self._look_for_names(results)
            self.notes += self.sandbox.notes()
            return results

    def _results_of(self, site: Site) -> list[Result]:
        """Request and judge the patterns of one host."""
        self.site, self.client.urlconf = site, site.urlconf
        self.client.visit(site.host, self.conf.urlconfs, is_secure=site.is_secure)
        set_urlconf(site.urlconf)
        self.roles = self.client.within(find_roles)
        self._set_up(opening.load_leaves(site.urlconf))
        if self.options.is_listed_only:
            return []
        self._rounds()
        return [self.judge.result_of(state) for state in self.states.values()]

    def _look_for_names(self, results: list[Result]) -> None:
        """Tell which patterns were asked for and are not there."""
        known = {
            n for r in results for n in (r.name, r.pattern, "/" + r.pattern, r.url)
        }
        missing = sorted(self.options.only - known)
        if missing and not results:
            raise CouldNotRunError(
                f"No URL pattern has the name or route {missing[0]!r}."
            )
        for name in missing:
            self.notes.append(f"No URL pattern has the name or route {name!r}.")

    def _set_up(self, leaves: list[Leaf]) -> None:
        finder = PathFinder(leaves, self.site.urlconf)
        user = next((r.user for r in reversed(self.roles) if r.user is not None), None)
        self.knowledge = Knowledge(finder, leaves, self.conf.values, user)
        self.knowledge.look_up = self.client.within
        self.judge = Judge(self)
        self.states: dict[Leaf, State] = {}
        self.seconds = self.options.max_seconds or 0.0
        self.all_states: dict[Leaf, State] = {leaf: State(leaf) for leaf in leaves}
        for leaf in leaves:
            if self._is_wanted(leaf):
                state = self.states[leaf] = self.all_states[leaf]
                state.excluded = self.conf.excludes(leaf.name, "/" + leaf.pattern)
        if self.options.max_seconds is None:
            self.seconds = BASE_SECONDS + LEAF_SECONDS * len(self.states)
        self.deadline = time.monotonic() + self.seconds
        if self.options.credentials:
            log_in(self)

    def _is_wanted(self, leaf: Leaf) -> bool:
        if not self.options.asks_for(leaf.name, self.site.route(leaf.pattern)):
            return False
        names = self.options.apps
        return not names or any(self._is_of(leaf, name) for name in names)

    def _is_of(self, leaf: Leaf, name: str) -> bool:
        """Whether a leaf's model, view or namespace is of an installed app."""
        config = next(c for c in apps.get_app_configs() if name in (c.label, c.name))
        model_admin = self.knowledge.facts_of(leaf).model_admin
        model = getattr(model_admin, "model", None)
        if model is not None:
            return bool(model._meta.app_label == config.label)
        is_view = leaf.view.startswith(config.name + ".")
        return is_view or config.label in leaf.namespaces

    # -- the rounds ---------------------------------------------------------

    def _rounds(self) -> None:
        mine = [s for s in self.states.values() if not self._is_translation(s)]
        others = [s for s in self.states.values() if self._is_translation(s)]
        self._try_all(mine, lambda s: values.from_settings(self.knowledge, s.leaf))
        self._try_all(mine, lambda s: values.plain(self.knowledge, s.leaf))
        self._try_all(mine, lambda s: labels.autocompletes(self.knowledge, s.leaf))
        self._try_all(mine, self._linked)
        self._try_all(mine, lambda s: values.from_rows(self.knowledge, s.leaf))
        for _ in range(ROUNDS):
            before = sum(state.is_settled for state in mine)
            self._try_all(mine, self._linked)
            self._try_all(mine, lambda s: listed(self.knowledge, s.leaf))
            self._try_all(mine, self._earlier)
            if sum(state.is_settled for state in mine) == before:
                break
        self._try_all(mine, lambda s: labels.labelled(self.knowledge, s.leaf))
        self._make_rows(mine)
        self._try_all(mine, lambda s: values.made_up(self.knowledge, s.leaf))
        self._try_all(mine, self._linked)
        self._try_all(others, self._translated)
        self._try_all(others, lambda s: values.plain(self.knowledge, s.leaf))
        self._make_rows(others)
        self._try_all(others, lambda s: values.made_up(self.knowledge, s.leaf))
        if self._is_late():
            self._end_early()
        for state in mine:
            if not self._is_late():
                self._look_closer(state)

    def _is_translation(self, state: State) -> bool:
        return state.leaf.language not in (None, main_language())

    def _try_all(
        self, states: list[State], candidates: Callable[[State], Iterable[Candidate]]
    ) -> None:
        settled = sum(state.is_settled for state in self.states.values())
        for state in states:
            if state.is_settled or self._is_late():
                continue
            limit = len(state.tried) + MAX_TRIES
            for candidate in candidates(state):
                if len(state.tried) >= limit or self._is_late():
                    break
                if candidate.url not in state.tried:
                    self.try_candidate(state, candidate)
                if state.is_settled:
                    break
            settled += state.is_settled
            self.progress(settled, len(self.states))

    def _is_late(self) -> bool:
        return time.monotonic() > self.deadline

    def _end_early(self) -> None:
        """Note which patterns the time was too short for."""
        for state in self.states.values():
            state.is_cut = not state.is_settled
        count = sum(state.is_cut for state in self.states.values())
        self.notes.append(
            f"The run took longer than {self.seconds:g} s and ended before {count} "
            "patterns had a verdict. Give it more time with --max-seconds."
        )

    def _linked(self, state: State) -> Iterable[Candidate]:
        links = [Candidate(u, "link", gone=g) for u, g in list(state.links.items())]
        return links + [Candidate(url, "guess") for url in state.hints]

    def _earlier(self, state: State) -> Iterable[Candidate]:
        """URLs made of the values of other patterns' successes, proven ones first."""
        namespace, knowledge = state.leaf.namespaces[:1], self.knowledge
        urls = {
            url: None
            for other in list(self.all_states.values())
            if other.leaf.namespaces[:1] == namespace
            for url in self._urls_like(state, other)
        }
        fresh = [url for url in urls if url not in state.tried]
        fresh.sort(key=lambda url: knowledge.surprise(state.leaf, url))
        for url in fresh[:MAX_EARLIER]:
            is_proven = knowledge.is_proven(state.leaf, url)
            yield Candidate(url, "proven" if is_proven else "earlier")

    def _urls_like(self, state: State, other: State) -> Iterable[str]:
        """URLs of a pattern with the values of another one's success, if it has any."""
        if other.success is None:
            return
        found = self.knowledge.finder.find(other.success.url)
        for shape in reversed(state.leaf.shapes):
            names = {slot.name for slot in shapes.slots(shape)}
            if found is not None and names <= set(found.values):
                url = shapes.fill(shape, found.values)
                if self.knowledge.leads_home(state.leaf, url):
                    yield url

    def _translated(self, state: State) -> Iterable[Candidate]:
        """The URL with which the same pattern succeeded in the main language."""
        for other in self.all_states.values():
            is_same = other.leaf.chain == state.leaf.chain
            if is_same and other.candidate and not self._is_translation(other):
                for url in itertools.islice(self._urls_like(state, other), 1):
                    query = urlsplit(other.success.url).query if other.success else ""
                    url += f"?{query}" if query else ""
                    yield Candidate(url, other.candidate.provenance)

    def _make_rows(self, states: list[State]) -> None:
        for state in states:
            # That guesses were refused says nothing of a row of one's own.
            state.refusals = 0
            if state.is_settled or not state.leaf.has_parameters:
                continue
            if self._is_late():
                break
            for shape in reversed(state.leaf.shapes):
                if not shapes.slots(shape) or state.is_settled:
                    continue
                found = anchors(self.knowledge, state.leaf, shape)
                # What has rows was tried with them, so empty tables come first.
                found.sort(key=lambda one: bool(self.knowledge.rows_of(one[0].model)))
                for lookup, slot_name in found[:2]:
                    needs = (self.knowledge, state.leaf, shape, lookup.model, slot_name)
                    prepare = functools.partial(made_candidate, *needs)
                    self.try_candidate(
                        state, Candidate("", "made row", prepare=prepare)
                    )
                    if state.is_settled:
                        break

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
            gone = state.links.get(url, frozenset())
            candidate = Candidate(url, "link", gone=gone)
            self._ask_and_judge(state, candidate, who, is_extra=True)
            if state.failure:
                return

    def _linked_again(self, state: State) -> list[str]:
        others = [url for url in state.links if url not in state.tried]
        return others[:3]
