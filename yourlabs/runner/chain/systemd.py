"""
Tell systemd how the process is doing: the protocol of sd_notify(3), without a library.

Everything here does nothing, and costs nothing, where systemd did not ask for it.
"""

from __future__ import annotations

import logging
import os
import socket
from datetime import timedelta

logger = logging.getLogger("runner")

READY = "READY=1"
STOPPING = "STOPPING=1"
WATCHDOG = "WATCHDOG=1"


def notify(state: str) -> bool:
    """
    Send `state` to the service manager, if there is one that listens.

    Never raises and never blocks: a manager that does not read costs a report, not a
    chain.

    Args:
        state: `READY`, `STOPPING`, `WATCHDOG`, or lines of sd_notify(3) such as
            ``STATUS=...``, joined by newlines.

    Returns:
        Whether it was sent. False without `NOTIFY_SOCKET`.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address[0] not in "/@":
        logger.warning(
            "NOTIFY_SOCKET is %r; expected an absolute path or '@' and a name. "
            "Nothing is told to systemd.",
            address,
        )
        return False
    if address[0] == "@":
        # How the environment spells Linux' abstract names, which begin with a NUL.
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.setblocking(False)
            connection.connect(address)
            connection.sendall(state.encode())
    except OSError as error:
        logger.debug("Could not tell systemd %r: %s", state, error)
        return False
    return True


def watchdog_interval() -> timedelta | None:
    """
    Return how often `WATCHDOG` has to be sent: half of what systemd waits for.

    None when systemd expects nothing of this process: `WATCHDOG_USEC` is not set or
    makes no sense, or `WATCHDOG_PID` names another process.
    """
    pid = os.environ.get("WATCHDOG_PID")
    if pid is not None and pid != str(os.getpid()):
        return None
    try:
        microseconds = int(os.environ.get("WATCHDOG_USEC", "0"))
        interval = timedelta(microseconds=microseconds) / 2
    except (ValueError, OverflowError):
        return None
    return interval if interval > timedelta(0) else None
