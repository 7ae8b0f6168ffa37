"""The Django app of the smoke tests."""

from __future__ import annotations

from django.apps import AppConfig


class SmokeConfig(AppConfig):
    """Register the model of remembered failures; start nothing."""

    name = "yourlabs.smoke"
    label = "yourlabs_smoke"
    verbose_name = "Smoke tests"
    default_auto_field = "django.db.models.BigAutoField"
