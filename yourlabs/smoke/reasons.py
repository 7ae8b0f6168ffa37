"""Say why a pattern could not be judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yourlabs.smoke import shapes
from yourlabs.smoke.anchors import anchors
from yourlabs.smoke.describing import answered, ending, reads_query
from yourlabs.smoke.discovery import Leaf
from yourlabs.smoke.introspection import is_never_there
from yourlabs.smoke.knowledge import Knowledge
from yourlabs.smoke.outcomes import Verdict
from yourlabs.smoke.state import PATTERN_SECONDS

if TYPE_CHECKING:
    from yourlabs.smoke.run import SmokeRun
    from yourlabs.smoke.state import State


def why_skipped(run: SmokeRun, state: State) -> str:
    """The one reason; empty when a page without parameters was just not there."""
    return (
        _what_kept_from_asking(run, state)
        or _who_refused(run, state)
        or _what_is_needed(run.knowledge, state)
    )


def barrier_of(run: SmokeRun, state: State) -> str:
    """How the requests of a pattern ended before its view; empty without any."""
    if state.is_cut:
        return _what_kept_from_asking(run, state)
    if state.last is None or state.excluded:
        return ""
    return ending(state.last, run.client.base_url)


def _what_kept_from_asking(run: SmokeRun, state: State) -> str:
    shadow = run.knowledge.shadows.get(state.leaf)
    if state.is_cut:
        return f"no verdict within {run.seconds:g} s of the run"
    if state.seconds > PATTERN_SECONDS:
        return f"given up after {state.seconds:.0f} s of requests"
    return f"shadowed by {shadow}" if shadow and not state.tried else ""


def _who_refused(run: SmokeRun, state: State) -> str:
    """What refused all requests alike, whatever their values."""
    seen = set(state.verdicts)
    if seen & {Verdict.MISSING, Verdict.REFUSED}:
        return ""
    if Verdict.DENIED in seen:
        is_by_middleware = state.last is not None and state.last.stopped_by
        told = f": {barrier_of(run, state)}" if is_by_middleware else ""
        return f"forbidden for all roles{told}"
    if Verdict.ELSEWHERE in seen:
        return f"shadowed by a middleware: {barrier_of(run, state)}"
    return ""


def _what_is_needed(knowledge: Knowledge, state: State) -> str:
    leaf, seen = state.leaf, set(state.verdicts)
    is_missing = Verdict.MISSING in seen and not leaf.has_parameters
    if state.needs_query or (is_missing and reads_query(leaf)):
        return "needs a query string"
    if state.refused_with and (is_missing or Verdict.REFUSED in seen):
        return answered(state.refused_with)
    if leaf.has_parameters:
        return _what_is_missing(knowledge, leaf)
    if leaf.is_open_ended:
        return "value for `the rest of the path` unknown"
    if is_missing and _is_root(knowledge, leaf) and is_never_there(leaf.callback):
        return f"{answered(404)}, as the root of other patterns"
    return "" if state.last is not None else "no way found to write its URL"


def _is_root(knowledge: Knowledge, leaf: Leaf) -> bool:
    """Whether other patterns lie below a leaf, as those of an API do."""
    own = leaf.pattern.rstrip("$")
    return any(
        other.pattern.startswith(own) and other.pattern != leaf.pattern
        for other in knowledge.leaves
    )


def _what_is_missing(knowledge: Knowledge, leaf: Leaf) -> str:
    for shape in reversed(leaf.shapes):
        places = shapes.slots(shape)
        found = anchors(knowledge, leaf, shape)
        if found:
            exact = [lookup for lookup, _ in found if lookup.is_exact]
            model = (exact or [found[0][0]])[0].model
            if not knowledge.rows_of(model):
                return f"no row of {model._meta.label}"
        return f"value for `{places[-1].name}` unknown"
    return "no way found to write its URL"
