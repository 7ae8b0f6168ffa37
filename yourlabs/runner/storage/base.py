"""Protocols: `Store` for the state of a chain, `Backend` for all that is stored."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from yourlabs.runner import conf
from yourlabs.runner.chain.task import Chain
from yourlabs.runner.ownership.base import Claim, Ownership


class Store(Protocol):
    """
    The documents of one chain: plain JSON values, by section.

    It may be used from any thread, and by processes that do not own the chain.
    """

    def load(self) -> dict[str, Any]:
        """
        Return the sections that an owner has saved; empty when none has.

        What cannot be trusted is set aside, with a warning.

        Raises:
            OSError: It cannot be read now, by no fault of what is kept: no descriptor
                or no memory is to be had.
        """

    def read(self) -> dict[str, Any]:
        """
        Return the same for a process that is not the owner: nothing is set aside.

        Raises:
            OSError, ValueError, RecursionError: It cannot be read, or is no document.
        """

    def save(self, claim: Claim, sections: Mapping[str, Any]) -> None:
        """
        Keep `sections`, and nothing else, for the next owner.

        Nothing is written if they have not changed, or `claim` is lost. A section that
        is no plain JSON, or too large, is left out, with an error once. An error of the
        disk is logged once, and the next `save` tries again.
        """

    def desired(self, known: dict[str, Any] | None = None) -> dict[str, Any]:
        """
        Return what people want of the chain; empty if nobody wants anything.

        With `known`, a server is not asked: that is returned if it would have to be.

        If it cannot be read, what was read last is returned, or what an owner has saved
        of it, in its section ``steer``.
        """

    def steer(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """
        Replace what people want of the chain by `change` of it, in one step.

        Raises:
            OSError: It cannot be written, or the user may not steer this chain.
        """


class Backend(Protocol):
    """Where chains are kept: ``RUNNER["BACKEND"]`` is the path of one."""

    def names(self) -> list[str]:
        """Return the names of all chains that something is kept of, sorted."""

    def ownership(self, chain: Chain, *, kind: str) -> Ownership:
        """Return the right to run `chain`, as a process of `kind` sees it."""

    def store(self, chain: Chain) -> Store:
        """Return the documents of `chain`."""

    def forget(self, name: str) -> bool:
        """
        Remove all that is kept of a chain. False: it runs, and nothing was removed.

        Raises:
            OSError: It cannot be removed.
        """


@functools.cache
def _load(path: str) -> Backend:
    cause: Exception | None = None
    for dotted in (f"{path}.Backend", path):
        try:
            made: Backend = import_string(dotted)()
        except (ImportError, TypeError, AttributeError) as exc:
            cause = exc
        else:
            return made
    msg = (
        f"RUNNER['BACKEND'] is {path!r}: expected the dotted path of a class, or of a "
        f"module with a class Backend, like {conf.DEFAULTS['BACKEND']!r}."
    )
    raise ImproperlyConfigured(msg) from cause


def backend() -> Backend:
    """Return where the chains of this process are kept: ``RUNNER["BACKEND"]``."""
    return _load(conf.backend())
