"""
Descriptors of ours, in a process that others use and close descriptors in, too.

Something in the process may close what is not its own, and get the same number for a
file of its own: each is asked for what it is before it is used.
"""

from __future__ import annotations

import contextlib
import os
import select

from yourlabs.runner.ownership import syscalls

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows, refused at start
    fcntl = None  # type: ignore[assignment]


def above_streams(descriptor: int) -> int:
    """
    Return `descriptor`, or another one for it that is none of a standard stream.

    In a process without standard streams, what is printed would go into it.
    """
    if descriptor > 2:
        return descriptor
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(descriptor)


class SelfPipe:
    """A pipe by which a thread that waits is woken, once it is open."""

    def __init__(self) -> None:
        self.reading = self.writing = -1
        self._inode = (0, 0)

    def open(self) -> None:
        """Make the pipe, instead of the one before."""
        self.close()
        reading, writing = os.pipe()
        found = os.fstat(reading)
        self._inode = found.st_dev, found.st_ino
        self.reading, self.writing = above_streams(reading), above_streams(writing)
        os.set_blocking(self.reading, False)
        os.set_blocking(self.writing, False)

    def ring(self) -> None:
        """End the wait, if there is one. Safe in a signal handler."""
        if self._is_ours(self.writing):
            # It may have been rung often.
            with contextlib.suppress(OSError):
                os.write(self.writing, b".")

    def wait(self, seconds: float) -> bool:
        """Wait until it is rung; return False when it cannot be rung any more."""
        if not (self._is_ours(self.reading) and self._is_ours(self.writing)):
            return False
        poll = select.poll()
        poll.register(self.reading, select.POLLIN)
        return self.drain() if poll.poll(seconds * 1000) else True

    def drain(self) -> bool:
        """Get ready to be rung again; return False when it cannot be rung any more."""
        if not self._is_ours(self.reading):
            return False
        try:
            # Nothing is left to read when the other end was closed.
            return os.read(self.reading, 4096) != b""
        except BlockingIOError:
            return True

    def close(self) -> None:
        """Close both ends, if they are open."""
        for descriptor in (self.reading, self.writing):
            if self._is_ours(descriptor):
                os.close(descriptor)
        self.reading = self.writing = -1

    def _is_ours(self, descriptor: int) -> bool:
        return syscalls.is_open(descriptor, *self._inode, crowded=False)
