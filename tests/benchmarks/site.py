"""A site that answers, and what goes on beside it in the same process."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import path

from yourlabs import runner


def hello(request: HttpRequest) -> HttpResponse:
    """Answer."""
    return HttpResponse("hello")


urlpatterns = [path("", hello)]


def work() -> None:
    """Keep the interpreter busy for about a millisecond."""
    ends = time.thread_time() + 0.001
    while time.thread_time() < ends:
        sum(range(100))


def forever(function: Callable[[], None], cooldown: float) -> None:
    """Call it in a bare thread, again and again."""

    def loop() -> None:
        stopped = threading.Event()
        while not (cooldown and stopped.wait(cooldown)):
            function()

    threading.Thread(target=loop, daemon=True).start()


def nothing() -> None:
    """Do nothing."""


def chain(function: Callable[[], None], cooldown: float, name: str) -> None:
    """Call it in a chain."""

    @runner.task(success_cooldown=cooldown)
    def task() -> None:
        function()

    runner.start_chain([task], name=name)


def idle_chains() -> None:
    """Let a hundred chains cool down."""
    for number in range(100):
        chain(nothing, 3600, f"idle-{number}")


def busy_chains() -> None:
    """Work for a millisecond every 100 ms, in ten chains."""
    for number in range(10):
        chain(work, 0.1, f"busy-{number}")


def busy_threads() -> None:
    """Do the same in ten bare threads."""
    for _ in range(10):
        forever(work, 0.1)


def endless_chain() -> None:
    """Run an empty task without a cooldown."""
    chain(nothing, 0, "endless")


def endless_thread() -> None:
    """Do the same in a bare thread."""
    forever(nothing, 0)


def tell(sender: runner.RunnerThread) -> None:
    """Say that this process owns the chain."""
    sys.stdout.write(f"{os.getpid()} {time.monotonic()}\n")
    sys.stdout.flush()


def standing_by() -> None:
    """Say who owns the chain, which rests."""
    runner.chain_started.connect(tell)
    chain(nothing, 3600, "standing-by")


BEGIN = {
    function.__name__: function
    for function in (
        idle_chains,
        busy_chains,
        busy_threads,
        endless_chain,
        endless_thread,
        standing_by,
    )
}

if __name__ == "__main__":
    # A process that serves nothing, for those that are killed.
    import django

    django.setup()
    standing_by()
    signal.pause()
