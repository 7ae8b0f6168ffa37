"""Turn answers into verdicts, and what is known of a pattern into its result."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.template import TemplateDoesNotExist, TemplateSyntaxError
from django.urls import reverse
from django.utils.datastructures import MultiValueDictKeyError

from yourlabs.smoke.describing import (
    CODE_ERRORS,
    describe,
    failure_reason,
    has_wrong_signature,
    is_of_library,
    login_paths,
    needed,
    shows_error_page,
)
from yourlabs.smoke.discovery import Leaf, speaking
from yourlabs.smoke.introspection import unwrap
from yourlabs.smoke.outcomes import Facts, Outcome, Result, Verdict, judge
from yourlabs.smoke.reasons import barrier_of, why_skipped

if TYPE_CHECKING:
    from yourlabs.smoke.exchange import Answer
    from yourlabs.smoke.knowledge import Candidate
    from yourlabs.smoke.run import SmokeRun
    from yourlabs.smoke.state import State

_LOGIN_WORDS = {"login", "signin", "sign-in", "sign_in", "log-in", "log_in"}
_LOGIN_WORDS |= {"auth_login", "account_login", "account-login"}
_LOGOUT_WORDS = ("logout", "signout", "sign-out", "sign_out", "log-out", "log_out")
_SURE_ERRORS = (ImportError, NameError, TemplateDoesNotExist, TemplateSyntaxError)
"""What not even the odd values of a made row can be blamed for."""

_BLAMED = {"guess": CODE_ERRORS, "earlier": CODE_ERRORS, "made row": _SURE_ERRORS}
"""What a view is to blame for, by where the values are from."""

_VALUE_ERRORS = (
    IndexError,
    KeyError,
    ObjectDoesNotExist,
    TypeError,
    ValidationError,
    ValueError,
)


class Judge:
    """Judges the answers of one run."""

    def __init__(self, run: SmokeRun) -> None:
        self.run = run
        self.conf = run.conf

    def verdict(
        self,
        state: State,
        candidate: Candidate,
        answer: Answer,
        *,
        is_extra: bool = False,
    ) -> Verdict:
        """Judge an answer and note it in the state of its pattern.

        Only failures count of an extra one, whose pattern is known to be healthy with
        another URL or role.
        """
        verdict = self._verdict(state, candidate, answer, is_extra)
        state.let_in.discard(answer.role)
        if verdict is Verdict.OK:
            state.let_in.add(answer.role)
        return verdict

    def _verdict(
        self, state: State, candidate: Candidate, answer: Answer, is_extra: bool
    ) -> Verdict:
        expected = self._expected(state.leaf, answer.url)
        if expected is not None and answer.status == expected:
            return Verdict.OK
        if shows_error_page(state.leaf, answer):
            return Verdict.OK
        facts = self._facts(state.leaf, answer)
        verdict = judge(facts)
        if facts.is_own_view and verdict is not Verdict.DENIED:
            state.is_reached = True
        error = answer.exception
        if isinstance(error, MultiValueDictKeyError) and is_of_library(error):
            # Scripts of the library ask it; how it refuses others is its own affair.
            verdict, state.needs_query = Verdict.REFUSED, True
        elif answer.status == 400 and verdict is Verdict.REFUSED:
            state.needs_query = True
        elif verdict is Verdict.REFUSED or answer.status == 410:
            state.refused_with = answer.status
        if verdict is Verdict.FAILED and needed(answer):
            state.needs = state.needs or (answer, candidate, needed(answer))
            verdict = Verdict.REFUSED
        elif verdict is Verdict.FAILED:
            verdict = self._blame(state, candidate, answer)
        elif verdict is Verdict.OK:
            self._check_limits(state, candidate, answer)
        if not is_extra:
            state.verdicts.append(verdict)
        return verdict

    def _blame(self, state: State, candidate: Candidate, answer: Answer) -> Verdict:
        error, kind = answer.exception, candidate.provenance
        found = (answer, candidate, failure_reason(answer))
        knowledge, is_sure = self.run.knowledge, isinstance(error, _SURE_ERRORS)
        if not is_sure and knowledge.may_be_gone(state.leaf, candidate, error):
            return Verdict.MISSING
        if kind == "made row" and isinstance(error, FileNotFoundError):
            # The file of a made row is a name only.
            return Verdict.MISSING
        if not candidate.is_trusted and type(error).__name__ == "DoesNotExist":
            # It says itself that no row has that value, which nobody but us wrote.
            return Verdict.MISSING
        is_code_error = isinstance(error, _BLAMED.get(kind, ()))
        is_own = candidate.is_trusted or is_code_error or has_wrong_signature(error)
        is_stranger = answer.is_user_made and answer.role != "superuser"
        has_people = any(role.user is not None for role in self.run.roles)
        if is_own and not (is_stranger and has_people):
            state.failure = found
            return Verdict.FAILED
        state.doubt = state.doubt or found
        is_value_error = not is_own and isinstance(error, _VALUE_ERRORS)
        is_guess = kind in ("guess", "made up")
        return Verdict.MISSING if is_value_error and is_guess else Verdict.FAILED

    def _check_limits(self, state: State, candidate: Candidate, answer: Answer) -> None:
        limits = self.run.options
        reason = ""
        if limits.max_ms is not None and answer.ms > limits.max_ms:
            reason = f"took {answer.ms:.0f} ms, more than {limits.max_ms:g}"
        if limits.max_queries is not None and answer.queries > limits.max_queries:
            reason = f"made {answer.queries} queries, more than {limits.max_queries}"
        if reason and state.failure is None:
            state.failure = (answer, candidate, reason)

    def _expected(self, leaf: Leaf, url: str) -> int | None:
        return self.conf.expected(leaf.name, "/" + leaf.pattern, url.split("?")[0])

    def _facts(self, leaf: Leaf, answer: Answer) -> Facts:
        own = leaf.callback
        location = answer.location
        if location:
            absolute = urljoin(self.run.client.base_url + answer.url, location)
            parts = urlsplit(absolute)
            location = parts._replace(scheme="", netloc="").geturl()
            if parts.netloc != self.run.client.host:
                location = absolute
        text = f"{leaf.name} {leaf.pattern} {leaf.view}".lower()
        return Facts(
            status=answer.status,
            path=answer.url.split("?")[0],
            is_own_view=any(view is own or view == own for view in answer.views),
            has_raised=answer.exception is not None and answer.status >= 500,
            location=location,
            login_paths=login_paths(),
            is_login_target=self._is_login(location),
            is_logout=any(word in text for word in _LOGOUT_WORDS),
            admin_index=self._admin_index(leaf) if leaf.has_parameters else "",
        )

    def _is_login(self, location: str) -> bool:
        path = urlsplit(location).path
        if not path or path.startswith("//"):
            return False
        match = self.run.knowledge.finder.find(path)
        if match is None:
            return path.rstrip("/").rsplit("/", 1)[-1].lower() in _LOGIN_WORDS
        if match.leaf.name.split(":")[-1].lower() in _LOGIN_WORDS:
            return True
        view = unwrap(match.leaf.callback)
        if isinstance(view, type):
            return "LoginView" in {owner.__name__ for owner in view.__mro__}
        return str(getattr(view, "__name__", "")).lower() in _LOGIN_WORDS

    def _admin_index(self, leaf: Leaf) -> str:
        admin = self.run.knowledge.facts_of(leaf).model_admin
        if admin is None:
            return ""
        name = getattr(getattr(admin, "admin_site", None), "name", "admin")
        try:
            with speaking(leaf.language):
                return reverse("admin:index", current_app=name)
        except Exception:  # an admin that is not included under its name
            return ""

    # -- results ------------------------------------------------------------

    def result_of(self, state: State) -> Result:
        """Put together what a run says of a pattern."""
        leaf = state.leaf
        site = self.run.site
        result = Result(leaf.name, site.route(leaf.pattern), view=leaf.view)
        result.language, result.host = leaf.language, "" if site.is_main else site.host
        result.statuses, result.let_in = dict(state.statuses), set(state.let_in)
        if state.excluded:
            result.reason = "excluded"
        elif state.failure:
            self._set(result, *state.failure, Outcome.FAILED)
        elif state.success:
            provenance = state.candidate
            assert provenance is not None
            self._set(result, state.success, provenance, "", Outcome.OK)
        elif state.needs:
            self._set(result, *state.needs, Outcome.SKIPPED)
            result.is_refused = True
        elif state.doubt:
            self._set(result, *state.doubt, Outcome.DOUBTFUL)
        else:
            self._explain(result, state)
        if not state.is_reached and result.outcome is not Outcome.OK:
            result.barrier = barrier_of(self.run, state)
        expected = self._expected(leaf, result.url)
        if expected is not None and result.status and not result.is_refused:
            self._compare(result, expected)
        return result

    def _compare(self, result: Result, expected: int) -> None:
        if result.status == expected:
            result.outcome, result.reason = Outcome.OK, ""
            result.exception = None
        else:
            result.outcome = Outcome.FAILED
            result.reason = f"answered {result.status}, expected {expected}"

    def _set(
        self,
        result: Result,
        answer: Answer,
        candidate: Candidate,
        reason: str,
        outcome: Outcome,
    ) -> None:
        result.outcome, result.reason = outcome, reason
        describe(result, answer)
        result.provenance = candidate.provenance

    def _explain(self, result: Result, state: State) -> None:
        if state.last is not None:
            describe(result, state.last)
        if state.last is not None and needed(state.last):
            result.reason, result.is_refused = needed(state.last), True
            return
        result.reason = why_skipped(self.run, state)
        if not result.reason and state.last is not None:
            result.outcome = Outcome.FAILED
            result.reason = f"answered {state.last.status} to every role"
