"""An app that starts a chain as the documentation says."""

from __future__ import annotations

import atexit
import os
import threading

import journal
from django.apps import AppConfig

from yourlabs import runner


class PagesConfig(AppConfig):
    """The app of the project."""

    name = "pages"

    def ready(self) -> None:
        """Start the chain that the environment names, if it names one."""
        journal.write("ready")
        atexit.register(write_threads)
        if os.environ.get("CHAIN"):
            runner.start_chain(os.environ["CHAIN"].split(","))


def write_threads() -> None:
    journal.write("exit", threads=[thread.name for thread in threading.enumerate()])
