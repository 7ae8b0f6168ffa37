"""Identifies a RUN_ROOT: an id that differs for each folder, its copies and boots."""

from __future__ import annotations

import fcntl
import os
import uuid
from pathlib import Path

from yourlabs.runner.ownership import files, process
from yourlabs.runner.ownership.descriptors import close_ours
from yourlabs.runner.ownership.root import make_run_root

NAME = "cluster.id"


def identify(root: Path) -> str:
    """
    Return the identity of a RUN_ROOT: a random id, the boot, the device and the inode.

    A copy has the same id and another inode. After a reboot every lock is new, so the
    same folder has another identity then.

    Raises:
        UnusableRunRoot: The id can neither be read nor made.
    """
    make_run_root(root)
    path = os.path.join(root, NAME)
    known = files.read(path, 32)
    if len(known) != 32:
        known = _make(path)
    found = os.stat(root)
    return f"{known.decode('ascii', 'replace')} {process.boot_id()} " + (
        f"{found.st_dev:x} {found.st_ino:x}"
    )


def _make(path: str) -> bytes:
    """Return the id, which one of the processes that make it has written."""
    descriptor = files.open_to_write(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        known = os.pread(descriptor, 32, 0)
        if len(known) != 32:
            known = uuid.uuid4().hex.encode()
            files.write(descriptor, known)
        return known
    except OSError as exc:
        raise files.unusable(path, exc) from None
    finally:
        close_ours(descriptor)
