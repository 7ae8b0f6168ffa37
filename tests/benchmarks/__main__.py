"""The command line of the benchmarks."""

from __future__ import annotations

import sys
from importlib import import_module

from tests.benchmarks.measure import machine

NAMES = (
    "startup",
    "empty_run",
    "failing_run",
    "failures_memory",
    "idle_chains",
    "lateness",
    "servers",
    "smoke_guards",
    "standby",
    "status_page",
    "takeover",
)


def main(names: list[str]) -> None:
    """Run the benchmarks of these names, or all."""
    unknown = set(names) - set(NAMES)
    if unknown:
        sys.exit(f"There is no {', '.join(sorted(unknown))}; there are {NAMES}.")
    print(machine())
    for name in names or NAMES:
        module = import_module(f"tests.benchmarks.{name}")
        print(f"\n== {name}: {module.__doc__.strip().splitlines()[0]}", flush=True)
        module.main()


if __name__ == "__main__":
    main(sys.argv[1:])
