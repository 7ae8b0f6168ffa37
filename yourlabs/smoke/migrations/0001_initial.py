"""The table of remembered failures."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="FailUrl",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("pattern", models.CharField(db_index=True, max_length=500)),
                ("name", models.CharField(blank=True, default="", max_length=255)),
                ("url", models.TextField(blank=True, default="")),
                ("role", models.CharField(db_index=True, max_length=30)),
                ("method", models.CharField(default="GET", max_length=10)),
                ("status", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("reason", models.TextField(blank=True, default="")),
                (
                    "exception_class",
                    models.CharField(blank=True, default="", max_length=255),
                ),
                ("exception_text", models.TextField(blank=True, default="")),
                ("traceback", models.TextField(blank=True, default="")),
                ("request", models.TextField(blank=True, default="")),
                ("response", models.TextField(blank=True, default="")),
                ("tags", models.TextField(blank=True, default="")),
                ("first_seen", models.DateTimeField()),
                ("last_seen", models.DateTimeField()),
                ("count", models.PositiveIntegerField(default=1)),
            ],
            options={
                "verbose_name": "failing URL",
                "verbose_name_plural": "failing URLs",
                "ordering": ("-last_seen", "pattern"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("pattern", "role", "method"),
                        name="yourlabs_smoke_failurl_once",
                    )
                ],
            },
        ),
    ]
