"""Write the results of a run as text, JSON and JUnit XML."""

from __future__ import annotations

import json
import re
from typing import Any
from xml.etree import ElementTree

from yourlabs.smoke.causes import Cause, causes_of, untested
from yourlabs.smoke.isolation.guard import GUARD, SETTINGS
from yourlabs.smoke.outcomes import Outcome, Result, summarize

SLOWEST = 10
MAX_NAMES = 10
"""How many patterns of one cause are named."""

MAX_VARIABLES = 20
"""How many template variables that were not found are named."""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_json(results: list[Result], notes: list[str]) -> str:
    """The report for programs."""
    failed = [result for result in results if result.outcome is Outcome.FAILED]
    told = untested(results)
    summary: dict[str, Any] = {
        **summarize(results),
        "notes": [told, *notes] if told else notes,
        "causes": [cause.as_dict() for cause in causes_of(failed)],
    }
    summary["allow"] = _allowing(results)
    rows = [result.as_dict() for result in results]
    return json.dumps({"results": rows, "summary": summary}, indent=1, default=str)


def as_text(results: list[Result], notes: list[str], *, verbosity: int = 1) -> str:
    """The report for people."""
    told = untested(results)
    lines = [told, ""] if told else []
    if verbosity > 1:
        group = [result for result in results if result.outcome is Outcome.OK]
        lines += [f"ok ({len(group)})", *map(_line, group), ""]
    for outcome in (Outcome.SKIPPED, Outcome.DOUBTFUL, Outcome.FAILED):
        group = [result for result in results if result.outcome is outcome]
        if group and (verbosity > 0 or outcome is Outcome.FAILED):
            lines.append(f"{outcome.value} ({len(group)})")
            for cause in causes_of(group):
                lines += _entry(cause, is_whole=verbosity > 1)
            lines.append("")
    if verbosity > 0:
        lines += [*_refused(results), *_slowest(results), *_variables(results)]
    lines += [f"note: {note}" for note in notes]
    summary = summarize(results)
    lines.append(
        "{patterns} patterns: {ok} ok, {failed} failed, {doubtful} doubtful, "
        "{skipped} skipped".format(**summary)
    )
    several = [
        f'SMOKE["{key}"] = {json.dumps(names)}'
        for key, names in _allowing(results).items()
    ]
    if several:
        lines.append("To allow it: " + "; ".join(several))
    return "\n".join(lines)


def _entry(cause: Cause, *, is_whole: bool) -> list[str]:
    """The lines on one cause, however many patterns it made fail."""
    first, *others = cause.results
    lines = [_line(first)]
    if others:
        several = others if is_whole else others[:MAX_NAMES]
        names = [result.name or "/" + result.pattern for result in several]
        rest = len(others) - len(several)
        more = f" and {rest} more" if rest else ""
        lines.append(f"    and {len(others)} more: {', '.join(names)}{more}")
    return [*lines, f"    {cause.hint}"] if cause.hint else lines


def _variables(results: list[Result]) -> list[str]:
    """The template variables that were not found, with a page of each."""
    pages: dict[str, list[Result]] = {}
    for result in results:
        for variable in result.missing_variables:
            pages.setdefault(variable, []).append(result)
    lines = [
        f"  {variable}: {found[0].url}"
        + (f" and {len(found) - 1} more" if found[1:] else "")
        for variable, found in pages.items()
    ]
    if len(lines) > MAX_VARIABLES:
        lines[MAX_VARIABLES:] = [f"  and {len(lines) - MAX_VARIABLES} more"]
    return [f"template variables not found ({len(pages)})", *lines, ""] if pages else []


def _refused(results: list[Result]) -> list[str]:
    """What was refused to pages that are fine all the same, or failed for more."""
    several = [r for r in results if r.refusals and not r.is_refused]
    if not several:
        return []
    lines = [
        f"  {r.url or '/' + r.pattern}: it {', '.join(map(str, r.refusals))}"
        for r in several
    ]
    return [f"refused ({len(several)})", *lines, ""]


def _allowing(results: list[Result]) -> dict[str, list[str]]:
    """The settings that would allow what pages were skipped for."""
    found: dict[str, dict[str, None]] = {}
    for kind in SETTINGS:
        wanted = [
            refusal.what
            for result in results
            if result.is_refused
            for refusal in result.refusals
            if refusal.kind == kind
        ]
        if wanted:
            known = GUARD.allowed.get(kind, ())
            found[f"allow_{kind}"] = dict.fromkeys([*known, *sorted(wanted)])
    return {key: list(names) for key, names in found.items()}


def _line(result: Result) -> str:
    where = result.url or "/" + result.pattern
    if result.host and result.url:
        where = f"//{result.host}{result.url}"
    who = f" as {result.role}" if result.role else ""
    status = f" {result.status}" if result.status else ""
    name = f" [{result.name}]" if result.name else ""
    reason = f": {result.reason}" if result.reason else ""
    return f"  {where}{name}{who}{status}{reason}"


def _slowest(results: list[Result]) -> list[str]:
    timed = [result for result in results if result.ms is not None]
    timed.sort(key=lambda result: -(result.ms or 0))
    if not timed:
        return []
    lines = ["slowest"]
    for result in timed[:SLOWEST]:
        same = result.identical_queries
        repeated = f", {same} of them identical" if same > 1 else ""
        cost = f"{result.ms:8.1f} ms  {result.queries:4d} queries{repeated}"
        lines.append(f"  {cost}  {result.url}")
    return [*lines, ""]


def as_junit(results: list[Result], seconds: float) -> str:
    """The report for continuous integration servers, of a run of some seconds."""
    counts = summarize(results)
    suite = ElementTree.Element(
        "testsuite",
        name="smoke",
        tests=str(len(results)),
        failures=str(counts["failed"]),
        errors="0",
        skipped=str(counts["skipped"] + counts["doubtful"]),
        time=f"{seconds:.3f}",
    )
    for result in results:
        _add_case(suite, result)
    texts = [
        f"{result.url or result.pattern} was refused: it {refusal}"
        for result in results
        for refusal in result.refusals
    ]
    if texts:
        output = ElementTree.SubElement(suite, "system-out")
        output.text = _clean("\n".join(texts))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _add_case(suite: ElementTree.Element, result: Result) -> None:
    language = f" ({result.language})" if result.language else ""
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=_clean(result.view or "listed"),
        name=_clean((result.name or result.pattern or "/") + language),
        time=f"{(result.ms or 0) / 1000:.6f}",
    )
    if result.outcome is Outcome.FAILED:
        failure = ElementTree.SubElement(
            case,
            "failure",
            message=_clean(result.reason),
            type=_clean(result.exception_class or "failure"),
        )
        failure.text = _clean(f"{_line(result).strip()}\n\n{result.traceback}")
    elif result.outcome is not Outcome.OK:
        kind = "" if result.outcome is Outcome.SKIPPED else "doubtful: "
        ElementTree.SubElement(case, "skipped", message=_clean(kind + result.reason))


def _clean(text: str) -> str:
    return _NOT_XML.sub("�", text)
