"""System checks of the database that the leases are in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from yourlabs.runner import conf
from yourlabs.runner.cluster import rows
from yourlabs.runner.cluster.models import LeaseRow

TAG = "yourlabs_runner"

ENGINES = ("postgresql", "mysql", "sqlite")


def register() -> None:
    """Register every check."""
    checks.register(check_engine, TAG)
    checks.register(check_table, TAG, checks.Tags.database)


def check_engine(**_: Any) -> list[checks.CheckMessage]:
    """Find a kind of database that cannot keep the leases."""
    alias = _alias()
    vendor = None if alias is None else connections[alias].vendor
    if vendor is None or vendor in ENGINES:
        return []
    return [
        checks.Error(
            f"The leases of chains are in a database of the kind {vendor}.",
            hint="Name a PostgreSQL, MariaDB or MySQL in RUNNER['DATABASE'].",
            id=f"{TAG}.E026",
        )
    ]


def check_table(
    *, databases: Sequence[str] | None = None, **_: Any
) -> list[checks.CheckMessage]:
    """Find that the table is missing, or loses what was committed."""
    alias = _alias()
    if alias is None or alias not in (databases or ()):
        return []
    connection = connections[alias]
    if LeaseRow._meta.db_table not in connection.introspection.table_names():
        return [
            # No error: it would keep `migrate` from making the table.
            checks.Warning(
                f"The database {alias!r} has no table for the leases of chains.",
                hint=f"Run: manage.py migrate --database {alias}",
                id=f"{TAG}.W027",
            )
        ]
    if connection.features.supports_transactions:
        return []
    return [
        checks.Error(
            f"The database {alias!r}, where leases are, has no transactions.",
            hint="Use an engine with transactions, like InnoDB.",
            id=f"{TAG}.E028",
        )
    ]


def _alias() -> str | None:
    """Return the database of the leases. None: there are no leases."""
    try:
        return rows.alias() if conf.backend() == conf.CLUSTER else None
    except ImproperlyConfigured:
        # Other checks say so.
        return None
