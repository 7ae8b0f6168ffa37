"""System checks of the database that the leases are in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core import checks
from django.db import Error, connections

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
    """Find a kind of database that the leases were never tried with."""
    if conf.backend() != conf.CLUSTER:
        return []
    vendor = connections[rows.alias()].vendor
    if vendor in ENGINES:
        return []
    return [
        _error(
            f"The leases of chains are in a database of the kind {vendor}.",
            "Use PostgreSQL, MariaDB or MySQL, and name it in RUNNER['DATABASE'].",
            "E026",
        )
    ]


def check_table(
    *, databases: Sequence[str] | None = None, **_: Any
) -> list[checks.CheckMessage]:
    """Find that the table is missing, or loses what was committed."""
    alias = rows.alias()
    if conf.backend() != conf.CLUSTER or alias not in (databases or ()):
        return []
    connection = connections[alias]
    try:
        tables = connection.introspection.table_names()
        has_transactions = connection.features.supports_transactions
    except Error as exc:
        text = f"The database {alias!r}, where leases of chains are, fails: {exc}"
        return [_error(text, "Start it, or correct DATABASES.", "E027")]
    if LeaseRow._meta.db_table not in tables:
        text = f"The database {alias!r} has no table for the leases of chains."
        return [_error(text, f"Run: manage.py migrate --database {alias}", "E027")]
    if not has_transactions:
        text = f"The database {alias!r}, where leases are, has no transactions."
        hint = "Use an engine with transactions, like InnoDB."
        return [_error(text, hint, "E028")]
    return []


def _error(message: str, hint: str, number: str) -> checks.CheckMessage:
    return checks.Error(message, hint=hint, id=f"{TAG}.{number}")
