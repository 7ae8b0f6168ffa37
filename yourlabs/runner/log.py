"""The logger ``runner``, for threads that must go on whatever a log handler raises."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
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

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(logger, {})
        # Asked twice a run: without a detour.
        self.isEnabledFor = logger.isEnabledFor  # type: ignore[method-assign]

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        """Leave everything as it is: what is `extra` comes with each call."""
        return msg, kwargs

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
        if not self.isEnabledFor(level):
            return
        exc = sys.exc_info()[1] if exc_info is True else exc_info or None
        info = None if exc is None else (type(exc), exc, traceback_of(exc))
        try:
            # Without looking for the caller: each frame that is looked at takes memory
            # for as long as it runs, and a chain's thread runs for ever.
            record = self.logger.makeRecord(
                self.name, level, __file__, 0, msg, args, info, extra=extra
            )
            self.logger.handle(record)
        except BaseException:
            _complain()

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

        Args:
            msg: The message, with `args`.
            exc: Handlers see it as it is, but not for longer than this call.
            text: Its traceback. A formatter would make one each time.
            extra: Attributes of the record.
        """
        if not self.isEnabledFor(logging.ERROR):
            return
        record: logging.LogRecord | None = None
        try:
            info = (type(exc), exc, traceback_of(exc))
            record = self.logger.makeRecord(
                self.name,
                logging.ERROR,
                __file__,
                0,
                msg,
                args,
                info,
                extra=dict(extra),
            )
            record.exc_text = text.rstrip("\n")
            self.logger.handle(record)
        except BaseException:
            _complain()
        if record is not None:
            # Handlers that keep records would keep the frames of the task with them.
            record.exc_info = None


def traceback_of(exc: BaseException) -> Any:
    """Return the traceback of `exc`, whatever its class makes of its attributes."""
    return BaseException.__dict__["__traceback__"].__get__(exc)


def _complain() -> None:
    if logging.raiseExceptions and sys.stderr is not None:
        with suppress(BaseException):
            traceback.print_exc()


logger = HarmlessLogger(logging.getLogger("runner"))
"""What the threads of the runner log with."""
