"""Keep mails, tasks and messages from being sent, and count them."""

from __future__ import annotations

import inspect
import sys
import uuid
from importlib import import_module
from typing import Any

from django.core.mail.backends.base import BaseEmailBackend

from yourlabs.smoke.isolation.guard import GUARD
from yourlabs.smoke.isolation.patches import Patches, Replacement


def patch(patches: Patches) -> None:
    """Change what sends, of the libraries that a project has once it imports them."""
    patches.family(BaseEmailBackend, ["send_messages"], lambda name: _keep_mails)
    patches.family(BaseEmailBackend, ["open", "close"], lambda name: _do_nothing)
    for module, owner, names, replacement in _SENDERS:
        patches.late(module, _change(patches, owner, names, replacement))


def _change(
    patches: Patches, owner: str, names: tuple[str, ...], replacement: Replacement
) -> Any:
    def change(module: Any) -> None:
        patches.family(getattr(module, owner), names, lambda name: replacement)

    return change


def _keep_mails(original: Any, backend: Any, messages: Any) -> int:
    several = list(messages or ())
    for message in several:
        # A header that cannot be sent is the view's fault.
        message.message()
    GUARD.sent["mails"] += len(several)
    return len(several)


def _do_nothing(original: Any, *args: Any, **kwargs: Any) -> None:
    """Stand in for what only sending needs."""


def _keep_celery(original: Any, sender: Any, *args: Any, **kwargs: Any) -> Any:
    """Answer as Celery does when it runs a task at once."""
    from celery import result  # type: ignore[import-untyped,unused-ignore]

    if type(sender).__name__ == "group" and isinstance(sender.tasks, (list, tuple)):
        several = [_keep_celery(original, task) for task in sender.tasks]
        return result.GroupResult(str(uuid.uuid4()), several, app=sender.app)
    GUARD.sent["tasks"] += 1
    return result.EagerResult(str(uuid.uuid4()), None, "SUCCESS")


def _keep_job(original: Any, queue: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    """Answer as RQ and dramatiq do, with what was to be sent."""
    GUARD.sent["tasks"] += 1
    return job


def _keep_huey(original: Any, huey: Any, task: Any) -> Any:
    module: Any = sys.modules["huey.api"]
    GUARD.sent["tasks"] += 1
    return module.Result(huey, task) if isinstance(task, module.Task) else None


def _keep_task(original: Any, backend: Any, task: Any, args: Any, kwargs: Any) -> Any:
    """Answer as Django's backend for tests does, which runs nothing."""
    GUARD.sent["tasks"] += 1
    package = type(task).__module__.rpartition(".")[0]
    kind: Any = import_module(f"{package}.backends.dummy").DummyBackend
    stand_in = kind(backend.alias, {"QUEUES": list(backend.queues)})
    return inspect.unwrap(kind.enqueue)(stand_in, task, args, kwargs)


async def _keep_message(original: Any, *args: Any, **kwargs: Any) -> None:
    GUARD.sent["messages"] += 1


_SENDERS: tuple[tuple[str, str, tuple[str, ...], Replacement], ...] = (
    ("celery.app.base", "Celery", ("send_task",), _keep_celery),
    ("celery.app.task", "Task", ("apply_async",), _keep_celery),
    ("celery.canvas", "Signature", ("apply_async",), _keep_celery),
    ("rq.queue", "Queue", ("enqueue_job", "schedule_job", "enqueue_many"), _keep_job),
    ("dramatiq.broker", "Broker", ("enqueue",), _keep_job),
    ("huey.api", "Huey", ("enqueue",), _keep_huey),
    (
        "channels.layers",
        "BaseChannelLayer",
        ("send", "group_send", "group_add", "group_discard", "flush"),
        _keep_message,
    ),
    ("django.tasks.backends.base", "BaseTaskBackend", ("enqueue",), _keep_task),
    ("django_tasks.backends.base", "BaseTaskBackend", ("enqueue",), _keep_task),
)
"""A class of a module, its methods, and what to call in their place."""
