"""What a thread is doing: its innermost frame."""

from __future__ import annotations

import gc
import os
import sys
import threading
from types import FrameType

_looking = threading.RLock()


def frame_of(ident: int | None) -> FrameType | None:
    """Return the innermost frame of the thread `ident`. None: it has ended."""
    if sys.version_info[:2] != (3, 11):
        return sys._current_frames().get(ident or 0)
    # Python 3.11 makes frames while it holds a lock of the interpreter, at least in its
    # earlier releases. If garbage is collected then, its callbacks let other threads
    # run, and one that ends waits for that lock for ever, with the process.
    with _looking:
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            return sys._current_frames().get(ident or 0)
        finally:
            if was_enabled:
                gc.enable()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    # No child is made in between: nobody would switch the collection on in it.
    os.register_at_fork(
        before=_looking.acquire,
        after_in_parent=_looking.release,
        after_in_child=_looking.release,
    )
