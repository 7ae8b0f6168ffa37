"""A child that was forked by code of the user, and came back out of it."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, NoReturn

from yourlabs.runner.log import logger


def end_child(forked_by: str, exc: BaseException | None = None) -> NoReturn:
    """
    End this process, which must not go on as a chain.

    Args:
        forked_by: Whose code forked it, for the log.
        exc: What that code raised in the child; `sys.exit` in it is no failure.
            None: it returned.
    """
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
