"""RUN_ROOT, the directory of the pidfiles: made, and examined for who may write."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import stat
from pathlib import Path
from typing import Literal, NamedTuple

from yourlabs.runner.exceptions import UnusableRunRoot
from yourlabs.runner.log import logger

try:
    import grp
    import pwd
except ImportError:  # pragma: no cover - Windows, refused at start
    grp = pwd = None  # type: ignore[assignment]


class Problem(NamedTuple):
    """What is wrong with RUN_ROOT."""

    severity: Literal["error", "warning"]
    """An error keeps chains from running."""
    text: str
    command: str
    """What mends it, for a shell."""


def make_run_root(root: Path) -> None:
    """Make the directory of the pidfiles where it is missing."""
    try:
        if not root.is_dir():
            root.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as exc:
        msg = (
            f"RUN_ROOT {root} cannot be made: {exc.strerror}. Set RUN_ROOT to a "
            "directory that the user who runs the chain can write to."
        )
        raise UnusableRunRoot(exc.errno, msg) from None


def examine_root(root: str | os.PathLike[str]) -> list[Problem]:
    """
    Return the problems with who may write to RUN_ROOT; empty if it does not exist.

    A user who may create files there can keep chains from running.
    """
    try:
        found = os.stat(root)
    except OSError:
        return []
    name, place = os.fspath(root), shlex.quote(os.fspath(root))
    if found.st_mode & 0o002:
        text = f"RUN_ROOT {name} can be written to by everybody."
        if found.st_mode & stat.S_ISVTX:
            text += " Set it to a directory in there that is the user's own."
            return [Problem("error", text, f"mkdir -m 750 {place}/run")]
        return [Problem("error", text, f"chmod o-w {place}")]
    others = _others_of(found) if found.st_mode & 0o020 else set()
    if not others:
        return []
    text = (
        f"RUN_ROOT {name} can be written to by its group, in which are others than "
        f"its owner: {', '.join(sorted(others)[:5])}."
    )
    return [Problem("warning", text, f"chmod g-w {place}")]


def refuse_shared_root(root: str) -> None:
    """Raise `UnusableRunRoot` if everybody may write to it; log a warning once."""
    try:
        mode = os.stat(root).st_mode
    except OSError:
        return
    if not mode & 0o002 and (root in _examined or not mode & 0o020):
        return
    # Listing the members of a group may take a while: once is enough.
    _examined.add(root)
    for problem in examine_root(root):
        if problem.severity == "error":
            message = f"{problem.text} To mend it: {problem.command}"
            raise UnusableRunRoot(errno.EPERM, message)
        logger.warning(
            "%s To mend it: %s",
            problem.text,
            problem.command,
            extra={"action": "run_root_shared"},
        )


_examined: set[str] = set()


def _others_of(found: os.stat_result) -> set[str]:
    """Return the known members of a file's group other than its owner."""
    users = pwd.getpwall()
    names = {user.pw_name for user in users if user.pw_gid == found.st_gid}
    with contextlib.suppress(KeyError):
        names |= set(grp.getgrgid(found.st_gid).gr_mem)
    return names - {user.pw_name for user in users if user.pw_uid in (found.st_uid, 0)}
