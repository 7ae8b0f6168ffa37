"""The secret key of a project that was given none: made once, kept in a file."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from yourlabs.setup.environment import Invalid

WRITING_TIMEOUT = 2.0
"""Seconds an empty key file is given to be filled by whoever made it."""


def kept_key(path: Path) -> str:
    """Return the key kept at ``path``, made when there is none.

    However many processes call this at once, all of them return the same key, and
    none ever reads half of one.

    Raises:
        OSError: When there is no key and none can be kept there.
        Invalid: When there is a file that cannot be used. The message names it.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        _make(path)
    except PermissionError as error:
        # Where not even the folder can be searched, nothing is known of the file.
        if not os.path.lexists(path):
            raise
        raise Invalid(
            f"{path} cannot be read ({error.strerror}): let this user read it, "
            "or set SECRET_KEY"
        ) from None
    return _read(path)


def passing_key() -> str:
    """Return a key that is kept nowhere."""
    # Not at the top: needed once in the life of a project.
    import secrets

    return secrets.token_urlsafe(48)


def _read(path: Path) -> str:
    deadline = time.monotonic() + WRITING_TIMEOUT
    while True:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            key = file.read(4096).strip()
        if key:
            return key
        # Empty: another process is about to fill it, on a file system where it
        # could not be made whole at once.
        if time.monotonic() > deadline:
            raise Invalid(f"{path} is empty: remove it, or set SECRET_KEY")
        time.sleep(0.01)


def _make(path: Path) -> None:
    os.makedirs(path.parent, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        _write(draft)
        try:
            # Appears under its name only when it is complete; fails when another
            # process was faster, whose key it is then.
            os.link(draft, path)
        except FileExistsError:
            pass
        except OSError:
            # No hard links on this file system.
            with suppress(FileExistsError):
                _write(path)
    finally:
        with suppress(OSError):
            os.unlink(draft)


def _write(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, passing_key().encode() + b"\n")
        os.fsync(descriptor)
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise
    finally:
        os.close(descriptor)
