"""Everything that keeps one run harmless, in one place."""

from __future__ import annotations

import _thread
import atexit
import contextlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from asgiref.sync import SyncToAsync
from django.conf import settings
from django.db import connections
from django.test.utils import override_settings

from yourlabs.smoke.isolation import processes, queues
from yourlabs.smoke.isolation.caches import Caches
from yourlabs.smoke.isolation.database import Databases
from yourlabs.smoke.isolation.files import Files
from yourlabs.smoke.isolation.guard import GUARD
from yourlabs.smoke.isolation.network import Network
from yourlabs.smoke.isolation.patches import Patches
from yourlabs.smoke.isolation.queries import QueryRecorder
from yourlabs.smoke.isolation.storages import Storages


class Sandbox:
    """Guards one run. Use it once; requests in one thread only.

    Args:
        aliases: The databases to guard.
        allowed: Patterns of what is not refused, by kind.
        is_final: Whether the process ends after the run, and stays guarded until then.
    """

    def __init__(
        self,
        aliases: list[str],
        allowed: dict[str, tuple[str, ...]],
        *,
        is_final: bool = False,
    ) -> None:
        self.databases = Databases(aliases)
        self.allowed, self.is_final = allowed, is_final
        self.files, self.caches = Files(), Caches()
        self.storages = Storages(os.path.join(self.files.folder, "storages"))

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Guard the process, and put everything back afterwards."""
        checks = {**self.files.checks(), **processes.checks(), **Network().checks()}
        patches = Patches()
        with contextlib.ExitStack() as stack:
            stack.callback(self._end, patches)
            for part in (self.files, self.storages, self.caches, queues, processes):
                part.patch(patches)
            patches.guarded(threading.Thread, "start", GUARD.start)
            patches.guarded(_thread, "start_new_thread", GUARD.start_bare)
            GUARD.watch(checks, self.allowed, is_final=self.is_final)
            stack.enter_context(self.files.temporary())
            stack.enter_context(_threads_of_coroutines())
            stack.enter_context(
                override_settings(ALLOWED_HOSTS=[*settings.ALLOWED_HOSTS, "*"])
            )
            folder = self.files.folder
            stack.enter_context(self.databases.running(patches, folder))
            yield

    @contextlib.contextmanager
    def rolled_back(self, recorder: QueryRecorder) -> Iterator[None]:
        """Undo whatever is done in the block, and note what was refused in it."""
        recorder.refused = GUARD.noted()
        try:
            with self.databases.rolled_back(recorder):
                yield
        finally:
            self.storages.forget()
            self.caches.forget()

    def notes(self) -> list[str]:
        """What a person should know of the run."""
        kept = ", ".join(f"{what}: {n}" for what, n in GUARD.sent.items() if n)
        return [f"Not sent while smoke tests ran: {kept}."] if kept else []

    def _end(self, patches: Patches) -> None:
        if self.is_final:
            atexit.register(self._leave)
        else:
            GUARD.lift(patches.restore)
            self.files.remove()

    def _leave(self) -> None:
        """Let what views want done at the exit find nothing that it can change."""
        self.files.remove()
        with GUARD.trusted():
            connections.close_all()


@contextlib.contextmanager
def _threads_of_coroutines() -> Iterator[None]:
    """Let the thread that all coroutines share end with the run, as it is guarded."""
    saved = SyncToAsync.single_thread_executor
    SyncToAsync.single_thread_executor = ThreadPoolExecutor(max_workers=1)
    try:
        yield
    finally:
        SyncToAsync.single_thread_executor.shutdown(wait=False)
        SyncToAsync.single_thread_executor = saved
