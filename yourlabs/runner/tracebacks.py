"""What an exception says, as text."""

from __future__ import annotations

import traceback
from dataclasses import dataclass


@dataclass(frozen=True)
class Described:
    """An exception as plain text."""

    exception_type: str
    message: str
    traceback: str
    fingerprint: str


def describe(exc: BaseException) -> Described:
    """Return `exc` as text."""
    kind = type(exc)
    name = f"{kind.__module__}.{kind.__qualname__}"
    text = "".join(traceback.format_exception(exc))
    return Described(name, str(exc), text, f"0:{name}")


def forget(exc: BaseException) -> None:
    """Let go of the frames that `exc` keeps."""
    exc.__traceback__ = None
