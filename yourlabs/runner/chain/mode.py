"""What the process of a chain is for."""

from __future__ import annotations

import enum

from yourlabs.runner.ownership.record import COMMAND, HOSTED


class Mode(enum.Enum):
    """What the process of a chain is for."""

    HOSTED = enum.auto()
    """It has other work, like a web worker: the chain is its guest."""

    COMMAND = enum.auto()
    """It runs the chain and nothing else: a person or a supervisor started it."""

    ONCE = enum.auto()
    """As `COMMAND`, and it ends when each task was run once."""

    @property
    def kind(self) -> str:
        """What the owner's record calls it."""
        return HOSTED if self is Mode.HOSTED else COMMAND
