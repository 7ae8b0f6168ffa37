"""
Where chains are kept by default: files in RUN_ROOT.

``<chain>.json`` is what a chain's next owner must know. Only its owner writes it, and
replaces it in one step, so a kill or a power cut leaves the old file or the new one.
``<chain>.control`` is what people want of the chain, replaced in the same way.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from yourlabs.runner import conf
from yourlabs.runner.chain.task import DOWN, Chain
from yourlabs.runner.exceptions import UnusableRunRoot
from yourlabs.runner.log import logger
from yourlabs.runner.ownership import files
from yourlabs.runner.ownership.base import Claim, Clock
from yourlabs.runner.ownership.descriptors import close_ours
from yourlabs.runner.ownership.pidfile import PidfileOwnership
from yourlabs.runner.storage.document import MAX_SIZE, encode, encode_sections, parse

STEER_TIMEOUT_S = 5.0  # how long to wait for another process that steers

# How the names of all files of a chain end.
SUFFIXES = (
    *(".json", ".json.new", ".json.unreadable", ".control", ".control.new"),
    *(".control.lock", ".takeover", ".pid"),
)


class FileBackend:
    """
    A `Backend` of files in a directory, for all processes of one machine.

    `root` is the directory. None: RUN_ROOT, as it is set when it is needed.
    """

    def __init__(self, root: Path | None = None, *, clock: Clock = time) -> None:
        self._root, self._clock = root, clock

    @property
    def root(self) -> Path:
        """Where the files are."""
        return conf.run_root() if self._root is None else self._root

    def names(self) -> list[str]:
        try:
            found = os.listdir(self.root)
        except OSError:
            return []
        parts = [os.path.splitext(name) for name in found]
        names = {stem for stem, end in parts if end in (".pid", ".json", ".control")}
        return sorted(name for name in names if not name.endswith(DOWN))

    def forget(self, name: str) -> bool:
        for one in (f"{name}{DOWN}", name):
            path = os.path.join(self.root, one)
            if not os.path.lexists(f"{path}.pid"):
                descriptor = None
            elif (descriptor := files.lock(f"{path}.pid")) is None:
                return False
            try:
                # The lock goes last: a process that gets it checks that it has a name.
                for suffix in SUFFIXES:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(f"{path}{suffix}")
            finally:
                if descriptor is not None:
                    close_ours(descriptor)
        return True

    def ownership(self, chain: Chain, *, kind: str) -> PidfileOwnership:
        return PidfileOwnership(
            self.root, chain, kind, clock=self._clock, last_token=_last_token
        )

    def store(self, chain: Chain) -> FileStore:
        return FileStore(self.root, chain.name)


Backend = FileBackend


class FileStore:
    """A `Store` of two JSON files in RUN_ROOT; `save` is for one thread at a time."""

    def __init__(self, root: Path, name: str) -> None:
        self.path = os.path.join(root, f"{name}.json")
        self.control_path = os.path.join(root, f"{name}.control")
        self._saved = 0
        self._refused: list[str] = []
        self._has_reported = False
        self._desired: dict[str, Any] | None = None
        self._seen: tuple[int, int, int] | None = None

    def load(self) -> dict[str, Any]:
        try:
            sections = _read(self.path)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as exc:
            if isinstance(exc, OSError) and exc.errno in files.EXHAUSTED:
                raise
            self._set_aside(exc)
            return {}
        sections.pop("token", None)
        return sections

    def read(self) -> dict[str, Any]:
        try:
            return _read(self.path)
        except FileNotFoundError:
            return {}

    def save(self, claim: Claim, sections: Mapping[str, Any]) -> None:
        texts, problems = encode_sections(sections)
        for section in problems.keys() - set(self._refused):
            self._refused.append(section)
            logger.error(
                "The section %r is left out of %s: %s. The others are written.",
                section,
                self.path,
                problems[section],
                extra={"action": "state_unwritable"},
            )
        content = encode({"token": b"%d" % claim.token, **texts})
        if hash(content) == self._saved or not claim.check():
            return
        try:
            replace_file(self.path, content)
            self._saved, self._has_reported = hash(content), False
        except OSError as exc:
            if not self._has_reported:
                logger.error(
                    "The state of the chain cannot be written to %s: %s. It is kept in "
                    "memory and tried again; a new owner would not know of it.",
                    *(self.path, exc.strerror),
                    extra={"action": "state_unwritable"},
                )
            self._has_reported = True

    def _set_aside(self, exc: Exception) -> None:
        aside = f"{self.path}.unreadable"
        try:
            os.replace(self.path, aside)
        except OSError as failed:
            aside = f"nothing: it cannot be moved ({failed.strerror})"
        logger.warning(
            "The state of the chain in %s is not used: %.200s. It was moved to %s.",
            self.path,
            exc.strerror if isinstance(exc, OSError) else exc,
            aside,
            extra={"action": "state_set_aside"},
        )

    def desired(self, known: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            found = os.stat(self.control_path, follow_symlinks=False)
            seen = (found.st_ino, found.st_mtime_ns, found.st_size)
            # The owner calls this once a second; the file is replaced as a whole.
            if seen != self._seen or self._desired is None:
                self._desired, self._seen = _read(self.control_path), seen
        except FileNotFoundError:
            self._desired, self._seen = {}, None
        except (OSError, ValueError, RecursionError) as exc:
            logger.debug("%s is not read: %.200s", self.control_path, exc)
            self._seen = None
            if self._desired is None:
                self._desired = self._last_seen()
        return dict(self._desired)

    def _last_seen(self) -> dict[str, Any]:
        """Return what an owner saved of what people wanted."""
        try:
            seen = self.read().get("steer")
        except (OSError, ValueError, RecursionError):
            return {}
        return seen if isinstance(seen, dict) else {}

    def steer(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        keeper, user = files.keeper_of(self.control_path), os.geteuid()
        if user not in (0, keeper):
            msg = f"The chain of {self.path} is run by uid {keeper}, this is uid {user}"
            raise UnusableRunRoot(errno.EPERM, f"{msg}: steer it as that user or root.")
        descriptor = _wait_for_lock(f"{self.control_path}.lock")
        try:
            texts, problems = encode_sections(change(self.desired()))
            if problems:
                msg = f"What is wanted of the chain cannot be written: {problems}"
                raise ValueError(msg)
            replace_file(self.control_path, encode(texts))
        except OSError as exc:
            raise files.unusable(self.control_path, exc) from None
        finally:
            close_ours(descriptor)


def _last_token(pidfile: str) -> int:
    """Return the token of the owner that saved last; 0 if none is known."""
    try:
        token = _read(f"{pidfile.removesuffix('.pid')}.json").get("token")
    except (OSError, ValueError, RecursionError):
        return 0
    return token if type(token) is int and token > 0 else 0


def _read(path: str) -> dict[str, Any]:
    descriptor = files.open_to_read(path)
    try:
        size = os.fstat(descriptor).st_size
        if size > MAX_SIZE:
            msg = f"it has {size} bytes, at most {MAX_SIZE} are expected"
            raise ValueError(msg)
        return parse(os.pread(descriptor, size, 0))
    finally:
        close_ours(descriptor)


def replace_file(path: str, content: bytes) -> None:
    """
    Replace a file in one step, so that a power cut leaves the old one or the new one.

    What root writes is given to the user who runs the chain.
    """
    temporary = f"{path}.new"
    with contextlib.suppress(FileNotFoundError, IsADirectoryError):
        # Never written through: it may be a link.
        os.unlink(temporary)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    try:
        if os.geteuid() == 0:
            os.fchown(descriptor, files.keeper_of(path), -1)
        while content:
            content = content[os.write(descriptor, content) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(temporary, path)
    # The new name is to survive a power cut, too, if the file system can do that.
    with contextlib.suppress(OSError):
        descriptor = os.open(os.path.dirname(path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _wait_for_lock(path: str) -> int:
    deadline = time.monotonic() + STEER_TIMEOUT_S
    while (descriptor := files.lock(path, hand_over=True)) is None:
        if time.monotonic() > deadline:
            msg = f"{path} has been locked for {STEER_TIMEOUT_S:g} seconds."
            raise UnusableRunRoot(errno.EAGAIN, msg)
        time.sleep(0.01)
    return descriptor
