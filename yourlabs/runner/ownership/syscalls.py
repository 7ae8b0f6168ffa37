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

What is written many times a second goes through a `Page`, a file that is mapped into
memory: a store takes a twentieth of a call.

All functions may be called from any thread, and in a forked child.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple, cast

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

IN_PLACE = {0xEF53, 0x01021994}
"""Magic numbers of ext4 and tmpfs. They write to a file where it is. Others look for a
new place first, XFS after a copy of the file, and a store for which there is none on a
full disk would end the process. A mapping on overlayfs keeps no lock."""

_FAILED = 2 * sys.maxsize + 1
"""What ``mmap(2)`` returns where it has no address."""

_WRITABLE = 0x200
"""``PyBUF_WRITE``"""

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


class Page:
    """
    The begin of an open file, mapped into memory: what is written is in the file.

    As a descriptor does, it keeps the lock on what it was opened with until it is
    closed. A forked child has no copy of it, and must neither write to nor close it.
    """

    __slots__ = ("_address", "_bytes", "_calls", "_size")

    def __init__(self, descriptor: int, size: int) -> None:
        """
        Map it.

        Args:
            descriptor: Open for reading and writing, on a file that nobody makes
                shorter: to write behind its end would end the process with SIGBUS.
            size: In bytes.

        Raises:
            OSError: The file is shorter, or cannot be mapped, or not safely.
        """
        calls, self._size = _library.mapping, size
        if (
            calls is None
            or os.fstat(descriptor).st_size < size
            or _kind_of_file_system(calls, descriptor) not in IN_PLACE
        ):
            raise OSError(errno.ENOTSUP, "It would not be safe to map it")
        access = mmap.PROT_READ | mmap.PROT_WRITE
        address = calls.mmap(None, size, access, mmap.MAP_SHARED, descriptor, 0)
        if address == _FAILED:
            raise OSError(errno.ENOMEM, "It cannot be mapped")
        self._calls, self._address = calls, address
        try:
            # A forked child would keep the lock for as long as it lives.
            if calls.madvise(address, size, mmap.MADV_DONTFORK) != 0:
                raise OSError(errno.ENOTSUP, "A forked child would have it")
            self._bytes = calls.view(address, size, _WRITABLE)
        except BaseException:
            # Nobody else knows of it, and it keeps the lock.
            calls.munmap(address, size)
            raise

    def write(self, data: bytes, offset: int, *, now: bool = False) -> bool:
        """
        Write a few bytes.

        Args:
            now: Also where it may take long.

        Returns:
            False when it is closed, or a disk may be slow: do it in the usual way.
        """
        began = time.monotonic()
        if began < _careful_until and not now:
            return False
        try:
            self._bytes[offset : offset + len(data)] = data
        except ValueError:
            return False
        _judge(began)
        return True

    def close(self) -> None:
        """Unmap it. Nothing can be written to it any more."""
        try:
            self._bytes.release()
        finally:
            self._calls.munmap(self._address, self._size)


def _kind_of_file_system(calls: _Mapping, descriptor: int) -> int:
    found = _library.buffer()
    if calls.fstatfs(descriptor, found) != 0:
        return 0
    return int.from_bytes(bytes(found)[:8], sys.byteorder)


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
    began = time.monotonic()
    if call is None or began < _careful_until:
        return None
    result = call(*arguments)
    _judge(began)
    return result


def _judge(began: float) -> None:
    """Be careful for a while after what took too long."""
    global _careful_for, _careful_until
    ended = time.monotonic()
    if ended - began > SLOW:
        # One that was only kept from the processor is not followed by another.
        is_again = began - _careful_until < _careful_for
        _careful_for = min(MOST_CAREFUL, 2 * _careful_for) if is_again else CAREFUL
        _careful_until = ended + _careful_for


class _Library:
    """What the C library offers; None: it does not, or not in a known form."""

    def __init__(self) -> None:
        self.pwrite: Callable[..., int] | None = None
        self.statx: Callable[..., int] | None = None
        self.buffer: Callable[[], Any] = bytes
        self.mapping: _Mapping | None = None
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
            self.mapping = _find_mapping(ctypes, library)
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


class _Mapping(NamedTuple):
    """What it takes to map a file into memory."""

    fstatfs: Callable[..., Any]
    mmap: Callable[..., Any]
    madvise: Callable[..., Any]
    munmap: Callable[..., Any]
    view: Callable[..., Any]


def _find_mapping(ctypes: Any, library: Any) -> _Mapping | None:
    """Find it on Linux, in a process of 64 bits."""
    if sys.platform != "linux":  # pragma: no cover - the tests run on Linux
        return None
    address, size, c_int = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    of_file = (c_int, c_int, c_int, ctypes.c_int64)
    of_view = (address, ctypes.c_ssize_t, c_int)
    view = "PyMemoryView_FromMemory"
    calls = (
        _function(library, "fstatfs", (c_int, address), c_int),
        _function(library, "mmap", (address, size, *of_file), address),
        _function(library, "madvise", (address, size, c_int), c_int),
        _function(library, "munmap", (address, size), c_int),
        _function(library, view, of_view, ctypes.py_object),
    )
    return None if None in calls else _Mapping(*cast("Any", calls))


def _function(
    library: Any, name: str, arguments: tuple[Any, ...], result: Any
) -> Callable[..., Any] | None:
    function: Any = getattr(library, name, None)
    if function is not None:
        function.argtypes, function.restype = arguments, result
    return cast("Callable[..., Any] | None", function)


_library = _Library()
