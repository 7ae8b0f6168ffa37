"""The metrics of chains for a project that has `prometheus_client` already."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from prometheus_client.core import Metric

from yourlabs.runner.steer.reading import read_chains
from yourlabs.runner.web.metrics import PREFIX, families


class Collector:
    """
    Adds the chains to the metrics of a process: ``REGISTRY.register(Collector())``.

    They are read at each scrape, and are the same in every process: with several
    workers, scrape one, or the runner's own ``metrics``.
    """

    def collect(self) -> Iterable[Any]:
        """Yield the metrics of all chains."""
        for family in families(read_chains(), time.time()):
            name = PREFIX + family.name
            metric = Metric(name.removesuffix("_total"), family.help, family.kind)
            for labels, value, suffix in family.samples:
                metric.add_sample(name + suffix, dict(labels), value)
            yield metric
