"""Refuse connections: by name where a name is looked up, by address otherwise."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from yourlabs.smoke.isolation.guard import GUARD, Check, UnknownHost, Unreachable


class Network:
    """The checks of one run, and the addresses of the names that are allowed."""

    def __init__(self) -> None:
        self._resolved: set[tuple[str, int]] = set()

    def checks(self) -> dict[str, Check]:
        """What to ask before something is sent anywhere."""
        return {
            "socket.getaddrinfo": self._look_up,
            "socket.gethostbyname": self._look_up_alone,
            "socket.gethostbyaddr": self._look_up_alone,
            "socket.getnameinfo": lambda args: self._look_up_alone(args[0]),
            "socket.connect": self._connect,
            "socket.sendto": self._connect,
            "socket.sendmsg": self._connect,
        }

    def _look_up(self, args: tuple[Any, ...]) -> None:
        host, port = _text(args[0]), _text(args[1])
        if not host or _is_address(host):
            return
        if not _allows(host, port):
            name = f"{host}:{port}" if port else host
            GUARD.refuse("hosts", name, UnknownHost, socket.EAI_NONAME)
        with GUARD.trusted():
            found = socket.getaddrinfo(*args)
        self._resolved |= {(str(item[4][0]), int(item[4][1])) for item in found}

    def _look_up_alone(self, args: tuple[Any, ...]) -> None:
        host = _text(args[0])
        # The name of this machine is part of each mail.
        if host and host != socket.gethostname() and not _allows(host, ""):
            GUARD.refuse("hosts", host, UnknownHost, socket.EAI_NONAME)

    def _connect(self, args: tuple[Any, ...]) -> None:
        address = args[1]
        if address is None:
            return
        if isinstance(address, (str, bytes)):
            name = os.fsdecode(address).replace("\0", "@")
            if not GUARD.allows("hosts", name):
                GUARD.refuse("hosts", name, Unreachable, errno.ECONNREFUSED)
            return
        host, port = _text(address[0]), address[1]
        if (host, port) in self._resolved or _allows(host, str(port)):
            return
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        GUARD.refuse("hosts", where, Unreachable, errno.ECONNREFUSED)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return os.fsdecode(value) if isinstance(value, (bytes, str)) else str(value)


def _is_address(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host.partition("%")[0])
        except OSError:
            continue
        return True
    return False


def _allows(host: str, port: str) -> bool:
    return GUARD.allows("hosts", host, f"{host}:{port}", f"[{host}]:{port}")
