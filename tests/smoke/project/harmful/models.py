"""Tables that views write to, and receivers that no made row may reach."""

from __future__ import annotations

from typing import Any

from django.db import models, transaction
from django.db.models.signals import m2m_changed, post_save, pre_save


class Mark(models.Model):
    """Somebody was here."""

    text = models.CharField(max_length=20)

    class Meta:
        app_label = "harmful"


class Thing(models.Model):
    """There is none, so that the smoke tests make one."""

    name = models.CharField(max_length=20)
    marks = models.ManyToManyField(Mark)

    class Meta:
        app_label = "harmful"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Tell of the row once it is there, which one of a run never is."""
        transaction.on_commit(hear)
        super().save(*args, **kwargs)


def hear(**kwargs: Any) -> None:
    """Raise, as a search server that is down would."""
    raise RuntimeError("Somebody heard of a row that is not there.")


pre_save.connect(hear, sender=Thing)
post_save.connect(hear, sender=Thing)
m2m_changed.connect(hear, sender=Thing.marks.through)
