"""What happens in the processes of a server, as lines of JSON in one file."""

from __future__ import annotations

import json
import logging
import os
import time

PATH = os.path.join(os.environ["PLACE"], "journal")


def write(event: str, **facts: object) -> None:
    """Append a line in one write, so that lines of several processes do not mix."""
    line = {"event": event, "pid": os.getpid(), "at": time.monotonic(), **facts}
    descriptor = os.open(PATH, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, json.dumps(line).encode() + b"\n")
    finally:
        os.close(descriptor)


class Handler(logging.Handler):
    """Notes which processes are there to run chains."""

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "role", "") in ("START", "AFTER_READY"):
            write("serves")
