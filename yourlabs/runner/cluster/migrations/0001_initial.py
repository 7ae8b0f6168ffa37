"""The table of the leases, in one database only."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

from yourlabs.runner import conf


class CreateLeases(migrations.CreateModel):
    """Create the table in ``RUNNER["DATABASE"]`` alone, if that is set."""

    def allow_migrate_model(self, connection_alias: Any, model: Any) -> bool:
        """Say whether the table is to be in this database: routers are asked, too."""
        is_chosen = conf.database() in (None, connection_alias)
        return is_chosen and super().allow_migrate_model(connection_alias, model)


class Migration(migrations.Migration):
    """Make the table."""

    initial = True
    dependencies = []
    operations = [
        CreateLeases(
            name="LeaseRow",
            fields=[
                (
                    "key",
                    models.CharField(max_length=64, primary_key=True, serialize=False),
                ),
                ("name", models.CharField(max_length=200)),
                ("token", models.BigIntegerField(default=0)),
                ("holder", models.CharField(default="", max_length=32)),
                ("root", models.CharField(default="", max_length=200)),
                ("lease_until", models.FloatField(default=0.0)),
                ("wanted", models.CharField(default="", max_length=64)),
                ("wanted_until", models.FloatField(default=0.0)),
                ("record", models.TextField(default="")),
                ("document", models.TextField(default="{}")),
                ("desired", models.TextField(default="{}")),
            ],
            options={"db_table": "yourlabs_runner_lease"},
        ),
    ]
