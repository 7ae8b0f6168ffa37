"""Find what several results have in common. Pure: values in, values out."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from yourlabs.smoke.outcomes import Outcome, Result

_HINTS = (
    (r"staticfiles manifest", "Run `manage.py collectstatic` first."),
    (r"webpack|[Vv]ite manifest", "Build the assets of the front end first."),
    (r"offline (manifest|compression)", "Run `manage.py compress` first."),
    (
        r"no such (table|column)|(relation|column) .*does not exist"
        r"|Table .* doesn't exist|Unknown column",
        "Run `manage.py migrate` first, when migrations make it.",
    ),
)
"""What a person has to do about errors that are of a whole installation."""

_PLACE = re.compile(r'^\s*File "(.+)", line (\d+), in ', re.MULTILINE)
_VARYING = re.compile(r"\b[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\b|\d+")

_LIKELY = (
    (r"^redirected to \S+://", "The site answers to another host or scheme."),
    (r"^redirected to", "The site may be in maintenance, or nobody could log in."),
    (r"^answered 50[234]", "The site may be in maintenance mode."),
    (r"^answered 40[04]", "No site or tenant may answer to that host."),
    (r"^answered 40[13]", "A middleware may keep the command out, or all people."),
    (r"^no verdict", "Give it more time with --max-seconds."),
    (r"Refused while smoke tests run", "Allow it as the end of the report says."),
    (r"", "A middleware may be broken."),
)
"""The likeliest reason why requests end in one way before any view is called."""


@dataclass(frozen=True)
class Cause:
    """One reason for which some patterns came to the same end."""

    results: tuple[Result, ...]
    hint: str = ""
    """What to do about it; empty when that depends."""

    @property
    def reason(self) -> str:
        """The reason, as the first pattern has it."""
        return self.results[0].reason

    def as_dict(self) -> dict[str, object]:
        """The cause as the JSON report has it."""
        names = [result.name or result.pattern for result in self.results]
        return {"reason": self.reason, "hint": self.hint, "patterns": names}


def causes_of(results: list[Result]) -> list[Cause]:
    """Put results that have one cause together, in the order of the first of each."""
    groups: dict[object, list[Result]] = {}
    for result in results:
        groups.setdefault(_key(result), []).append(result)
    return [Cause(tuple(group), hint_for(group[0])) for group in groups.values()]


def hint_for(result: Result) -> str:
    """What to do about an error that is of the whole installation; mostly empty."""
    if not result.exception_class:
        return ""
    found = (hint for text, hint in _HINTS if re.search(text, result.exception_text))
    return next(found, "")


def _key(result: Result) -> object:
    """What is equal in results with one cause."""
    if result.barrier:
        return result.outcome, result.barrier
    places = _PLACE.findall(result.traceback)
    if not result.exception_class or not places:
        return id(result)
    text = _VARYING.sub("#", result.exception_text)
    return hint_for(result) or (result.exception_class, places[-1], text)


def untested(results: list[Result]) -> str:
    """Why a run tested nothing, or next to nothing; empty when it did."""
    if not results:
        return "Nothing was tested: there is no URL pattern to request."
    considered = [r for r in results if not r.is_listed and r.reason != "excluded"]
    endings = Counter(r.barrier for r in considered if r.barrier)
    for ending, count in endings.most_common(1):
        if count * 2 > len(considered):
            likely = next(hint for text, hint in _LIKELY if re.search(text, ending))
            return (
                f"Nothing was tested: {count} of {len(considered)} patterns ended "
                f"before their view was called, with {ending!r}. {likely}"
            )
    if all(result.outcome is Outcome.SKIPPED for result in results):
        reasons = Counter(result.reason for result in results).most_common(3)
        told = "; ".join(f"{reason} ({count})" for reason, count in reasons)
        return f"Nothing was tested, as every pattern was skipped: {told}."
    return ""
