"""
The system calls of a run, which in a crowd do not give the interpreter away.

Python lets other threads go on during each call to the kernel. With a thousand chains
in a process each such moment is a queue to stand in again, and that takes many times as
long as the call. A run needs two: the task begins, the task ends. They write a few
bytes to a page that the kernel keeps in memory for as long as the file is open. About
once a second a chain makes three more: is the pidfile still the one that is locked, is
the descriptor still open on it, and may somebody have asked for the chain. These find a
path whose directories the kernel keeps there, too. As a rule none waits for a disk.
One that does holds the whole process up, so they are made in the usual way after it for
a while, and always in a process with fewer chains, in which nothing is gained. So they
are where the C library cannot be called like this.

All functions may be called from any thread, and in a forked child.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from collections.abc import Callable
from typing import Any, cast

CROWD = 300
"""So many chains in one process stand in each other's way."""

SLOW = 0.005
"""A call that took longer has held the others up, in seconds: after so long the
interpreter asks a thread that computes to give way."""

CAREFUL, MOST_CAREFUL = 1.0, 60.0
"""How long calls give the interpreter away after a slow one, in seconds: at first, and
when one slow call follows another."""

_AT_FDCWD, _AT_SYMLINK_NOFOLLOW, _AT_EMPTY_PATH, _STATX_INO = -100, 0x100, 0x1000, 0x100

_STATX = struct.Struct("=I28xQ96xII112x")
"""Of what ``statx(2)`` tells: what it knows, the inode, two numbers of the device."""

_careful_for = CAREFUL
_careful_until = 0.0


def pwrite(descriptor: int, data: bytes, offset: int, *, crowded: bool) -> None:
    """
    Write a few bytes to a local file, as `os.pwrite` does.

    Args:
        crowded: Do not give the interpreter away.

    Raises:
        OSError: They could not be written.
    """
    if crowded:
        size = len(data)
        if _kept(_library.pwrite, descriptor, data, size, offset) == size:
            return
    os.pwrite(descriptor, data, offset)


def names(path: str, device: int, inode: int, *, crowded: bool) -> bool:
    """
    Say whether `path` is a name of that inode; a symbolic link to it is none.

    Args:
        crowded: Do not give the interpreter away.
    """
    if crowded:
        name = os.fsencode(path)
        if _kept_inode(_AT_FDCWD, name, _AT_SYMLINK_NOFOLLOW) == (device, inode):
            return True
    # Nobody is told that a file is gone on the word of one call.
    try:
        usual = os.stat(path, follow_symlinks=False)
    except OSError:
        return False
    return (usual.st_dev, usual.st_ino) == (device, inode)


def is_open(descriptor: int, device: int, inode: int, *, crowded: bool) -> bool:
    """
    Say whether `descriptor` is open, on that inode.

    Args:
        crowded: Do not give the interpreter away.
    """
    if crowded and _kept_inode(descriptor, b"", _AT_EMPTY_PATH) == (device, inode):
        return True
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (device, inode)


def may_exist(path: str) -> bool:
    """Say whether there may be a file at `path`; do not give the interpreter away."""
    name, found = os.fsencode(path), _library.buffer()
    # Not access(2), which asks for who started the process.
    call = _library.statx
    return _kept(call, _AT_FDCWD, name, _AT_SYMLINK_NOFOLLOW, 0, found) != -1


def _kept_inode(
    directory: int, name: bytes, flags: int, library: _Library | None = None
) -> tuple[int, int] | None:
    """Return device and inode, in a call that keeps the interpreter. None: unknown."""
    library = library or _library
    found = library.buffer()
    if _kept(library.statx, directory, name, flags, _STATX_INO, found) != 0:
        return None
    known, inode, major, minor = _STATX.unpack(found)
    return (os.makedev(major, minor), inode) if known & _STATX_INO else None


def _kept(call: Callable[..., int] | None, *arguments: Any) -> int | None:
    """Make a call that keeps the interpreter. None: it is to be made as usual."""
    global _careful_for, _careful_until
    began = time.monotonic()
    if call is None or began < _careful_until:
        return None
    result = call(*arguments)
    ended = time.monotonic()
    if ended - began > SLOW:
        # One that was only kept from the processor is not followed by another.
        is_again = began - _careful_until < _careful_for
        _careful_for = min(MOST_CAREFUL, 2 * _careful_for) if is_again else CAREFUL
        _careful_until = ended + _careful_for
    return result


class _Library:
    """What the C library offers; None: it does not, or not in a known form."""

    def __init__(self) -> None:
        self.pwrite: Callable[..., int] | None = None
        self.statx: Callable[..., int] | None = None
        self.buffer: Callable[[], Any] = bytes
        try:
            import ctypes

            library = ctypes.PyDLL(None)
        except (ImportError, OSError, TypeError):
            return
        # The types of C on Linux and macOS, in a process of 64 bits.
        c_int, c_bytes = ctypes.c_int, ctypes.c_char_p
        self.buffer = ctypes.c_char * _STATX.size
        if sys.maxsize > 2**32:  # pragma: no branch - none of the others is tested
            self.pwrite = _function(
                library,
                "pwrite",
                (c_int, c_bytes, ctypes.c_size_t, ctypes.c_int64),
                ctypes.c_ssize_t,
            )
        if sys.platform == "linux":  # pragma: no branch
            self.statx = _function(
                library,
                "statx",
                (c_int, c_bytes, c_int, ctypes.c_uint, ctypes.c_void_p),
                c_int,
            )
        # A container may refuse it for every path.
        if _kept_inode(_AT_FDCWD, b"/", 0, self) is None:
            self.statx = None


def _function(
    library: Any, name: str, arguments: tuple[Any, ...], result: Any
) -> Callable[..., int] | None:
    function: Any = getattr(library, name, None)
    if function is not None:
        function.argtypes, function.restype = arguments, result
    return cast("Callable[..., int] | None", function)


_library = _Library()
