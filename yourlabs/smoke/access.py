"""Who may see what: compare the statuses of two runs by role."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from yourlabs.smoke.outcomes import Outcome, Result
from yourlabs.smoke.roles import ROLES

Access = dict[str, dict[str, int]]


def access_of(results: list[Result]) -> Access:
    """The status of each pattern by role."""
    return {
        key_of(result): dict(result.statuses)
        for result in results
        if result.statuses and not result.is_listed
    }


def key_of(result: Result) -> str:
    """What a pattern is called in the file."""
    language = f" ({result.language})" if result.language else ""
    return f"{result.name or '-'} /{result.pattern}{language}"


def is_open(status: int | None) -> bool:
    """Whether a status means that somebody was let in."""
    return status is not None and (status < 300 or status == 405)


def newly_open(before: Access, after: Access) -> dict[str, list[str]]:
    """The roles that each pattern became open to."""
    found = {}
    for key, statuses in after.items():
        known = before.get(key)
        if known is None:
            continue
        roles = [
            role
            for role in ROLES
            if is_open(statuses.get(role))
            and role in known
            and not is_open(known[role])
        ]
        if roles:
            found[key] = roles
    return found


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
    after = access_of(results)
    target = Path(path)
    if target.exists():
        before = json.loads(target.read_text(encoding="utf-8"))
        if not isinstance(before, dict) or not all(
            isinstance(roles, dict) for roles in before.values()
        ):
            raise ValueError(f"{path!r} does not hold an object of pattern and roles.")
        opened = newly_open(before, after)
        for result in results:
            roles = [] if result.is_listed else opened.get(key_of(result), [])
            if roles and result.outcome is not Outcome.FAILED:
                result.outcome = Outcome.FAILED
                result.reason = f"became open to {', '.join(roles)}"
        if opened:
            return
        found = {key_of(result) for result in results}
        for key, roles in before.items():
            if key in found or not is_whole:
                after[key] = {**roles, **after.get(key, {})}
    _replace(target, json.dumps(after, indent=1, sort_keys=True) + "\n")


def _replace(target: Path, text: str) -> None:
    folder = target.resolve().parent
    handle, name = tempfile.mkstemp(dir=folder, prefix=target.name)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(name, target)
