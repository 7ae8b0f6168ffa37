"""The fencing token of the present owner, for what a task writes."""

from __future__ import annotations

from contextvars import ContextVar

running_token: ContextVar[int | None] = ContextVar(
    "yourlabs_runner_token", default=None
)


def token() -> int:
    """
    Return the number of the ownership under which the calling task was started.

    It rises with each owner of the chain, and never falls. A task whose effects must
    happen once writes it beside them, and writes nothing where a higher one stands.

    Raises:
        RuntimeError: No task is running here.
    """
    number = running_token.get()
    if number is None:
        msg = "runner.token() was called outside of a run of a task."
        raise RuntimeError(msg)
    return number
