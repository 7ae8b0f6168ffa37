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


def check(path: str, results: list[Result]) -> None:
    """Compare results with a file, mark what opened as failed, write the file.

    The file is left as it is when something became open, so that the next run
    fails too; delete it to accept the new state.

    Raises:
        OSError: The file cannot be read or written.
        ValueError: The file is not one that an earlier run wrote.
    """
    after = access_of(results)
    target = Path(path)
    if target.exists():
        before = json.loads(target.read_text(encoding="utf-8"))
        if not isinstance(before, dict):
            raise ValueError(f"{path!r} does not hold an object of pattern and roles.")
        opened = newly_open(before, after)
        for result in results:
            roles = opened.get(key_of(result))
            if roles and result.outcome is not Outcome.FAILED:
                result.outcome = Outcome.FAILED
                result.reason = f"became open to {', '.join(roles)}"
        if opened:
            return
    _replace(target, json.dumps(after, indent=1, sort_keys=True) + "\n")


def _replace(target: Path, text: str) -> None:
    folder = target.resolve().parent
    handle, name = tempfile.mkstemp(dir=folder, prefix=target.name)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(name, target)
