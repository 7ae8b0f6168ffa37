"""
Files in RUN_ROOT: each is ours, or is refused.

Otherwise a user who may create a file there could end a chain, or have it write
elsewhere. So each must be a plain file of the user who runs the chain, with one name
and no access for others; if not, an error names it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import stat
from pathlib import Path

from yourlabs.runner.exceptions import UnusableRunRoot
from yourlabs.runner.ownership.descriptors import close_ours, inode_of, open_ours
from yourlabs.runner.ownership.root import make_run_root, refuse_shared_root

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows, refused at start
    fcntl = None  # type: ignore[assignment]

# How the names of a chain's files end.
SUFFIXES = (".lock", ".control", ".json", ".takeover", ".pid")

BUSY = (errno.EAGAIN, errno.EACCES)  # errors that mean that another one has the lock

# Errors that are no fault of the file.
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT)
# Not inherited, links are not followed, and opening a FIFO does not wait.
SAFELY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

ADVICE = (
    "Expected a plain file of the user who runs the chain, on a file system that can "
    "be written to: remove it, or set RUN_ROOT to another directory."
)


def lock(path: str, *, hand_over: bool = False) -> int | None:
    """
    Return a descriptor with the lock on the file `path`, which is made. None: taken.

    It is to be closed with `close_ours`. With `hand_over` root gives the file to the
    user who runs the chain.

    Raises:
        UnusableRunRoot: The file, or RUN_ROOT, is not to be trusted, or not usable.
    """
    refuse_shared_root(os.path.dirname(path))
    while True:
        descriptor = open_to_write(path, hand_over=hand_over)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            close_ours(descriptor)
            if exc.errno in BUSY:
                return None
            raise unusable(path, exc) from None
        # Replaced between the open and the lock: a lock on it keeps nobody out.
        inode = inode_of(descriptor)
        if inode is not None and inode == inode_of(path):
            return descriptor
        close_ours(descriptor)


def is_locked(descriptor: int) -> bool:
    """Say whether another one has the lock on what is open."""
    try:
        # A shared lock: processes that look do not keep each other out.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as exc:
        return exc.errno in BUSY
    return False


def open_to_write(path: str, *, hand_over: bool = False) -> int:
    """Open a file of ours; make it, and its directory, when they are missing."""
    # Not truncated: without the lock the content is another process's.
    flags = os.O_RDWR | os.O_CREAT | SAFELY
    for _ in range(2):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            descriptor = _open(path, flags, trusts_keeper=hand_over)
            if hand_over and os.geteuid() == 0:
                os.fchown(descriptor, keeper_of(path), -1)
            return descriptor
        # Only if needed: this function is called each second.
        make_run_root(Path(path).parent)
    raise unusable(path, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))


def open_to_read(path: str) -> int:
    """Open a file of ours, to be closed with `close_ours`, if there is one."""
    return _open(path, os.O_RDONLY | SAFELY, trusts_keeper=True)


def _open(path: str, flags: int, *, trusts_keeper: bool) -> int:
    try:
        descriptor = open_ours(lambda: os.open(path, flags, 0o600))
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as exc:
        raise unusable(path, exc) from None
    found = os.fstat(descriptor)
    problem = _problem_of(path, found, trusts_keeper=trusts_keeper)
    if problem is None:
        if found.st_mode & 0o077:
            # Another user who can open it could keep its lock.
            with contextlib.suppress(OSError):
                os.fchmod(descriptor, 0o600)
        return descriptor
    close_ours(descriptor)
    raise UnusableRunRoot(errno.EPERM, f"{path} {problem}")


def keeper_of(path: str) -> int:
    """Return the uid of who runs the chain that a file in RUN_ROOT is of."""
    for suffix in SUFFIXES:
        path = path.removesuffix(suffix)
    candidates = [f"{path}.pid"]
    if os.geteuid() == 0:
        # It never ran: the owner of the directory will run it.
        candidates.append(os.path.dirname(path))
    for candidate in candidates:
        with contextlib.suppress(OSError):
            return os.stat(candidate, follow_symlinks=False).st_uid
    return os.geteuid()


def read(path: str, size: int) -> bytes:
    """Return the first bytes of a file of ours; empty when there is none."""
    try:
        descriptor = open_to_read(path)
    except OSError:
        return b""
    try:
        return os.pread(descriptor, size, 0)
    except OSError:
        return b""
    finally:
        close_ours(descriptor)


def write(descriptor: int, block: bytes) -> None:
    """Write `block` at the beginning of a file, all of it or none."""
    if os.pwrite(descriptor, block, 0) != len(block):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def unusable(path: str, exc: OSError) -> UnusableRunRoot:
    """Return the error that says what is wrong with `path`, and what to do."""
    if isinstance(exc, UnusableRunRoot):
        return exc
    if exc.errno in EXHAUSTED:
        return UnusableRunRoot(exc.errno, f"{path}: {exc.strerror}.")
    with contextlib.suppress(OSError):
        found = os.stat(path, follow_symlinks=False)
        problem = _problem_of(path, found, trusts_keeper=False)
        if problem is not None:
            return UnusableRunRoot(exc.errno, f"{path} {problem}")
    return UnusableRunRoot(exc.errno, f"{path}: {exc.strerror}. {ADVICE}")


def _problem_of(path: str, found: os.stat_result, *, trusts_keeper: bool) -> str | None:
    if stat.S_ISLNK(found.st_mode):
        return f"is a symbolic link. {ADVICE}"
    if not stat.S_ISREG(found.st_mode):
        return f"is not a plain file. {ADVICE}"
    if found.st_nlink > 1:
        return f"has more than one name (a hard link). {ADVICE}"
    owner, user = found.st_uid, os.geteuid()
    # Root may look at chains of others, and steer them.
    if owner == user or (trusts_keeper and user == 0 and owner == keeper_of(path)):
        return None
    return (
        f"belongs to uid {owner}, this process is uid {user}. Run it as uid {owner}, "
        f"or let uid {user} have the file: chown {user} {shlex.quote(path)}"
    )
