"""Where chains of several machines are kept: ``RUNNER["BACKEND"]`` finds it here."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Mapping
from typing import Any

from django.db import Error, transaction

from yourlabs.runner.chain.task import DOWN, Chain
from yourlabs.runner.cluster import rows
from yourlabs.runner.cluster.connection import own_connection
from yourlabs.runner.cluster.keeper import Keeper, keeper
from yourlabs.runner.cluster.ownership import ClusterClaim, ClusterOwnership
from yourlabs.runner.cluster.rules import key_of
from yourlabs.runner.exceptions import UnusableDatabase
from yourlabs.runner.log import logger
from yourlabs.runner.ownership.base import Claim, Ownership
from yourlabs.runner.storage.base import Store
from yourlabs.runner.storage.document import encode, encode_sections, parse
from yourlabs.runner.storage.file import FileBackend


class ClusterBackend:
    """
    A `Backend` of rows in a database, for all machines that share it.

    Each machine reports for itself that a chain cannot run, and notes in files what it
    reported: the database may be what fails.
    """

    def __init__(self) -> None:
        self._files = FileBackend()

    def names(self) -> list[str]:
        """Return the names of all chains that have a row, or files here, sorted."""
        try:
            found = set(rows.table().values_list("name", flat=True))
        except Error as exc:
            logger.debug("The rows of the chains cannot be read: %s", exc)
            found = set()
        return sorted(found.union(self._files.names()))

    def ownership(self, chain: Chain, *, kind: str) -> Ownership:
        """Return the right to run `chain`, as a process of `kind` sees it."""
        local = self._files.ownership(chain, kind=kind)
        if chain.name.endswith(DOWN):
            return local
        return ClusterOwnership(local, keeper, chain)

    def store(self, chain: Chain) -> Store:
        """Return the documents of `chain`."""
        if chain.name.endswith(DOWN):
            return self._files.store(chain)
        return ClusterStore(keeper, chain.name)

    def forget(self, name: str) -> bool:
        """
        Remove the row of a chain, and its files here. False: it runs.

        Raises:
            OSError: They cannot be removed.
        """
        try:
            return rows.remove(name) and self._files.forget(name)
        except Error as exc:
            raise _unusable(exc) from exc


class ClusterStore:
    """
    A `Store` of two columns of a row.

    The owner uses what was read with the lease. Other processes read with the project's
    connection, and steer with a new one: in a transaction of the project, the row would
    stay locked until that ends, and could not be renewed.
    """

    def __init__(self, keeper: Keeper, name: str) -> None:
        self._keeper, self._name = keeper, name
        self._refused: set[str] = set()
        self._desired: dict[str, Any] = {}

    def load(self) -> dict[str, Any]:
        """
        Return what the last owner saved; what cannot be trusted is dropped.

        Raises:
            UnusableDatabase: It cannot be read.
        """
        lease = self._keeper.known(self._name)
        try:
            if lease is None or not lease.holder:
                return self.read()
            return _sections(lease.document)
        except (ValueError, RecursionError) as exc:
            logger.warning(
                "What is kept of the chain %s is not used: %.200s",
                self._name,
                exc,
                extra={"action": "state_set_aside"},
            )
            return {}

    def read(self) -> dict[str, Any]:
        """
        Return the same, for a process that need not own the chain.

        Raises:
            UnusableDatabase: It cannot be read.
            ValueError, RecursionError: It is no document.
        """
        return _sections(self._read("document"))

    def _read(self, column: str) -> str:
        try:
            return rows.read(self._name, column) or "{}"
        except Error as exc:
            raise _unusable(exc) from exc

    def save(self, claim: Claim, sections: Mapping[str, Any]) -> None:
        """Save `sections`, unless another process has the lease by now."""
        assert isinstance(claim, ClusterClaim)
        texts, problems = encode_sections(sections)
        for section in problems.keys() - self._refused:
            self._refused.add(section)
            logger.error(
                "The section %r of the chain %s is left out: %s.",
                section,
                self._name,
                problems[section],
                extra={"action": "state_unwritable"},
            )
        document = _ascii(encode(texts))
        if document != claim.lease.document:
            self._keeper.save(claim.lease, document)

    def desired(self, known: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what people want; the owner has read it with its lease."""
        lease = self._keeper.known(self._name)
        try:
            if lease is not None and lease.row is not None:
                text = lease.row.desired
            elif known is not None:
                return known
            else:
                text = self._read("desired")
            self._desired = json.loads(text)
        except (OSError, ValueError, RecursionError) as exc:
            logger.debug("What is wanted of %s is not read: %s", self._name, exc)
        return dict(self._desired)

    def steer(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """
        Replace what people want by `change` of it.

        Raises:
            UnusableDatabase: It cannot be written.
            ValueError: What `change` returns is no plain JSON.
        """
        alias = rows.alias()
        try:
            with own_connection(alias), transaction.atomic(using=alias):
                rows.make([self._name])
                row = rows.table().select_for_update().get(pk=key_of(self._name))
                text = json.dumps(change(json.loads(row.desired)), allow_nan=False)
                rows.table().filter(pk=row.key).update(desired=text)
        except Error as exc:
            raise _unusable(exc) from exc
        except TypeError as exc:
            msg = f"What is wanted of the chain cannot be written: {exc}"
            raise ValueError(msg) from exc
        if self._keeper.known(self._name) is not None:
            self._keeper.look_soon()


def _sections(text: str) -> dict[str, Any]:
    return {} if text == "{}" else parse(text.encode())


def _ascii(document: bytes) -> str:
    """Return JSON that any database can hold, whatever its character set."""
    return json.dumps(json.loads(document))


def _unusable(exc: Exception) -> UnusableDatabase:
    msg = f"The database {rows.alias()!r} of the chains cannot be used: {exc}"
    return UnusableDatabase(errno.EIO, msg)
