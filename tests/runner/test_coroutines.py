"""Coroutine functions as tasks: what plain functions can do, they can, too."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async

from tests.runner.fakes import PATIENCE, happens, make, quick, running, until
from yourlabs import runner
from yourlabs.runner.chain.coroutines import Coroutines, LoopThread
from yourlabs.runner.chain.decorator import task

LONG = 3_600.0

logger = logging.getLogger("runner")


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> None:
    """RUN_ROOT of this test."""
    settings.RUN_ROOT = tmp_path / "run"
    settings.RUNNER = {"EMAIL": False}


def test_result() -> None:
    """It returns what the function returns, and raises what it raises."""

    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    async def fail() -> None:
        raise SystemExit(3)

    coroutines = Coroutines("answer")

    assert coroutines.run(answer) == 42
    with pytest.raises(SystemExit):
        coroutines.run(fail)
    assert coroutines.run(answer) == 42


def test_there_and_back() -> None:
    """Code that is called from a coroutine is in the caller's thread, and may await."""
    here = threading.get_ident()

    async def inner() -> int:
        return threading.get_ident()

    def between() -> tuple[int, int]:
        return threading.get_ident(), async_to_sync(inner)()

    async def outer() -> tuple[int, tuple[int, int]]:
        return threading.get_ident(), await sync_to_async(between)()

    loop, (back, again) = Coroutines("outer").run(outer)

    assert back == here
    assert loop == again != here


def test_after_a_run() -> None:
    """What a run leaves behind is cancelled, and its thread has ended."""
    ends: list[str] = []

    async def left_behind() -> None:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    async def begin() -> None:
        ends.append(threading.current_thread().name)
        globals()["kept"] = asyncio.create_task(left_behind())
        await asyncio.sleep(0)

    Coroutines("begin").run(begin)
    del globals()["kept"]

    assert ends == ["begin-asyncio", "cancelled"]
    assert "begin-asyncio" not in [one.name for one in threading.enumerate()]


def test_loop_that_is_stopped() -> None:
    """A task that stops its own loop fails, and hangs nothing."""

    async def stop() -> None:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(LONG)

    # Which of the two errors depends on the version of Python.
    with pytest.raises((asyncio.CancelledError, RuntimeError)):
        Coroutines("stop").run(stop)


@pytest.mark.parametrize(
    "stop",
    [
        lambda: runner.chains()["stop_itself"].stop(),
        lambda: runner.stop_chain("stop_itself"),
        lambda: runner.stop_all(),
    ],
)
def test_stop_itself(stop: Callable[[], bool]) -> None:
    """A coroutine that stops its own chain does not wait for itself."""
    answers: list[bool] = []

    @task(name="stop_itself")
    async def stop_itself() -> None:
        answers.append(stop())

    thread = runner.start_chain([stop_itself])
    thread.join(PATIENCE)

    assert answers == [False]
    assert not thread.is_alive()


def test_process_ends(tmp_path: Path) -> None:
    """A coroutine that hangs does not keep its process from ending."""
    script = f"""
import asyncio, threading, time
from django.conf import settings
settings.configure(
    RUN_ROOT={str(tmp_path)!r}, RUNNER={{"EMAIL": False, "STOP_TIMEOUT": 0.1}}
)
import django
django.setup()
from yourlabs import runner
begun = threading.Event()

async def hang():
    begun.set()
    await asyncio.sleep({LONG})

runner.start_chain([hang], name="hang")
begun.wait()
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], timeout=PATIENCE, check=False
    )

    assert ended.returncode == 0


@pytest.mark.parametrize(
    ("ends", "code"), [(lambda: None, 0), (lambda: sys.exit(3), 3)]
)
def test_child(
    ends: Callable[[], None], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that a coroutine forks ends where it comes back from it."""
    children: list[int] = []
    # What it logs is seen with the failure of the test.
    handlers = [*logger.handlers, logging.StreamHandler()]
    monkeypatch.setattr(logger, "handlers", handlers)

    async def fork() -> None:
        child = os.fork()
        if child == 0:  # pragma: no cover - in a child
            ends()
        else:
            children.append(child)

    Coroutines("fork").run(fork)

    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == code


def test_rest() -> None:
    """What a coroutine computes counts as work of its chain."""

    async def compute() -> None:
        began = time.thread_time()
        while time.thread_time() - began < 0.02:
            continue

    thread = make(quick(compute))
    (of_task,) = thread.tasks

    deadline = thread.loop.tick()

    assert deadline > time.monotonic(), "it rests"
    assert of_task.coroutines is not None
    assert of_task.coroutines.busy >= 0.02


def test_coroutine_of_a_plain_function() -> None:
    """It is awaited, too, each time."""
    calls: list[str] = []
    enough = threading.Event()

    async def work() -> None:
        calls.append("work")
        if len(calls) == 2:
            enough.set()

    with running(quick(lambda: work())) as thread:
        assert happens(enough)

    assert thread.status().failures == 0


@pytest.mark.parametrize("waits", [True, False])
def test_stack(waits: bool) -> None:
    """Where it is can be seen, whether it waits or computes."""
    go, begun = threading.Event(), threading.Event()

    async def innermost() -> None:
        begun.set()
        while not go.is_set():
            if waits:
                await asyncio.sleep(0.001)

    async def work() -> None:
        await innermost()

    coroutines = Coroutines("work")
    assert coroutines.stack() == ""
    with ThreadPoolExecutor() as pool:
        running = pool.submit(coroutines.run, work)
        assert happens(begun)
        try:
            until(lambda: "in innermost" in coroutines.stack())
            assert "in work" in coroutines.stack()
        finally:
            go.set()
        running.result(PATIENCE)


def test_stall(settings: Any) -> None:
    """A coroutine that takes too long is reported with the line that it is in."""
    stacks: list[str] = []
    go = threading.Event()

    async def wait_for_long() -> None:
        # The first run may be too long before it is here.
        told = len(stacks)
        while len(stacks) == told and not go.is_set():
            await asyncio.sleep(0.001)

    def stalled(sender: Any, *, stall: Any) -> None:
        stacks.append(stall.stack)

    with runner.task_stalled.connected_to(stalled):
        thread = runner.start_chain(
            [task(max_duration=0.01, success_cooldown=0)(wait_for_long)]
        )
        until(lambda: "in wait_for_long" in "".join(stacks))
        go.set()
        assert thread.stop(PATIENCE)


def test_loop_that_is_stopped_again() -> None:
    """Whatever ends the loop, and while it ends, the run has an end."""

    async def stop() -> None:
        loop = asyncio.get_running_loop()
        try:
            loop.stop()
            await asyncio.sleep(LONG)
        finally:
            loop.stop()
            await asyncio.sleep(LONG)

    with pytest.raises(RuntimeError, match="stopped before"):
        Coroutines("stop").run(stop)


@pytest.mark.parametrize("context", [None, contextvars.Context()])
def test_cleanup_of_what_is_left(context: contextvars.Context | None) -> None:
    """What is cancelled at the end cleans up in the thread of the chain."""
    cleaned: list[int] = []

    def clean_up() -> None:
        cleaned.append(threading.get_ident())

    async def left_behind() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            await sync_to_async(clean_up)()

    async def begin() -> None:
        loop = asyncio.get_running_loop()
        run = context.run if context is not None else contextvars.copy_context().run
        kept.append(run(loop.create_task, left_behind()))
        await asyncio.sleep(0)

    kept: list[Any] = []
    Coroutines("begin").run(begin)

    assert cleaned == [threading.get_ident()]


def test_context() -> None:
    """Context variables that a coroutine sets are those of the run."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    async def set_it() -> None:
        variable.set("set")

    def look() -> str:
        Coroutines("set_it").run(set_it)
        return variable.get()

    assert contextvars.copy_context().run(look) == "set"


def test_cleared_away_in_a_child() -> None:
    """A child that another thread forks does not end for a coroutine left behind."""

    async def wait() -> None:
        await asyncio.Event().wait()

    def leave() -> None:
        loop = asyncio.new_event_loop()
        left.append(loop.create_task(coroutine))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    left: list[asyncio.Task[None]] = []
    coroutine = LoopThread("left", wait)._main()
    thread = threading.Thread(target=leave)
    thread.start()
    thread.join(30)
    child = os.fork()
    if child == 0:  # pragma: no cover - leaves by _exit
        coroutine.close()
        os._exit(7)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    coroutine.close()
