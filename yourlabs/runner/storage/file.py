"""
What a chain's next owner must know: ``RUN_ROOT/<chain>.json``.

It is written by the owner alone and replaced in one step, so a kill leaves the old file
or the new one. It is never trusted: what is not a sane file of ours is set aside under
another name, and the chain goes on as if there had been none.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

from yourlabs.runner.log import logger
from yourlabs.runner.ownership.files import EXHAUSTED

VERSION = 1

MAX_SIZE = 16_777_216
"""A larger file is none of ours, in bytes."""

NOTHING: frozenset[str] = frozenset()

MAX_ASIDE = 100
"""How many names are tried for a file that is set aside."""


class FileState:
    """
    A `State` in a JSON file. Between `load` and `close` it takes values.

    In a forked child it is closed: the file is the parent's.
    """

    # There is one a chain, and there may be a thousand chains.
    __slots__ = (
        "_changed",
        "_complained",
        "_lock",
        "_open",
        "_refused",
        "_sections",
        "path",
    )

    def __init__(self, path: str | Path) -> None:
        self.path = os.fspath(path)
        self._lock = threading.Lock()
        # As the text that is written: the values would take five times the memory.
        self._sections: dict[str, str] = {}
        self._open = False
        self._changed = False
        self._complained = False
        self._refused = NOTHING

    def get(self, section: str) -> Any:
        """Return what was put, by this owner or the last one. None: nothing."""
        with self._lock:
            text = self._sections.get(section)
        return None if text is None else json.loads(text)

    def put(self, section: str, value: Any, *, now: bool = False) -> None:
        """
        Keep `value`, which must be plain JSON: what is not is logged once.

        Ignored once another process may own the chain. It never raises: a full disk
        is logged once, and tried again with the next write.
        """
        with self._lock:
            if not self._open:
                return
            self._keep(section, value)
            self._changed = True
            if now:
                self._write()

    def load(self) -> None:
        """
        Read what the last owner left. To be called by the owner only.

        Raises:
            OSError: It cannot be read now, by no fault of the file: no descriptor or
                no memory is to be had.
        """
        _open_states.add(self)
        with self._lock:
            self._sections = {}
            for section, value in self._read().items():
                self._keep(section, value)
            self._open = True
            self._changed = False

    def forget(self) -> None:
        """Close it in a forked child, where another thread may have had the lock."""
        self._lock = threading.Lock()
        self._open = False

    def save(self) -> None:
        """Write what has changed."""
        with self._lock:
            if self._open and self._changed:
                self._write()

    def close(self, *, write: bool = True) -> None:
        """Take nothing more; write what has changed, unless another may own it."""
        with self._lock:
            if self._open and self._changed and write:
                self._write()
            self._open = False
        _open_states.discard(self)

    def _write(self) -> None:
        temporary = f"{self.path}.new"
        content = self._encode().encode()
        try:
            with contextlib.suppress(IsADirectoryError, FileNotFoundError):
                # A foreign thing under this name: made anew, never written through.
                os.unlink(temporary)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(temporary, flags, 0o600)
            try:
                while content:
                    content = content[os.write(descriptor, content) :]
            finally:
                os.close(descriptor)
            os.replace(temporary, self.path)
        except OSError as exc:
            self._complain(exc)
            return
        self._changed = False
        self._complained = False

    def _keep(self, section: str, value: Any) -> None:
        try:
            self._sections[section] = json.dumps(value)
        except (TypeError, ValueError, RecursionError) as exc:
            # What was kept before is true no longer.
            self._sections.pop(section, None)
            self._refuse(section, exc)

    def _encode(self) -> str:
        parts = [f'"version": {VERSION}']
        parts += [
            f"{json.dumps(section)}: {text}"
            for section, text in self._sections.items()
            if section != "version"
        ]
        return f"{{{', '.join(parts)}}}"

    def _refuse(self, section: str, exc: Exception) -> None:
        if section in self._refused:
            return
        self._refused |= {section}
        logger.error(
            "The section %r cannot be written to %s: %s. Expected plain JSON values; "
            "the other sections are written.",
            section,
            self.path,
            exc,
            extra={"action": "state_unwritable"},
        )

    def _complain(self, exc: OSError) -> None:
        if self._complained:
            return
        self._complained = True
        logger.error(
            "The state of the chain cannot be written to %s: %s. It is kept in memory "
            "and tried again; a new owner would not know of it.",
            self.path,
            exc.strerror,
            extra={"action": "state_unwritable"},
        )

    def _read(self) -> dict[str, Any]:
        try:
            return self._parse()
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as exc:
            if isinstance(exc, OSError) and exc.errno in EXHAUSTED:
                raise
            self._set_aside(exc)
            return {}

    def _parse(self) -> dict[str, Any]:
        descriptor = os.open(
            self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        )
        try:
            found = os.fstat(descriptor)
            _check(found)
            values = json.loads(os.read(descriptor, found.st_size))
        finally:
            os.close(descriptor)
        if not isinstance(values, dict):
            msg = f"it holds a {type(values).__name__}, expected an object"
            raise ValueError(msg)
        version = values.pop("version", None)
        if version != VERSION or isinstance(version, bool):
            msg = f"its version is {version!r}, expected {VERSION}"
            raise ValueError(msg)
        return values

    def _set_aside(self, exc: Exception) -> None:
        """Move what cannot be read out of the way, and say so."""
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        for number in range(1, MAX_ASIDE):
            aside = f"{self.path}.unreadable-{number}"
            if os.path.lexists(aside):
                continue
            try:
                os.rename(self.path, aside)
            except OSError as failed:
                aside = f"nothing: it cannot be moved ({failed.strerror})"
            break
        else:
            aside = "nothing: too many were set aside before"
        logger.warning(
            "The state of the chain in %s is not used: %.200s. It was moved to %s.",
            self.path,
            reason,
            aside,
            extra={"action": "state_set_aside"},
        )


def _check(found: os.stat_result) -> None:
    """
    Check that a file can be the owner's.

    Raises:
        ValueError: It cannot.
    """
    if not stat.S_ISREG(found.st_mode):
        msg = "it is not a plain file"
        raise ValueError(msg)
    if found.st_uid != os.geteuid():
        msg = f"it belongs to uid {found.st_uid}"
        raise ValueError(msg)
    if found.st_size > MAX_SIZE:
        msg = f"it has {found.st_size} bytes, at most {MAX_SIZE} are expected"
        raise ValueError(msg)


_open_states: set[FileState] = set()


def _forget_all() -> None:
    for state in _open_states:
        state.forget()
    _open_states.clear()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=_forget_all)
