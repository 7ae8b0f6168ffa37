"""An app that may declare a chain, as an app of a project does."""

from __future__ import annotations

import os

from django.apps import AppConfig


class SiteConfig(AppConfig):
    name = "tests.runner.site"
    label = "site_of_tests"

    def ready(self) -> None:
        from yourlabs import runner
        from yourlabs.runner.steer import health

        health.GRACE_S = float(os.environ.get("SITE_GRACE", health.GRACE_S))
        if os.environ.get("SITE_CHAIN"):
            runner.start_chain([os.environ["SITE_CHAIN"]])
