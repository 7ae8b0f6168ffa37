"""One row for each chain: its lease, and what the next owner needs to know."""

from __future__ import annotations

from typing import Any

from django.db import models


class LeaseRow(models.Model):
    """
    The lease of a chain, and its documents.

    Times are seconds since the epoch by the clock of the database. All text is ASCII.
    """

    key: models.CharField[Any, Any] = models.CharField(primary_key=True, max_length=64)
    """Digest of the name: some databases take ``A`` for ``a``."""
    name: models.CharField[Any, Any] = models.CharField(max_length=200)
    token: models.BigIntegerField[Any, Any] = models.BigIntegerField(default=0)
    """Rises with each owner: a fencing token."""
    holder: models.CharField[Any, Any] = models.CharField(max_length=32, default="")
    """A random name for each ownership. Empty: there was none."""
    root: models.CharField[Any, Any] = models.CharField(max_length=200, default="")
    """The RUN_ROOT that the holder has the file lock in: see `root.identify`."""
    lease_until: models.FloatField[Any, Any] = models.FloatField(default=0.0)
    wanted: models.CharField[Any, Any] = models.CharField(max_length=64, default="")
    """The id of a request to yield."""
    wanted_until: models.FloatField[Any, Any] = models.FloatField(default=0.0)
    record: models.TextField[Any, Any] = models.TextField(default="")
    """What the holder says of itself, as in a pidfile."""
    document: models.TextField[Any, Any] = models.TextField(default="{}")
    """The sections that the last owner saved, as JSON."""
    desired: models.TextField[Any, Any] = models.TextField(default="{}")
    """What people want of the chain, as JSON."""

    class Meta:
        app_label = "yourlabs_runner_cluster"
        db_table = "yourlabs_runner_lease"
