"""What the pages of 200 chains take, beside an empty page of the admin, from files."""

from __future__ import annotations

import logging
import os
from statistics import median

from tests.benchmarks.measure import ROUNDS, clock, in_child, over_floor, reply

CHAINS = 200
EMPTY = "/empty/"
PATHS = (EMPTY, "/runner/", "/runner/status.json", "/runner/health/", "/runner/metrics")


def times() -> dict[str, float]:
    """Return how long each page takes, in ms: the median of nine requests."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.runner.site.settings"
    os.environ["SITE_FOLDER"] = os.environ["RUN_ROOT"]
    os.environ["SITE_TOKEN"] = "secret"
    from django.core.management import call_command

    from tests.runner.site.chains import with_a_past
    from tests.runner.site.probe import client_of
    from yourlabs.runner.chain.registry import registry

    logging.disable()
    call_command("migrate", verbosity=0)
    for number in range(CHAINS):
        registry.add(with_a_past(f"chain-{number}", fails=number % 10 == 0))
    client = client_of("superuser", headers={"Authorization": "Bearer secret"})
    found = {}
    for path in PATHS:
        taken = []
        for _ in range(9):
            began = clock()
            assert client.get(path).status_code == 200, path
            taken.append((clock() - began) * 1e3)
        found[path] = median(taken)
    return found


def main() -> None:
    """Print what each page takes."""
    found = [in_child("status_page") for _ in range(ROUNDS)]
    values = {path: [one[path] for one in found] for path in PATHS}
    over_floor(values, EMPTY, "ms", "100 ms for the page, /runner/")


if __name__ == "__main__":
    reply(times())
    # The chains are not running: there is nothing to wait for.
    os._exit(0)
