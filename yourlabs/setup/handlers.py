"""Log handlers and formatters that settings name. Imported by ``logging.config``."""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import sys
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from yourlabs.setup.context import warning
from yourlabs.setup.environment import lock

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class RotatingFileHandler(logging.handlers.RotatingFileHandler):
    """Rotate a file that several processes write, and survive a full disk."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, into the file that has the name by now."""
        if self.stream is not None and not self._is_current():
            self._close_stream()
        super().emit(record)

    def doRollover(self) -> None:  # noqa: N802 - the name of the standard library
        """Rotate, unless another process just did."""
        self._close_stream()
        # The folder itself is locked: a lock file would have to be kept for ever.
        folder = os.open(os.path.dirname(self.baseFilename), os.O_RDONLY)
        try:
            lock(folder)
            with suppress(FileNotFoundError):
                if os.path.getsize(self.baseFilename) > self.maxBytes // 2:
                    super().doRollover()
        finally:
            os.close(folder)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Say once that the disk is the reason: the console has the record too."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        self._close_stream()
        folder = os.path.dirname(self.baseFilename)
        warning(f"cannot write logs to {folder} ({error.strerror})")

    def _is_current(self) -> bool:
        try:
            written = os.fstat(self.stream.fileno())  # type: ignore[union-attr]
            return os.path.samestat(os.stat(self.baseFilename), written)
        except OSError:
            return False

    def _close_stream(self) -> None:
        stream, self.stream = self.stream, None
        if stream is not None:
            # What a full disk refused is still in the buffer, and refused again.
            with suppress(OSError):
                stream.close()


class JsonFormatter(logging.Formatter):
    """Format a record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object. Extra attributes are kept when they are plain values."""
        created = datetime.fromtimestamp(record.created, tz=timezone.utc)
        entry: dict[str, Any] = {
            "time": created.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
            "thread": record.threadName,
        }
        for name, value in vars(record).items():
            is_plain = value is None or isinstance(value, (str, int, float))
            if is_plain and name not in _STANDARD and name not in entry:
                entry[name] = value
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            entry["stack"] = self.formatStack(record.stack_info)
        return json.dumps(entry)
