"""A table that views write to, and receivers that raise."""

from __future__ import annotations

from django.db import models


class Visit(models.Model):
    """Somebody was here."""

    text = models.CharField(max_length=20)

    class Meta:
        app_label = "unsafe"
