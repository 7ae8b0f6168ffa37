"""Processes: who this one is, whether another one lives, and who holds a lock."""

from __future__ import annotations

import functools
import os
import re
import socket
from contextlib import suppress
from pathlib import Path

from yourlabs.runner.forks import renew_in_child
from yourlabs.runner.ownership.record import Identity


def start_ticks(pid: int) -> int | None:
    """Return when `pid` started, in clock ticks since boot. None: it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name of the program stands in parentheses and may hold anything.
    fields = stat.rpartition(b")")[2].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


@functools.cache
def boot_id() -> str:
    """Return the kernel's name for this boot; empty where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def pid_namespace() -> int:
    """Return the inode of this process's pid namespace; 0 where there are none."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def this_process(kind: str) -> Identity:
    """Return the identity of the calling process as an owner of `kind`."""
    return _identity(os.getpid(), kind)


@functools.cache
def _identity(pid: int, kind: str) -> Identity:
    host = socket.gethostname()
    return Identity(pid, start_ticks(pid), boot_id(), pid_namespace(), host, kind)


# A child in another namespace may have the pid of its parent.
renew_in_child("ownership", _identity.cache_clear)


def is_here(identity: Identity) -> bool:
    """Say whether a pid of `identity` means the same process seen from this one."""
    return identity.boot == boot_id() and identity.pidns == pid_namespace()


def is_elsewhere(identity: Identity) -> bool:
    """Say whether it is on this machine, and its pid is another one seen from here."""
    return identity.boot == boot_id() and identity.pidns != pid_namespace()


def exists(pid: int) -> bool:
    """Say whether there is a process `pid` now. Proves nothing of who it is."""
    try:
        os.kill(pid, 0)
    except OSError as exc:
        return not isinstance(exc, ProcessLookupError)
    return True


def is_alive(identity: Identity) -> bool:
    """Say whether it lives; True also where that cannot be told from here."""
    return not is_here(identity) or start_ticks(identity.pid) == identity.start


def pidfd_of(identity: Identity) -> int | None:
    """
    Return a descriptor that becomes readable when that process ends, to be closed.

    None: it has ended, or there are no pidfds here.
    """
    if not is_here(identity):
        return None
    try:
        descriptor = os.pidfd_open(identity.pid)
    except (OSError, AttributeError):
        return None
    # Looked at after the pidfd was opened: from now on the pid cannot be reused.
    if start_ticks(identity.pid) == identity.start:
        return descriptor
    os.close(descriptor)
    return None


def holds_lock(pid: int, path: str) -> bool:
    """Say whether `pid` has `path` open with an exclusive flock: the kernel's proof."""
    with suppress(OSError):
        wanted = os.stat(path)
        for number in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                if os.path.samestat(os.stat(f"/proc/{pid}/fd/{number}"), wanted):
                    lines = Path(f"/proc/{pid}/fdinfo/{number}").read_text()
                    if re.search(r"^lock:.* WRITE ", lines, re.MULTILINE):
                        return True
    return False


def holders(path: str) -> list[int]:
    """
    Return the pids that have the lock on `path`, as far as the kernel lets us see.

    If their descriptors cannot be read, it is the process that took the lock, which may
    have ended and left the lock to a child.
    """
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if holds_lock(pid, path)] or _takers(path)


def _takers(path: str) -> list[int]:
    try:
        found = os.stat(path)
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    lock = ["FLOCK", "ADVISORY", "WRITE"]
    fields = [line.split() for line in lines]
    of_this = [line for line in fields if line[5] == f"{device}:{found.st_ino}"]
    return [int(line[4]) for line in of_this if line[1:4] == lock]
