"""
Requests to yield: their ids, their file, and how long a free chain is left to one.

A process that wants a chain locks ``RUN_ROOT/<chain>.takeover`` and writes its identity
and an id into it. The lock vanishes with the process.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from yourlabs.runner.log import logger
from yourlabs.runner.ownership import files
from yourlabs.runner.ownership.descriptors import close_ours, inode_of
from yourlabs.runner.ownership.record import (
    BLOCK,
    Identity,
    Request,
    encode_request,
    parse_request,
)

LEFT_FREE_S = 5.0  # how long a free chain is left to the process that asked for it


class RequestTimeout:
    """
    Which request for a chain counts no more, as far as one process knows.

    Without it, a frozen candidate would keep the chain from running.
    """

    def __init__(self) -> None:
        self._waits_for: str | None = None
        self._since = 0.0
        self._spent: str | None = None

    def keeps_free_for(self, request: str | None, now: float) -> bool:
        """Say whether the chain, which was found free, is left to `request`."""
        if self.unless_spent(request) is None:
            return False
        if request != self._waits_for:
            self._waits_for, self._since = request, now
        if now - self._since < LEFT_FREE_S:
            return True
        self._spent = request
        return False

    def unless_spent(self, request: str | None) -> str | None:
        """Return `request`, unless the chain was left to it in vain."""
        return None if request == self._spent else request


class TakeoverFile:
    """The request for one chain, for the process that asks and those that are asked."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._is_wanted = False
        self._descriptor = -1
        self._inode: tuple[int, int] | None = (0, 0)
        self._asked: int | None = None
        self._reported = ""

    @contextmanager
    def wanted(self) -> Iterator[None]:
        """Want the chain while the block lasts, for `is_first` and `ask`."""
        self._is_wanted = True
        try:
            yield
        finally:
            self._is_wanted = False
            self._close()

    def is_held(self) -> bool:
        """Say whether this process is the one that asks."""
        return inode_of(self._descriptor) == self._inode

    def is_first(self) -> bool:
        """Say whether this process asks, or can begin to: nobody else does."""
        if not self._is_wanted:
            return False
        if self.is_held() and inode_of(self.path) == self._inode:
            return True
        # Another process asks first, or the file was removed.
        self._close()
        descriptor = files.lock(self.path)
        if descriptor is None:
            return False
        self._descriptor, self._inode = descriptor, inode_of(descriptor)
        self._asked = None
        return True

    def ask(self, token: int, candidate: Identity) -> None:
        """Ask the owner that has `token`; each owner is asked with a new id."""
        if token == self._asked:
            return
        request = Request(uuid.uuid4().hex, candidate)
        try:
            files.write(self._descriptor, encode_request(request))
        except OSError as exc:
            raise files.unusable(self.path, exc) from None
        self._asked = token

    def _close(self) -> None:
        if self.is_held():
            close_ours(self._descriptor)
        self._descriptor = -1

    def read(self) -> Request | None:
        """Return the request of another process. None: there is none."""
        if self.is_held():
            return None
        try:
            descriptor = files.open_to_read(self.path)
        except FileNotFoundError:
            return None
        except OSError as exc:
            if str(exc) != self._reported:
                self._reported = str(exc)
                extra = {"action": "request_refused"}
                logger.error("A request for a chain is ignored: %s", exc, extra=extra)
            return None
        try:
            if not files.is_locked(descriptor):
                return None
            return parse_request(os.pread(descriptor, BLOCK, 0))
        finally:
            close_ours(descriptor)
