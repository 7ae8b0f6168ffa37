"""
Coroutine functions as tasks: each run has an event loop in a thread of its own.

What `sync_to_async` calls for the task runs in the thread of the chain, with its
database connections. asgiref makes a loop in a pool where there is none, and Python
waits for pools when it ends; the thread here is a daemon, like the chain's.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

from yourlabs.runner.children import end_child
from yourlabs.runner.frames import frame_of

if TYPE_CHECKING:
    import asyncio


class LoopThread(threading.Thread):
    """Runs an event loop until `end`, and cancels what is left in it then."""

    def __init__(self, name: str) -> None:
        super().__init__(name=f"{name}-asyncio", daemon=True)
        self.loop: asyncio.AbstractEventLoop | None = None
        self.busy = 0.0
        """The time on the processor that it took, once it has ended; in seconds."""
        self._ready = threading.Event()
        self._ended: asyncio.Event | None = None

    def start(self) -> None:
        """Start it; the loop runs when this returns."""
        super().start()
        self._ready.wait()

    def end(self) -> None:
        """Wait until nothing runs in the loop any more."""
        if self.loop is not None and self._ended is not None:
            # A task may have stopped it.
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._ended.set)
        self.join()

    def run(self) -> None:
        """Called by `start`."""
        import asyncio

        try:
            # A task that stops the loop is cancelled by it, and fails with that.
            with contextlib.suppress(RuntimeError):
                asyncio.run(self._wait())
        finally:
            self.busy = time.thread_time()
            self._ready.set()

    async def _wait(self) -> None:
        import asyncio

        self.loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await self._ended.wait()


class Coroutines:
    """
    Runs the coroutine function of one task, as if it were a plain one.

    `run` belongs to the chain's thread; `is_here` and `stack` are for any.
    """

    __slots__ = ("_busy", "_name", "_task", "_thread")

    def __init__(self, name: str) -> None:
        self._name = name
        self._busy = 0.0
        self._thread: LoopThread | None = None
        self._task: asyncio.Task[Any] | None = None

    def run(self, func: Callable[[], Awaitable[Any]]) -> Any:
        """Return what `func` returns, or raise what it raises."""
        from asgiref.sync import SyncToAsync, async_to_sync

        thread = LoopThread(self._name)
        thread.start()
        self._thread = thread
        # Where asgiref looks for a loop, in code that was called from one.
        found = SyncToAsync.threadlocal
        found.main_event_loop, found.main_event_loop_pid = thread.loop, os.getpid()
        try:
            return async_to_sync(self._await)(func)
        finally:
            found.main_event_loop = found.main_event_loop_pid = None
            thread.end()
            self._thread = self._task = None
            self._busy += thread.busy

    async def _await(self, func: Callable[[], Awaitable[Any]]) -> Any:
        import asyncio

        pid = os.getpid()
        self._task = asyncio.current_task()
        try:
            result = await func()
        except BaseException as exc:
            if os.getpid() != pid:
                end_child(self._name, exc)
            raise
        if os.getpid() != pid:
            end_child(self._name)
        return result

    def take_busy(self) -> float:
        """Return the time on the processor since the last call, in seconds."""
        busy, self._busy = self._busy, 0.0
        return busy

    def is_here(self) -> bool:
        """Say whether the caller's thread is the one of the loop."""
        return threading.current_thread() is self._thread

    def stack(self) -> str:
        """Return where the task is, as text. Empty: in no coroutine."""
        thread, task = self._thread, self._task
        if thread is None or task is None:
            return ""
        coroutine = task.get_coro()
        if getattr(coroutine, "cr_running", False):
            frame = frame_of(thread.ident)
            return "" if frame is None else "".join(traceback.format_stack(frame))
        frames = ((frame, frame.f_lineno) for frame in _awaited(coroutine))
        return "".join(traceback.StackSummary.extract(frames).format())


def _awaited(coroutine: Any) -> Iterator[FrameType]:
    """Yield the frames of a coroutine, and of what it waits for."""
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None)
        if frame is not None:
            yield frame
        coroutine = getattr(coroutine, "cr_await", None)
