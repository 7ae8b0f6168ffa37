"""A check for a project that has django-health-check already."""

from __future__ import annotations

import dataclasses

from health_check.base import HealthCheck
from health_check.exceptions import ServiceUnavailable

from yourlabs.runner.steer import health


@dataclasses.dataclass
class Chains(HealthCheck):  # type: ignore[misc]
    """The chains that are meant to run do."""

    strict: bool = False
    """A task that fails is unhealthy, too."""

    def run(self) -> None:
        """Raise where a chain is not healthy."""
        found = health.check(strict=self.strict)
        bad = [f"{name}: {why}" for name, (well, why) in found.items() if not well]
        if bad:
            raise ServiceUnavailable(" ".join(bad))
