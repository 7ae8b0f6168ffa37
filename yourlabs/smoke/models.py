"""The memory of failures."""

from __future__ import annotations

from datetime import datetime

from django.db import models


class FailUrl(models.Model):
    """A URL pattern that failed for a role, until it is healthy again."""

    pattern: models.CharField[str, str] = models.CharField(
        max_length=500, db_index=True
    )
    name: models.CharField[str, str] = models.CharField(
        max_length=255, blank=True, default=""
    )
    url: models.TextField[str, str] = models.TextField(blank=True, default="")
    role: models.CharField[str, str] = models.CharField(max_length=30, db_index=True)
    method: models.CharField[str, str] = models.CharField(max_length=10, default="GET")
    status: models.PositiveSmallIntegerField[int | None, int | None] = (
        models.PositiveSmallIntegerField(null=True, blank=True)
    )
    reason: models.TextField[str, str] = models.TextField(blank=True, default="")
    exception_class: models.CharField[str, str] = models.CharField(
        max_length=255, blank=True, default=""
    )
    exception_text: models.TextField[str, str] = models.TextField(
        blank=True, default=""
    )
    traceback: models.TextField[str, str] = models.TextField(blank=True, default="")
    request: models.TextField[str, str] = models.TextField(blank=True, default="")
    response: models.TextField[str, str] = models.TextField(blank=True, default="")
    tags: models.TextField[str, str] = models.TextField(blank=True, default="")
    first_seen: models.DateTimeField[datetime, datetime] = models.DateTimeField()
    last_seen: models.DateTimeField[datetime, datetime] = models.DateTimeField()
    count: models.PositiveIntegerField[int, int] = models.PositiveIntegerField(
        default=1
    )

    class Meta:
        verbose_name = "failing URL"
        verbose_name_plural = "failing URLs"
        ordering = ("-last_seen", "pattern")
        constraints = [
            models.UniqueConstraint(
                fields=["pattern", "role", "method"],
                name="yourlabs_smoke_failurl_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.url or self.pattern} as {self.role}"
