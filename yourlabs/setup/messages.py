"""What setup says: lines on stderr, each once a process, never on stdout."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

_said: set[str] = set()
_warned: set[str] = set()


def in_reloader_child() -> bool:
    """Whether an autoreloader started this process, having spoken already."""
    return any(
        os.environ.get(name) == "true" for name in ("RUN_MAIN", "WERKZEUG_RUN_MAIN")
    )


def notice(line: str, *, once: bool = True) -> None:
    """Say what was done, unless ``YOURLABS_QUIET`` is set.

    Args:
        line: What to say, without the ``[yourlabs]`` prefix.
        once: Whether the same line is left out the next time in this process.
            Django imports a settings module that failed again and again.
    """
    if os.environ.get("YOURLABS_QUIET", "") in ("", "0"):
        _say(line, once=once)


def disk_warning(line: str, *, always: bool) -> None:
    """Say that a disk cannot be written, whatever ``YOURLABS_QUIET`` says.

    Args:
        line: What to say, once a process.
        always: Whether to say it although a warning was given before: it is most
            often the same disk.
    """
    if always or not _warned:
        _warned.add(line)
        _say(f"Warning: {line}", once=True)


def _say(line: str, *, once: bool) -> None:
    if in_reloader_child() or (once and line in _said):
        return
    _said.add(line)
    # A process without a usable stderr (a daemon, pythonw) must start as well. Not
    # print(): where there is no stderr, that would choose stdout.
    with suppress(AttributeError, OSError, ValueError):
        sys.stderr.write(f"[yourlabs] {line}\n")
        sys.stderr.flush()
