"""
What a forked child must renew, in a fixed order; and the end of a task's own child.

Threads, locks that other threads held, and open files do not survive a fork, or must
not. Modules register what they have to renew. It is done from the bottom up, not in the
order of imports, so that chains start in a child only after all that they need is new.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from yourlabs.runner.log import logger

ORDER = (
    # Copies of the parent's locks are closed before anything can wait for them.
    "ownership",
    "notify",
    "watcher",
    "registry",
    # From here on a signal ends the child, as any other process.
    "stop signals",
    # Last: starts the chains of a server's worker.
    "autostart",
)
"""The names under which modules register, in the order in which they are renewed."""

_renewals: dict[str, list[Callable[[], object]]] = {name: [] for name in ORDER}


def renew_in_child(name: str, renew: Callable[[], object]) -> None:
    """Have `renew` called in every forked child. `name` is one of `ORDER`."""
    _renewals[name].append(renew)


def _renew_all() -> None:
    for name in ORDER:
        # A copy: what is renewed may register something.
        for renew in list(_renewals[name]):
            try:
                renew()
            except Exception:
                logger.exception("A forked child could not renew its %s.", name)


def end_child(forked_by: str, exc: BaseException | None = None) -> NoReturn:
    """End this child, in which `forked_by` has raised `exc`. None: it returned."""
    code: Any = 0
    if isinstance(exc, SystemExit):
        code = exc.code
    elif exc is not None:
        code = 1
        logger.error(
            "[%s] Process %s, forked by it, ended with an exception.",
            forked_by,
            os.getpid(),
            exc_info=exc,
            extra={"action": "child_failed", "task": forked_by},
        )
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code & 0xFF if isinstance(code, int) else int(code is not None))


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=_renew_all)
