"""
Coroutine functions as tasks: each run has an event loop in a thread of its own.

What the task calls with `sync_to_async`, as the asynchronous ORM does, runs in the
chain's thread with its connections. `async_to_sync` does the same, but Python waits at
exit for the pool that its loop runs in: a coroutine that hangs would keep the process
alive. The thread here is a daemon.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from types import FrameType
from typing import Any

import asgiref.sync
from asgiref.current_thread_executor import CurrentThreadExecutor
from asgiref.sync import AsyncToSync

from yourlabs.runner.failures.frames import frame_of
from yourlabs.runner.forks import end_child


class LoopThread(threading.Thread):
    """
    Runs one coroutine in an event loop, and cancels what it leaves behind.

    Attributes:
        busy: The processor time that it took, in seconds, once it is over.
        task: What the coroutine runs in. None: it has not begun.
    """

    def __init__(self, name: str, func: Callable[[], Awaitable[Any]]) -> None:
        super().__init__(name=f"{name}-asyncio", daemon=True)
        # Done when nothing runs in the loop any more, whatever happened in it.
        self.over: Future[None] = Future()
        # What the coroutine began with; afterwards what it ended with.
        self.context = contextvars.copy_context()
        self.busy = 0.0
        self.task: asyncio.Task[Any] | None = None
        self._name_of_task = name
        self._func = func
        self._loop: Any = None
        self._executor = CurrentThreadExecutor(None)
        self._result: Any = None
        self._error: BaseException | None = None

    def wait(self) -> Any:
        """Start it, do what it sends to this thread, and return its result."""
        self.start()
        self._executor.run_until_future(self.over)
        self.join()
        _adopt(self.context)
        error, self._error = self._error, None
        if error is None:
            return self._result
        try:
            raise error
        finally:
            # Else this frame and the traceback would keep each other alive.
            del error

    def run(self) -> None:
        """Called by `start`."""
        try:
            self.context.run(asyncio.run, self._main())
        except BaseException as exc:
            # The loop was stopped, or what was left behind ended it.
            self._error = self._error or exc
        finally:
            AsyncToSync.loop_thread_executors.pop(self._loop, None)
            self.busy = time.thread_time()
            self.over.set_result(None)

    async def _main(self) -> None:
        _adopt(self.context)
        # Where asgiref looks for the thread that `sync_to_async` is to use: in the
        # context, and for callbacks that have another one, by the loop.
        AsyncToSync.executors.current = self._executor
        self._loop = asyncio.get_running_loop()
        AsyncToSync.loop_thread_executors[self._loop] = self._executor
        self.task = asyncio.current_task()
        pid = os.getpid()
        try:
            self._result = await self._func()
        except BaseException as exc:
            # In a child that another thread forked this is only a coroutine's cleanup.
            if os.getpid() != pid and threading.current_thread() is self:
                end_child(self._name_of_task, exc)
            # Not raised through the loop: SystemExit would end that.
            self._error = exc
        if os.getpid() != pid and threading.current_thread() is self:
            end_child(self._name_of_task)
        self.context = contextvars.copy_context()


class Coroutines:
    """
    Runs coroutine functions for one task, as if they were plain ones.

    Attributes:
        busy: The processor time of the last run, in seconds.
    """

    def __init__(self, name: str) -> None:
        self.busy = 0.0
        self._name = name
        self._thread: LoopThread | None = None

    def run(self, func: Callable[[], Awaitable[Any]]) -> Any:
        """Return what `func` returns, or raise what it raises."""
        thread = self._thread = LoopThread(self._name, func)
        try:
            return thread.wait()
        finally:
            self.busy = thread.busy
            self._thread = None

    def stack(self) -> str:
        """Return where the task is, as text, for any thread. Empty: nothing runs."""
        thread = self._thread
        if thread is None or thread.task is None:
            return ""
        coroutine = thread.task.get_coro()
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
    # asgiref's own: some versions note for each value which thread it belongs to.
    asgiref.sync._restore_context(context)
