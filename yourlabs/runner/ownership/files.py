"""Files in RUN_ROOT that are locked: opened with suspicion, refused with a reason."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from yourlabs.runner.exceptions import UnusableRunRoot
from yourlabs.runner.ownership import syscalls
from yourlabs.runner.ownership.descriptors import above_streams

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows, refused at start
    fcntl = None  # type: ignore[assignment]

BUSY = (errno.EAGAIN, errno.EACCES)
"""Errors that mean that another one has the lock."""

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT)
"""Errors that are no fault of the file."""

SAFELY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""Not inherited; not followed, so that nobody can point elsewhere; no wait at FIFOs."""

READING = os.O_RDONLY | SAFELY

MAX_BLANK = 16 * 2**20
"""How much that stood in a file before is made blank, in bytes."""

ADVICE = (
    ". Expected a plain file of the user who runs the chain, on a file system that "
    "can be written to: remove it, or set RUN_ROOT to another directory."
)


def lock(path: str) -> int | None:
    """
    Return a descriptor with the lock on the inode that `path` names. None: taken.

    Raises:
        UnusableRunRoot: The file cannot be opened, or is not to be trusted.
    """
    while True:
        descriptor = open_safely(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(descriptor)
            if exc.errno in BUSY:
                return None
            raise unusable(path, exc) from None
        # Replaced between the open and the lock: a lock on it keeps nobody out.
        if names_it(path, descriptor):
            return descriptor
        os.close(descriptor)


def names_it(path: str, descriptor: int) -> bool:
    """Say whether `path` is a name of what is open."""
    found = os.fstat(descriptor)
    return syscalls.names(path, found.st_dev, found.st_ino, crowded=False)


def open_safely(path: str) -> int:
    """Open a file for a lock; make it, and its directory, when they are missing."""
    # Not truncated, because nothing is ours before the lock is.
    flags = os.O_RDWR | os.O_CREAT | SAFELY
    try:
        try:
            descriptor = _open(path, flags)
        except (FileNotFoundError, NotADirectoryError):
            # Only now: this is done each second, and hardly ever the first time.
            make_run_root(Path(path).parent)
            descriptor = _open(path, flags)
    except UnusableRunRoot:
        raise
    except OSError as exc:
        raise unusable(path, exc) from None
    found = os.fstat(descriptor)
    problem = problem_of(found)
    if problem is None:
        if found.st_mode & 0o077:
            # It is older than this program. Who can read it can keep its lock.
            with contextlib.suppress(OSError):
                os.fchmod(descriptor, 0o600)
        return descriptor
    os.close(descriptor)
    raise UnusableRunRoot(errno.EPERM, f"{path}: {problem}{ADVICE}")


def _open(path: str, flags: int) -> int:
    return above_streams(os.open(path, flags, 0o600))


def read(path: str, size: int) -> bytes:
    """Return the first bytes of a file; empty when there is none, or it is none."""
    try:
        descriptor = os.open(path, READING)
    except OSError:
        return b""
    try:
        return os.pread(descriptor, size, 0)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def blank(descriptor: int, start: int, end: int) -> None:
    """Write blanks over what stands in a file between two offsets."""
    for offset in range(start, min(end, MAX_BLANK), start):
        os.pwrite(descriptor, b" " * min(start, end - offset), offset)


def unusable(path: str, exc: OSError) -> UnusableRunRoot:
    """Return the error that says what is wrong with `path`, and what to do."""
    reason = "is a symbolic link" if exc.errno == errno.ELOOP else exc.strerror
    advice = "." if exc.errno in EXHAUSTED else ADVICE
    return UnusableRunRoot(exc.errno, f"{path}: {reason}{advice}")


def problem_of(found: os.stat_result) -> str | None:
    if not stat.S_ISREG(found.st_mode):
        return "is not a plain file"
    if found.st_nlink > 1:
        return "has more than one name (a hard link)"
    if found.st_uid != os.geteuid():
        return f"belongs to uid {found.st_uid}, this process is uid {os.geteuid()}"
    return None


def make_run_root(root: Path) -> None:
    """
    Make the directory of the pidfiles where it is missing.

    Raises:
        UnusableRunRoot: It cannot be made, or is no directory.
    """
    try:
        if not root.is_dir():
            root.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as exc:
        msg = (
            f"RUN_ROOT {root} cannot be made: {exc.strerror}. Set RUN_ROOT to a "
            "directory that the user who runs the chain can write to."
        )
        raise UnusableRunRoot(exc.errno, msg) from None
