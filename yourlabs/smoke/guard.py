"""Refuse to run where requests could hurt people."""

from __future__ import annotations

import os

from django.conf import settings
from django.db import connections


def is_test_database(alias: str) -> bool:
    """Whether a database is one that a test runner made."""
    connection = connections[alias]
    name = str(connection.settings_dict.get("NAME") or "")
    base = os.path.basename(name)
    return (
        not name
        or ":memory:" in name
        or "mode=memory" in name
        or base.startswith("test_")
        or name == str(connection.settings_dict.get("TEST", {}).get("NAME") or "/")
    )


def refusal(*, is_production_allowed: bool) -> str:
    """Why a run must not start here; empty when it may."""
    if settings.DEBUG or is_production_allowed:
        return ""
    serious = [alias for alias in connections if not is_test_database(alias)]
    if not serious:
        return ""
    return (
        f"DEBUG is False and {serious[0]!r} is not a test database: this looks like "
        "production. Every request is rolled back, but views can also talk to other "
        "services. Add --production if that is what you want."
    )
