"""
Coroutine functions as tasks: each run has an event loop in a thread of its own.

What `sync_to_async` calls for the task runs in the thread of the chain, with its
database connections. asgiref makes a loop in a pool where there is none, and Python
waits for pools when it ends; the thread here is a daemon, like the chain's.
"""

from __future__ import annotations

import contextvars
import os
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from types import FrameType
from typing import TYPE_CHECKING, Any

from yourlabs.runner.chain.children import end_child
from yourlabs.runner.failures.frames import frame_of

if TYPE_CHECKING:
    import asyncio


class LoopThread(threading.Thread):
    """Runs one coroutine in an event loop, and cancels what it leaves behind."""

    def __init__(
        self, name: str, main: Coroutine[Any, Any, Any], executor: Any
    ) -> None:
        """
        Make it; `start` starts it.

        Args:
            name: Of the task.
            main: What is awaited.
            executor: Where `sync_to_async` calls plain functions.
        """
        super().__init__(name=f"{name}-asyncio", daemon=True)
        self.over: Future[None] = Future()
        """Done when nothing runs in the loop any more, whatever happened in it."""
        self.context = contextvars.copy_context()
        """What the coroutine began with; afterwards what it ended with."""
        self.busy = 0.0
        """The time on the processor that it took, once it is over; in seconds."""
        self._main = main
        self._executor = executor
        self._loop: Any = None
        self._result: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Called by `start`."""
        import asyncio

        from asgiref.sync import AsyncToSync

        try:
            self.context.run(asyncio.run, self._await())
        except BaseException as exc:
            # The loop was stopped, or what was left behind ended it.
            self._error = self._error or exc
        finally:
            AsyncToSync.loop_thread_executors.pop(self._loop, None)
            self.busy = time.thread_time()
            self.over.set_result(None)

    async def _await(self) -> None:
        import asyncio

        from asgiref.sync import AsyncToSync

        self._loop = asyncio.get_running_loop()
        _adopt(self.context)
        # For tasks with a context of their own, until the loop is closed.
        AsyncToSync.loop_thread_executors[self._loop] = self._executor
        try:
            self._result = await self._main
        except BaseException as exc:
            # Not through the loop, which SystemExit would end.
            self._error = exc
        self.context = contextvars.copy_context()

    def result(self) -> Any:
        """Return what was returned, or raise what was raised. To be called once."""
        error, self._error = self._error, None
        if error is None:
            return self._result
        try:
            raise error
        finally:
            # Else this frame and the traceback would keep each other alive.
            del error


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
        from asgiref.current_thread_executor import CurrentThreadExecutor
        from asgiref.sync import AsyncToSync

        # As `async_to_sync` does it, but for the thread, and until the loop is closed.
        executors = AsyncToSync.executors
        before = getattr(executors, "current", None)
        executors.current = executor = CurrentThreadExecutor(before)
        thread = self._thread = LoopThread(self._name, self._await(func), executor)
        try:
            thread.start()
            executor.run_until_future(thread.over)
            thread.join()
            _adopt(thread.context)
        finally:
            executors.current = before
            self._thread = self._task = None
        self._busy += thread.busy
        return thread.result()

    async def _await(self, func: Callable[[], Awaitable[Any]]) -> Any:
        import asyncio

        pid, here = os.getpid(), threading.current_thread()
        self._task = asyncio.current_task()
        try:
            result = await func()
        except BaseException as exc:
            # In a child of another thread it is only cleared away.
            if os.getpid() != pid and threading.current_thread() is here:
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


def _adopt(context: contextvars.Context) -> None:
    """Set here what was set in `context`, in another thread."""
    import asgiref.sync

    # It has storage of its own that knows to which thread it belongs.
    getattr(asgiref.sync, "_restore_context", _set_all)(context)


def _set_all(context: contextvars.Context) -> None:
    for variable, value in context.items():
        variable.set(value)
