"""The logger ``runner``, for threads that must go on whatever a log handler raises."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Adapter = logging.LoggerAdapter[logging.Logger]
else:
    Adapter = logging.LoggerAdapter


class HarmlessLogger(Adapter):
    """
    A logger whose handlers and filters harm nobody.

    Not for the main thread: it swallows a KeyboardInterrupt, too.
    """

    def log(
        self,
        level: int,
        msg: object,
        *args: object,
        exc_info: Any = None,
        extra: Any = None,
        **_: Any,
    ) -> None:
        """Log, and tell what a handler raises on stderr, as `logging` itself does."""
        exc = sys.exc_info()[1] if exc_info is True else exc_info or None
        self._hand_out(level, msg, args, exc, extra)

    def failure(
        self,
        msg: str,
        *args: object,
        exc: BaseException,
        text: str,
        extra: Mapping[str, object],
    ) -> None:
        """
        Log an exception as an error, and keep nothing of it.

        Handlers see `exc` as it is, but not for longer than this call. `text` is its
        traceback: a formatter would make one each time.
        """
        record = self._hand_out(
            logging.ERROR, msg, args, exc, dict(extra), text.rstrip("\n")
        )
        if record is not None:
            # Handlers that keep records would keep the frames of the task with them.
            record.exc_info = None

    def _hand_out(
        self,
        level: int,
        msg: object,
        args: tuple[object, ...],
        exc: BaseException | None,
        extra: Any,
        text: str | None = None,
    ) -> logging.LogRecord | None:
        """Make the record and have it handled; return it if it could be made."""
        if not self.isEnabledFor(level):
            return None
        record = None
        try:
            info = None if exc is None else (type(exc), exc, traceback_of(exc))
            code, line = _caller()
            record = self.logger.makeRecord(
                self.name,
                level,
                code.co_filename,
                line,
                msg,
                args,
                info,
                code.co_name,
                extra,
            )
            record.exc_text = text
            self.logger.handle(record)
        except BaseException:
            if logging.raiseExceptions and sys.stderr is not None:
                with suppress(BaseException):
                    traceback.print_exc()
        return record


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


class StaysSwitchedOn:
    """
    Switches the logger on again where the code in the block switched it off.

    `logging.config.fileConfig` and `dictConfig` disable all loggers that they do not
    name, unless they are told not to.
    """

    def __enter__(self) -> None:
        self._disabled = logger.logger.disabled
        self._level = logging.root.manager.disable

    def __exit__(self, *_: object) -> None:
        logger.logger.disabled = self._disabled
        if logging.root.manager.disable != self._level:
            logging.disable(self._level)


logger = HarmlessLogger(logging.getLogger("runner"), {})
"""What the threads of the runner log with."""
