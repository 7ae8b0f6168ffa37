"""The Django app of setup: it brings the command, and nothing else."""

from __future__ import annotations

from django.apps import AppConfig


class SetupConfig(AppConfig):
    """Give a project ``manage.py setup``."""

    name = "yourlabs.setup"
    label = "yourlabs_setup"
    verbose_name = "Setup"
