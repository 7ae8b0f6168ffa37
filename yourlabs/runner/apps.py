"""The Django app of the runner."""

from __future__ import annotations

from django.apps import AppConfig


class RunnerConfig(AppConfig):
    """Register the system checks and connect the email subscriber."""

    name = "yourlabs.runner"
    label = "yourlabs_runner"
    verbose_name = "Runner"

    def ready(self) -> None:
        """Connect what listens. No thread is started here."""
        from yourlabs.runner import checks
        from yourlabs.runner.notify import logs, mail

        checks.register()
        mail.connect()
        logs.spare_admins()
