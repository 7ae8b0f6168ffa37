"""Keep mails, tasks and messages from being sent, and count them."""

from __future__ import annotations

import inspect
import uuid
from importlib import import_module
from typing import Any

from django.core.mail.backends.base import BaseEmailBackend

from yourlabs.smoke.isolation.guard import GUARD
from yourlabs.smoke.isolation.patches import Patches, Replacement


class Queues:
    """Changes the libraries that send, once they are imported."""

    def patch(self, patches: Patches) -> None:
        """Change those that a project has."""
        self._patches = patches
        patches.family(BaseEmailBackend, ["send_messages"], lambda name: _keep_mails)
        patches.late("celery.app.base", self._celery)
        patches.late("celery.app.task", self._celery_task)
        patches.late("celery.canvas", self._celery_canvas)
        patches.late("rq.queue", self._rq)
        patches.late("dramatiq.broker", self._dramatiq)
        patches.late("huey.api", self._huey)
        patches.late("channels.layers", self._channels)
        patches.late("django.tasks.backends.base", self._tasks)
        patches.late("django_tasks.backends.base", self._tasks)

    def _celery(self, module: Any) -> None:
        self._patches.guarded(module.Celery, "send_task", _keep_celery)

    def _celery_task(self, module: Any) -> None:
        self._patches.family(module.Task, ["apply_async"], lambda name: _keep_celery)

    def _celery_canvas(self, module: Any) -> None:
        names = ["apply_async"]
        self._patches.family(module.Signature, names, lambda name: _keep_celery)

    def _rq(self, module: Any) -> None:
        def keep(original: Any, queue: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
            GUARD.sent["task"] += 1
            return job

        for name in ("enqueue_job", "schedule_job", "enqueue_many"):
            self._patches.family(module.Queue, [name], lambda name: keep)

    def _dramatiq(self, module: Any) -> None:
        def keep(original: Any, broker: Any, message: Any, **kwargs: Any) -> Any:
            GUARD.sent["task"] += 1
            return message

        self._patches.family(module.Broker, ["enqueue"], lambda name: keep)

    def _huey(self, module: Any) -> None:
        def keep(original: Any, huey: Any, task: Any) -> Any:
            GUARD.sent["task"] += 1
            is_task = isinstance(task, module.Task)
            return module.Result(huey, task) if is_task else None

        self._patches.family(module.Huey, ["enqueue"], lambda name: keep)

    def _channels(self, module: Any) -> None:
        names = ["send", "group_send", "group_add", "group_discard", "flush"]
        self._patches.family(module.BaseChannelLayer, names, _keep_message)

    def _tasks(self, module: Any) -> None:
        dummy = module.__name__.rpartition(".")[0] + ".dummy"

        def keep(original: Any, backend: Any, task: Any, args: Any, kwargs: Any) -> Any:
            GUARD.sent["task"] += 1
            kind: Any = import_module(dummy).DummyBackend
            stand_in = kind(backend.alias, {"QUEUES": list(backend.queues)})
            # The backend for tests answers as one that has not run the task yet.
            return inspect.unwrap(kind.enqueue)(stand_in, task, args, kwargs)

        async def keep_later(*args: Any) -> Any:
            return keep(*args)

        base = module.BaseTaskBackend
        self._patches.family(base, ["enqueue"], lambda name: keep)
        self._patches.family(base, ["aenqueue"], lambda name: keep_later)


def _keep_mails(original: Any, backend: Any, messages: Any) -> int:
    several = list(messages or ())
    for message in several:
        # A header that cannot be sent is the view's fault.
        message.message()
    GUARD.sent["mail"] += len(several)
    return len(several)


def _keep_celery(original: Any, sender: Any, *args: Any, **kwargs: Any) -> Any:
    from celery.result import EagerResult  # type: ignore[import-untyped,unused-ignore]

    GUARD.sent["task"] += 1
    return EagerResult(str(uuid.uuid4()), None, "SUCCESS")


def _keep_message(name: str) -> Replacement:
    async def keep(original: Any, *args: Any, **kwargs: Any) -> None:
        if "send" in name:
            GUARD.sent["message"] += 1

    return keep
