"""Refuse what code does outside of its process, and note what was refused.

Everything passes the one audit hook of this module, whichever library it is that opens,
connects or starts something, in every thread. A hook cannot be removed: it is added
with the first run, and what it looks at is empty whenever nothing is guarded.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

VERBS = {
    "hosts": "needs",
    "paths": "writes",
    "programs": "starts",
    "processes": "",
    "caches": "needs the real cache:",
    "statements": "commits by itself:",
    "threads": "writes beside its transaction:",
}
"""What the page does that was refused, by kind."""

SETTINGS = ("hosts", "paths", "programs")
"""The kinds that ``SMOKE["allow_…"]`` can allow."""

Check = Callable[[tuple[Any, ...]], None]


class Refused(PermissionError):
    """Stands where a network that is down or a read-only disk would raise."""


class Unreachable(Refused, ConnectionRefusedError):
    """A connection that was refused."""


class UnknownHost(Refused, socket.gaierror):
    """A name that was not looked up."""


@dataclass(frozen=True)
class Refusal:
    """What was refused to a request."""

    kind: str
    what: str
    is_own: bool = True
    """Whether it was refused to the view itself, not to a thread that it started."""

    def __str__(self) -> str:
        return f"{VERBS[self.kind]} {self.what}".lstrip()


class Guard:
    """Decides who is guarded, and keeps what was refused. One for the process.

    Attributes:
        checks: What to ask before an event of the interpreter, by its name.
        sent: How much was kept from being sent, by what it is.
        is_final: Whether the guards stay until the process has ended.
        run: Rises with each run.
    """

    def __init__(self) -> None:
        self.checks: dict[str, Check] = {}
        self.allowed: dict[str, tuple[str, ...]] = {}
        self.sent: Counter[str] = Counter()
        self.is_on = False
        self.is_final = False
        self.run = 0
        self._owner = 0
        self._undos: list[Callable[[], None]] = []
        self._notes: list[Refusal] = []
        self._started: WeakKeyDictionary[threading.Thread, list[Refusal]]
        self._started = WeakKeyDictionary()
        self._local = threading.local()
        self._is_hooked = False

    def watch(
        self,
        checks: dict[str, Check],
        allowed: dict[str, tuple[str, ...]],
        *,
        is_final: bool,
    ) -> None:
        """Guard every thread from now on; the calling one is that of the run.

        Args:
            checks: What to ask before an event.
            allowed: Patterns of what is not refused, by kind.
            is_final: Whether the guards stay until the process has ended.
        """
        self.run += 1
        self.allowed, self.is_final = allowed, is_final
        self.sent.clear()
        self._owner = threading.get_ident()
        self.checks = checks
        self.is_on = True
        if not self._is_hooked:
            sys.addaudithook(_hook)
            self._is_hooked = True

    def lift(self, undo: Callable[[], None]) -> None:
        """Guard only the threads that requests started, for as long as they live.

        Args:
            undo: Takes the patches out again; called when the last of them has ended.
        """
        self.is_on = False
        self._notes = []
        self._undos.append(undo)
        run = self.run

        def wait() -> None:
            # Those that are guarded may start others.
            while threads := [one for one in list(self._started) if one.is_alive()]:
                threads[0].join()
            if self.run == run:
                self.checks = {}
                while self._undos:
                    self._undos.pop()()

        if any(thread.is_alive() for thread in list(self._started)):
            with self.trusted():
                threading.Thread(target=wait, name="smoke", daemon=True).start()
        else:
            wait()

    def watches(self) -> bool:
        """Whether the calling thread is guarded right now."""
        if getattr(self._local, "depth", 0):
            return False
        if self.is_on or not self._started:
            return self.is_on
        return threading.current_thread() in self._started

    @property
    def is_owner(self) -> bool:
        """Whether the calling thread is the one of the run."""
        return threading.get_ident() == self._owner

    @contextlib.contextmanager
    def trusted(self) -> Iterator[None]:
        """Let the calling thread do for a while what the run itself has to do."""
        self._local.depth = getattr(self._local, "depth", 0) + 1
        try:
            yield
        finally:
            self._local.depth -= 1

    def noted(self) -> list[Refusal]:
        """What will be refused from now on, until this is called again."""
        self._notes = []
        return self._notes

    def allows(self, kind: str, *names: str) -> bool:
        """Whether the project allows one of the names of a thing."""
        wanted = self.allowed.get(kind, ())
        return any(fnmatch.fnmatchcase(name, one) for one in wanted for name in names)

    def refuse(
        self, kind: str, what: str, error: type[OSError] = Refused, code: int = 0
    ) -> None:
        """Note what was refused to whom, and raise.

        Raises:
            OSError: Of the class that was given.
        """
        refusal = self.note(kind, what)
        raise error(code or errno.EACCES, f"Refused while smoke tests run: {refusal}")

    def note(self, kind: str, what: str) -> Refusal:
        """Note what was refused to the request that it comes from."""
        is_own = self.is_owner
        refusal = Refusal(kind, what, is_own)
        notes = self._notes_of_caller()
        if notes is not None and refusal not in notes:
            notes.append(refusal)
        return refusal

    def _notes_of_caller(self) -> list[Refusal] | None:
        if self.is_owner:
            return self._notes
        # What runs beside the requests, like a client that reports errors, is no
        # request's fault.
        return self._started.get(threading.current_thread())

    def start(self, original: Callable[..., None], thread: threading.Thread) -> None:
        """Start a thread; it is guarded for as long as it lives."""
        notes = self._notes_of_caller()
        if notes is not None:
            self._started[thread] = notes
        original(thread)

    def start_bare(
        self, original: Any, function: Any, args: Any = (), kwargs: Any = None
    ) -> int | None:
        """Start a thread that has no object, so that it has one."""
        thread = threading.Thread(
            target=function, args=args, kwargs=kwargs, daemon=True
        )
        thread.start()
        return thread.ident


GUARD = Guard()


def _hook(event: str, args: tuple[Any, ...], guard: Guard = GUARD) -> None:
    check = guard.checks.get(event)
    if check is not None and guard.watches():
        check(args)
