"""Processes: who this one is, whether another one lives, and who holds a lock."""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path

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
    pid = os.getpid()
    return Identity(
        pid, start_ticks(pid), boot_id(), pid_namespace(), socket.gethostname(), kind
    )


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
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
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
    # Looked at behind the pidfd: what it pins cannot be another process later.
    if start_ticks(identity.pid) == identity.start:
        return descriptor
    os.close(descriptor)
    return None


def holds_lock(pid: int, path: str) -> bool:
    """Say whether `pid` has `path` open with an exclusive flock: the kernel's proof."""
    try:
        wanted = os.stat(path)
        numbers = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return False
    return any(_is_locked(pid, number, wanted) for number in numbers)


def _is_locked(pid: int, number: str, wanted: os.stat_result) -> bool:
    try:
        if not os.path.samestat(os.stat(f"/proc/{pid}/fd/{number}"), wanted):
            return False
        lines = Path(f"/proc/{pid}/fdinfo/{number}").read_text().splitlines()
    except OSError:
        return False
    return any(line.startswith("lock:") and " WRITE " in line for line in lines)


def holders(path: str) -> list[int]:
    """
    Return the pids that have the lock on `path`, as far as the kernel lets us see.

    Of processes whose descriptors may not be looked at, it is who took the lock: it may
    have ended, and have left the lock to a child.
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
    fields = [line.split() for line in lines]
    return [
        int(line[4])
        for line in fields
        if line[1:4] == ["FLOCK", "ADVISORY", "WRITE"]
        and line[5] == f"{device}:{found.st_ino}"
    ]
