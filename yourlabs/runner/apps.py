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
        # The checks register themselves.
        from yourlabs.runner import checks  # noqa: F401
        from yourlabs.runner.notify import admin_email_handler, mail

        mail.subscriber.connect()
        admin_email_handler.skip_runner_records()
