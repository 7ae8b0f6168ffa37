"""What the runner raises."""

from __future__ import annotations


class RunnerError(Exception):
    """Base of every error that the runner itself raises."""


class InvalidTask(RunnerError, ValueError):
    """A function, an option or a name that cannot make a task or a chain."""


class TaskNotFound(InvalidTask, ImportError):
    """A dotted path that leads to no function."""


class ChainNameTaken(RunnerError, ValueError):
    """Another chain of functions has this name already."""


class AlreadyOwned(RunnerError):
    """Another process runs this chain, and it was not to be taken over."""


class TakeOverTimeout(RunnerError):
    """The owner of the chain did not let go of it in time. Nothing was killed."""


class UnusableRunRoot(RunnerError, OSError):
    """RUN_ROOT or a file in it is not what an owner may trust."""

    def __str__(self) -> str:
        # What is wrong and what to do stand in it: the number adds nothing.
        return self.strerror or super().__str__()


class UnknownChain(RunnerError, LookupError):
    """No chain has this name: none is declared here, and nothing is kept of one."""


class ChainPaused(RunnerError):
    """The chain is paused, so it cannot be run now."""


class ChainRuns(RunnerError):
    """The chain has an owner that lives, so it cannot be forgotten."""


class UnusableDatabase(RunnerError, OSError):
    """The database in which the leases of chains are cannot be used now."""

    def __str__(self) -> str:
        return self.strerror or super().__str__()
