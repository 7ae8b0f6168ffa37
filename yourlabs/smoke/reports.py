"""Write the results of a run as text, JSON and JUnit XML."""

from __future__ import annotations

import json
import re
from typing import Any
from xml.etree import ElementTree

from yourlabs.smoke.isolation.guard import GUARD, SETTINGS
from yourlabs.smoke.outcomes import Outcome, Result, summarize

SLOWEST = 10
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_json(results: list[Result], notes: list[str]) -> str:
    """The report for programs."""
    summary: dict[str, Any] = {**summarize(results), "notes": notes}
    summary["allow"] = _allowing(results)
    rows = [result.as_dict() for result in results]
    return json.dumps({"results": rows, "summary": summary}, indent=1, default=str)


def as_text(results: list[Result], notes: list[str], *, verbosity: int = 1) -> str:
    """The report for people."""
    lines = []
    for outcome in (Outcome.SKIPPED, Outcome.DOUBTFUL, Outcome.FAILED):
        group = [result for result in results if result.outcome is outcome]
        if group and (verbosity > 0 or outcome is Outcome.FAILED):
            lines += [f"{outcome.value} ({len(group)})", *map(_line, group), ""]
    if verbosity > 1:
        group = [result for result in results if result.outcome is Outcome.OK]
        lines = [f"ok ({len(group)})", *map(_line, group), "", *lines]
    if verbosity > 0:
        lines += [*_refused(results), *_slowest(results)]
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
    """The report for continuous integration servers.

    Args:
        results: What the run found.
        seconds: How long the run took.
    """
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
