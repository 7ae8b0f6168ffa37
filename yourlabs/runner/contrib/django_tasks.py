"""
Background tasks of Django, run by a chain: no worker process is needed.

The extra ``tasks`` brings ``django-tasks-db``, in whose table they wait.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from django_tasks_db.compat import TaskResultStatus, task_finished
from django_tasks_db.management.commands.db_worker import Worker
from django_tasks_db.models import DBTaskResult
from django_tasks_db.utils import exclusive_transaction

from yourlabs.runner.chain.decorator import task
from yourlabs.runner.chain.running import running, token

logger = logging.getLogger("runner")

_cleared: dict[str, int] = {}
"""By worker: up to which token the tasks that dead owners left were failed."""


class WorkerDied(Exception):
    """The process that ran the task ended before the task did."""


class _NotOurs(Exception):
    """While this process was frozen, another owner has failed what it ran."""


@task(success_cooldown=1, fail_cooldown=10)
def work(*, queues: Sequence[str] = ("*",), backend: str = "default") -> bool:
    """
    Run one task that waits in the table: the first by priority, then by age.

    It is a function for a chain. What an owner that died left running is failed once,
    with `WorkerDied`, by the next one; it is not run again.

    Args:
        queues: Names of the queues. ``*`` is all.
        backend: Name of the backend in ``TASKS``.

    Returns:
        Whether there was one, so that the chain goes on without a cooldown.

    Raises:
        RuntimeError: It was called outside of a run.
    """
    number, run = token(), running.get()
    name = run[0].name if run else ""
    worker_name = f"{name[:30]}-{zlib.crc32(name.encode()):08x}-"
    if _cleared.get(worker_name, 0) < number:
        for result in _left_running(backend, worker_name, number):
            _fail(result)
        _cleared[worker_name] = number
    return _run_one(f"{worker_name}{number}", list(queues), backend)


def _run_one(worker_id: str, queues: list[str], backend: str) -> bool:
    worker = Worker(
        queue_names=queues,
        excluded_queue_names=[],
        backend_name=backend,
        worker_id=worker_id,
        batch=True,
        max_tasks=1,
        interval=0,
        startup_delay=False,
    )
    run, ran = worker.run_task, []

    def run_guarded(result: Any) -> None:
        ran.append(result.pk)
        result.save = partial(_save, result)
        run(result)

    worker.run_task = run_guarded
    try:
        worker.run()
    except _NotOurs:
        logger.warning(
            "The result of the task %s counts no more: another owner of the chain has "
            "failed it meanwhile.",
            ran[0],
            extra={"action": "task_result_dropped"},
        )
    return bool(ran)


def _save(result: Any, update_fields: list[str]) -> None:
    """Write how a task has ended, if it is still running as this worker's."""
    with exclusive_transaction(result._state.db):
        if not _is_running(result):
            raise _NotOurs
        DBTaskResult.save(result, update_fields=update_fields)


def _is_running(result: Any) -> bool:
    """Lock its row, and say whether it is running under the same workers as before."""
    rows = DBTaskResult.objects.using(result._state.db).select_for_update()
    now = rows.filter(pk=result.pk, status=TaskResultStatus.RUNNING).first()
    return now is not None and now.worker_ids == result.worker_ids


def _left_running(backend: str, worker_name: str, number: int) -> Iterator[Any]:
    """Yield what earlier owners of this chain have not lived to end."""
    for result in DBTaskResult.objects.running().filter(backend_name=backend):
        last = (result.worker_ids or [""])[-1]
        owner = last.removeprefix(worker_name)
        if owner != last and owner.isdigit() and int(owner) < number:
            yield result


def _fail(result: Any) -> None:
    with exclusive_transaction(result._state.db):
        if not _is_running(result):
            return
        result.set_failed(WorkerDied(WorkerDied.__doc__))
    logger.error(
        "The task %s was running when its process ended; it is failed.",
        result.pk,
        extra={"action": "task_result_failed"},
    )
    try:
        sender = type(result.task.get_backend())
    except Exception:
        # Its function is gone, and with it the sender of the signal.
        return
    task_finished.send(sender=sender, task_result=result.task_result)
