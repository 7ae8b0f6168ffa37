"""
What the guards add to a run of the smoke tests over 500 patterns.

Rounds with and without them take turns, in processes of their own. Without them
requests are still rolled back, but nothing is asked and nothing is patched. What counts
is the processor time of the whole process; the wall time is told beside it.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.bench_smoke import PATTERNS, ROOT, SETTINGS, URLS

ROUNDS = 7
WITH = """
import sys
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", *sys.argv[1:]])
"""
WITHOUT = f"""
from yourlabs.smoke.isolation.guard import Guard
from yourlabs.smoke.isolation.patches import Patches
Guard.watch = lambda self, *args, **kwargs: None
for name in ("guarded", "family", "late"):
    setattr(Patches, name, lambda *args, **kwargs: None)
{WITH}
"""


def timed(folder: str, code: str, *arguments: str) -> tuple[float, float]:
    """Run a command of Django's; its processor and wall time in seconds."""
    settings = {"DJANGO_SETTINGS_MODULE": "bench_settings"}
    paths = {"PYTHONPATH": os.pathsep.join((folder, str(ROOT)))}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env={**os.environ, **paths, **settings},
        capture_output=True,
        check=True,
    )
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, wall


def main() -> None:
    """Print the medians of both, and how much longer it takes with the guards."""
    found: dict[str, list[tuple[float, float]]] = {"without": [], "with": []}
    with tempfile.TemporaryDirectory() as folder:
        settings = SETTINGS.replace('    "django_smoke_tests",\n', "")
        Path(folder, "bench_settings.py").write_text(settings, encoding="utf-8")
        urls = f"PATTERNS = {PATTERNS}\n{URLS}"
        Path(folder, "bench_urls.py").write_text(urls, encoding="utf-8")
        timed(folder, WITH, "migrate", "--verbosity", "0")
        for _ in range(ROUNDS):
            for name, code in (("without", WITHOUT), ("with", WITH)):
                found[name].append(timed(folder, code, "smoke", "--verbosity", "0"))
    medians = {
        name: [statistics.median(column) for column in zip(*rounds, strict=True)]
        for name, rounds in found.items()
    }
    for name, (used, wall) in medians.items():
        print(f"{name:8} {used:6.2f} s of processor time, {wall:6.2f} s in all")
    pairs = zip(found["with"], found["without"], strict=True)
    ratios = [one[0] / other[0] for one, other in pairs]
    print(f"ratio of a round, median: {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
