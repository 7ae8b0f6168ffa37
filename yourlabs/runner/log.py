"""The logger ``runner``, for threads that must go on whatever a log handler raises."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType
from typing import Any


class HarmlessLogger(logging.LoggerAdapter):  # type: ignore[type-arg]
    """
    A logger that never raises, whatever its handlers and filters do.

    Not for the main thread: it swallows a KeyboardInterrupt, too.
    """

    def log(
        self,
        level: int,
        msg: object,
        *args: object,
        exc_info: Any = None,
        extra: Mapping[str, object] | None = None,
        text: Any = None,
        **_: Any,
    ) -> None:
        """Log; what a handler raises goes to stderr, as in `logging` itself."""
        if not self.isEnabledFor(level):
            return
        exc = sys.exc_info()[1] if exc_info is True else exc_info or None
        try:
            info = None if exc is None else (type(exc), exc, traceback_of(exc))
            code, line = _caller()
            place = code.co_filename, line
            record = self.logger.makeRecord(
                self.name, level, *place, msg, args, info, code.co_name, extra
            )
            record.exc_text = text
            try:
                self.logger.handle(record)
            finally:
                if text is not None:
                    # Handlers that keep records would keep the task's frames, too.
                    record.exc_info = None
        except BaseException:
            if logging.raiseExceptions and sys.stderr is not None:
                with suppress(BaseException):
                    traceback.print_exc()

    def failure(
        self, msg: str, *args: object, exc: BaseException, text: str, extra: Any
    ) -> None:
        """Log `exc` as an error and keep nothing of it; `text` is its traceback."""
        text = text.rstrip("\n")
        self.log(logging.ERROR, msg, *args, exc_info=exc, extra=extra, text=text)


def _caller() -> tuple[Any, int]:
    """Return the code and the line that logs: `stacklevel` differs between Pythons."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") in (
        __name__,
        logging.__name__,
    ):
        frame = frame.f_back
    assert frame is not None
    return frame.f_code, frame.f_lineno


def traceback_of(exc: BaseException) -> Any:
    """Return the traceback of `exc`, whatever its class makes of its attributes."""
    return BaseException.__dict__["__traceback__"].__get__(exc)


logger = HarmlessLogger(logging.getLogger("runner"), {})
"""The logger of the runner's threads."""
