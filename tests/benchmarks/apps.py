"""The app of the benchmarks: it does in the worker what ``BENCH`` says."""

from __future__ import annotations

import os

from django.apps import AppConfig


class BenchmarksConfig(AppConfig):
    """Start chains, or bare threads that do the same."""

    name = "tests.benchmarks"
    label = "benchmarks"

    def ready(self) -> None:
        """Begin."""
        what = os.environ.get("BENCH")
        if what:
            from tests.benchmarks import site

            site.BEGIN[what]()
