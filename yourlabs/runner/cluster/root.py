"""Which RUN_ROOT a file lock is in: not even a copy is taken for it."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

from yourlabs.runner.ownership import files, process
from yourlabs.runner.ownership.root import make_run_root

NAME = "cluster.id"


def identify(root: Path) -> str:
    """
    Return what tells a RUN_ROOT from all others: a random id, its place and the boot.

    A copy has the same id and another place; the same disk of a machine that has
    started again is of another boot, in which every lock is new.

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
    """Write the id once: of all processes that try, one wins and the others read it."""
    temporary = f"{path}.{uuid.uuid4().hex}"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, uuid.uuid4().hex.encode())
        finally:
            os.close(descriptor)
        # A name that is taken stays as it is, unless it holds no id.
        if files.read(path, 32):
            os.replace(temporary, path)
        else:
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
    except OSError as exc:
        raise files.unusable(path, exc) from None
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
    return files.read(path, 32)
