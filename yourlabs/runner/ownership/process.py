"""Processes: who this one is, whether another one lives, and how to ask it to end."""

from __future__ import annotations

import functools
import os
import signal
import socket
import sys
from pathlib import Path

from yourlabs.runner.ownership.record import Identity

HAS_PIDFD = hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal")
"""A pidfd pins one process: what is checked behind it cannot be another one later."""


def start_ticks(pid: int) -> int | None:
    """Return when `pid` started, in clock ticks since boot. None: it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name of the program stands in parentheses and may hold anything.
    fields = stat.rpartition(b")")[2].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


@functools.lru_cache(maxsize=1)
def boot_id() -> str:
    """Return the kernel's name for this boot; empty where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


@functools.lru_cache(maxsize=1)
def pid_namespace() -> int:
    """Return the inode of this process's pid namespace; 0 where there are none."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


@functools.lru_cache(maxsize=8)
def this_process(kind: str) -> Identity:
    """Return the identity of the calling process as an owner of `kind`."""
    pid = os.getpid()
    return Identity(
        pid, start_ticks(pid), boot_id(), pid_namespace(), socket.gethostname(), kind
    )


if hasattr(os, "register_at_fork"):  # pragma: no branch
    # A child may be the first of another namespace.
    os.register_at_fork(after_in_child=pid_namespace.cache_clear)
    os.register_at_fork(after_in_child=this_process.cache_clear)


def is_here(identity: Identity) -> bool:
    """Say whether a pid of `identity` means the same process seen from this one."""
    return identity.boot == boot_id() and identity.pidns == pid_namespace()


def exists(pid: int) -> bool:
    """Say whether there is a process `pid` now. Proves nothing of who it is."""
    if sys.platform == "linux":
        return os.path.exists(f"/proc/{pid}")
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def pidfd_of(identity: Identity) -> int | None:
    """
    Return a descriptor that becomes readable when that process ends.

    None when it has ended, when its pid belongs to another process by now, or where
    there are no pidfds. The caller closes it.
    """
    if not HAS_PIDFD or not is_here(identity):
        return None
    try:
        descriptor = os.pidfd_open(identity.pid)
    except OSError:
        return None
    if start_ticks(identity.pid) == identity.start:
        return descriptor
    os.close(descriptor)
    return None


def holds_lock(pid: int, path: str) -> bool:
    """Say whether `pid` has `path` open with an exclusive flock: the kernel's proof."""
    if sys.platform != "linux":
        return False
    try:
        wanted = os.stat(path)
        descriptors = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return False
    return any(_is_locked_inode(pid, number, wanted) for number in descriptors)


def _is_locked_inode(pid: int, number: str, wanted: os.stat_result) -> bool:
    try:
        found = os.stat(f"/proc/{pid}/fd/{number}")
        if (found.st_dev, found.st_ino) != (wanted.st_dev, wanted.st_ino):
            return False
        lines = Path(f"/proc/{pid}/fdinfo/{number}").read_text().splitlines()
    except OSError:
        return False
    return any(
        line.startswith("lock:") and "FLOCK" in line and "WRITE" in line
        for line in lines
    )


def holders(path: str) -> list[int]:
    """Return the pids that have the lock on `path` through a descriptor of theirs."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if holds_lock(pid, path)]


def terminate(identity: Identity, path: str) -> str | None:
    """
    Send SIGTERM to the owner of `path`, once it is proven to be the owner.

    Returns:
        None when it was sent, else why it was not.
    """
    if not HAS_PIDFD:
        return "this system has no pidfds"
    if not is_here(identity):
        return "it runs in another pid namespace, or before the last boot"
    if identity.pid in (1, os.getpid(), os.getppid()):
        # Pid 1 of a container: whoever restarts it would be surprised.
        return f"pid {identity.pid} is never signalled"
    # The descriptor first, the checks second: they hold for whatever it pins.
    descriptor = pidfd_of(identity)
    if descriptor is None:
        return "it has ended"
    try:
        if not holds_lock(identity.pid, path):
            return f"pid {identity.pid} does not hold the lock"
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
    except ProcessLookupError:
        return "it has ended"
    except PermissionError:
        return f"pid {identity.pid} belongs to another user"
    finally:
        os.close(descriptor)
    return None
