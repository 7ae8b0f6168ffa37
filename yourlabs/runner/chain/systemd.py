"""
Notify systemd of the state of the process: the protocol of sd_notify(3).

Does nothing if systemd did not ask for it.
"""

from __future__ import annotations

import os
import socket

from yourlabs.runner.log import logger

READY = "READY=1"
STOPPING = "STOPPING=1"
WATCHDOG = "WATCHDOG=1"


def notify(state: str) -> bool:
    """
    Send `state` to the service manager; say whether that was possible.

    Never raises and never blocks.
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


def watchdog_interval() -> float | None:
    """
    Return how often `WATCHDOG` has to be sent, in seconds: half of what systemd waits.

    None when systemd expects nothing of this process: `WATCHDOG_USEC` is not set or
    makes no sense, or `WATCHDOG_PID` names another process.
    """
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 2e6 or None if microseconds.isdecimal() else None
