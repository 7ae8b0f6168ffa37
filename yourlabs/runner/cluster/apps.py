"""The Django app of chains on several machines."""

from __future__ import annotations

from django.apps import AppConfig


class ClusterConfig(AppConfig):
    """Register the checks of the database."""

    name = "yourlabs.runner.cluster"
    label = "yourlabs_runner_cluster"
    verbose_name = "Runner on several machines"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks. No thread is started here."""
        from yourlabs.runner.cluster import checks

        checks.register()
