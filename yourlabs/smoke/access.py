"""Who may see what: compare the statuses of two runs by role."""

from __future__ import annotations

import json
from pathlib import Path

from yourlabs.smoke.conf import Conf
from yourlabs.smoke.outcomes import Outcome, Result
from yourlabs.smoke.roles import ROLES

Access = dict[str, dict[str, int]]


def access_of(result: Result) -> dict[str, int]:
    """What a pattern answers to each role; 200 for a redirect that lets in.

    Any other redirect leads to a page to log in.
    """
    return {
        role: 200 if role in result.let_in and 300 <= status < 400 else status
        for role, status in result.statuses.items()
    }


def key_of(result: Result) -> str:
    """What a pattern is called in the file."""
    language = f" ({result.language})" if result.language else ""
    return f"{result.name or '-'} /{result.pattern}{language}"


def is_open(status: int | None) -> bool:
    """Whether a status means that somebody was let in."""
    return status is not None and (status < 300 or status == 405)


def is_closed(status: int | None) -> bool:
    """Whether a status means that somebody was refused; a 404 says nothing of it."""
    return status is not None and (status in (401, 403, 407) or 300 <= status < 400)


def newly_open(known: dict[str, int], result: Result) -> list[str]:
    """The roles that a pattern became open to since its statuses were known."""
    statuses = access_of(result)
    return [
        role
        for role in ROLES
        if is_open(statuses.get(role))
        and is_closed(known.get(role))
        and known[role] != result.statuses[role]
    ]


def check_public(results: list[Result], conf: Conf) -> None:
    """Mark as failed what anybody may see without being named as public."""
    for result in results:
        status = result.statuses.get("anonymous", 0)
        is_open = 200 <= status < 300 and "anonymous" in result.let_in
        names = (result.name, "/" + result.pattern, result.url.split("?")[0])
        if is_open and result.outcome is Outcome.OK and conf.is_private(*names):
            result.outcome = Outcome.FAILED
            result.reason = f"anybody may see it ({status}), but it is not public"


def check(path: str, results: list[Result], *, is_whole: bool = False) -> None:
    """Compare results with a file, mark what opened as failed, write the file.

    The file is left as it is when something became open, so that the next run
    fails too; delete it to accept the new state. What a run did not see is kept.

    Args:
        path: The file; it is made when it is not there.
        results: What a run found.
        is_whole: Whether the run was over the whole project, so that patterns
            it did not find are dropped from the file.

    Raises:
        OSError: The file cannot be read or written.
        ValueError: The file is not one that an earlier run wrote.
    """
    seen = [result for result in results if result.statuses and not result.is_listed]
    after = {key_of(result): access_of(result) for result in seen}
    target = Path(path)
    if target.exists():
        before = json.loads(target.read_text(encoding="utf-8"))
        if not isinstance(before, dict) or not all(
            isinstance(roles, dict) for roles in before.values()
        ):
            raise ValueError(f"{path!r} does not hold an object of pattern and roles.")
        if _fail_what_opened(before, seen):
            return
        found = {key_of(result) for result in results}
        for key, roles in before.items():
            if key in found or not is_whole:
                after[key] = {**roles, **after.get(key, {})}
    _replace(target, json.dumps(after, indent=1, sort_keys=True) + "\n")


def _fail_what_opened(before: Access, seen: list[Result]) -> bool:
    """Mark what became open as failed; whether anything did."""
    has_opened = False
    for result in seen:
        roles = newly_open(before.get(key_of(result), {}), result)
        has_opened = has_opened or bool(roles)
        if roles and result.outcome is not Outcome.FAILED:
            result.outcome = Outcome.FAILED
            result.reason = f"became open to {', '.join(roles)}"
    return has_opened


def _replace(target: Path, text: str) -> None:
    new = target.with_name(f"{target.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(target)
