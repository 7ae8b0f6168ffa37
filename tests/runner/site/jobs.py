"""A task of the project."""

from __future__ import annotations

from yourlabs.runner import task


@task(success_cooldown=3_600)
def tick() -> None:
    """Do nothing, once an hour."""
