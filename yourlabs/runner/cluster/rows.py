"""The statements. Each is one, decides by the database's clock alone, and commits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import models, router
from django.db.models import F, Func, Q

from yourlabs.runner import conf
from yourlabs.runner.cluster.models import LeaseRow
from yourlabs.runner.cluster.rules import LEASE_S, WANTED_S, Row, key_of
from yourlabs.runner.ownership.record import parse_record


class Clock(Func):
    """
    The database's clock: seconds since the epoch, when the statement began.

    Not `Now`: on PostgreSQL it stands still in a transaction, on MySQL it is the local
    time of the session, which is set back by an hour once a year.
    """

    arity = 0
    output_field = models.FloatField()

    def as_postgresql(self, compiler: Any, connection: Any, **_: Any) -> Any:
        sql = "EXTRACT(EPOCH FROM STATEMENT_TIMESTAMP())::double precision"
        return self.as_sql(compiler, connection, template=sql)

    def as_mysql(self, compiler: Any, connection: Any, **_: Any) -> Any:
        sql = "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1e6)"
        return self.as_sql(compiler, connection, template=sql)

    def as_sqlite(self, compiler: Any, connection: Any, **_: Any) -> Any:
        sql = "((julianday('now') - 2440587.5) * 86400.0)"
        return self.as_sql(compiler, connection, template=sql)


def alias() -> str:
    """Return the database that the leases are in."""
    return conf.database() or router.db_for_write(LeaseRow)


def table() -> Any:
    """Return all rows."""
    return LeaseRow.objects.using(alias())


def look(names: Iterable[str]) -> dict[str, Row]:
    """Return what stands in the rows of these chains, as far as they have one."""
    found: Any = (
        table()
        .filter(pk__in=[key_of(name) for name in names])
        .values_list(
            "name",
            "record",
            "token",
            "holder",
            "root",
            F("lease_until") - Clock(),
            "wanted",
            F("wanted_until") - Clock(),
            "desired",
        )
    )
    return {
        name: Row(parse_record(f"{record}\n".encode()), *values)
        for name, record, *values in found
    }


def make(names: Iterable[str]) -> None:
    """Make the rows that are missing."""
    rows = [LeaseRow(key=key_of(name), name=name) for name in names]
    table().bulk_create(rows, ignore_conflicts=True)


def renew(holders: Mapping[str, str]) -> int:
    """Renew the leases of these holders, by chain; return how many are theirs still."""
    # Also a lease that has ended, unless somebody has taken it by now.
    keys = [key_of(name) for name in holders]
    held = table().filter(pk__in=keys, holder__in=list(holders.values()))
    count: int = held.update(lease_until=Clock() + LEASE_S)
    return count


def take(name: str, row: Row, root: str, request: str | None, **holder: Any) -> bool:
    """
    Become the holder, if nobody else did since the look, and nobody else goes first.

    Args:
        name: Of the chain.
        row: What the look found.
        root, request: As for `rules.may_take`.
        holder: What is written: ``holder``, ``token`` and ``record``.
    """
    is_free = Q(lease_until__lt=Clock()) | Q(root=root)
    is_left_to_me = Q(wanted_until__lt=Clock()) | Q(wanted=request or "")
    found = table().filter(is_free, is_left_to_me, pk=key_of(name), token=row.token)
    values = {**holder, "root": root, "wanted_until": 0.0}
    return bool(found.update(lease_until=Clock() + LEASE_S, **values))


def ask(name: str, request: str) -> None:
    """Ask the holder to yield, unless another request came first."""
    is_free = Q(wanted_until__lt=Clock()) | Q(wanted=request)
    found = table().filter(is_free, pk=key_of(name))
    found.update(wanted=request, wanted_until=Clock() + WANTED_S)


def write(name: str, holder: str, **values: Any) -> bool:
    """Write into the row as its holder. False: it is another one's by now."""
    return bool(table().filter(pk=key_of(name), holder=holder).update(**values))


def remove(name: str) -> bool:
    """Remove the row of a chain that has no holder; say whether there is none left."""
    table().filter(pk=key_of(name), lease_until__lt=Clock()).delete()
    return not table().filter(pk=key_of(name)).exists()


def read(name: str, column: str) -> str | None:
    """Return one column of a row. None: there is no row."""
    found: str | None = (
        table().filter(pk=key_of(name)).values_list(column, flat=True).first()
    )
    return found
